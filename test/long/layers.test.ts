import { afterAll, expect, test } from 'vitest';
import { checkSequence } from '../helpers/edits.ts';
import { Machine } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
machine.makeCache('cache-plain');
afterAll(() => machine.close());

// Seeds above those of test/root/edits.test.ts; one that has failed becomes a test there.
test.each(Array.from({ length: 300 }, (_, at) => at + 101))(
  'random edits, seed %i: a build on layers is the build without',
  async (seed) => {
    expect(await checkSequence(machine, seed, 4)).toBeUndefined();
  },
);
