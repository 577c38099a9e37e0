import { afterAll, beforeAll, expect, test } from 'vitest';
import { DamagedBuilds } from '../helpers/damaged-builds.ts';
import { Machine, mirror } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());
const builds = new DamagedBuilds(machine);
beforeAll(async () => {
  await builds.fill();
  mirror.clear();
});

// One that has failed becomes a test of test/root/damage.test.ts.
test.each(Array.from({ length: 200 }, (_, at) => at + 1001))(
  'random damage, seed %i: the next build is right all the same',
  async (seed) => {
    expect(await builds.round(seed)).toBeUndefined();
  },
);
