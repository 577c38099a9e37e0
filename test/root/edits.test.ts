import { afterAll, expect, test } from 'vitest';
import { checkSequence } from '../helpers/edits.ts';
import { Machine } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
machine.makeCache('cache-plain');
afterAll(() => machine.close());

test.each(Array.from({ length: 20 }, (_, at) => at + 1))('random edits, seed %i: a build on layers is the build without', async (seed) => {
  expect(await checkSequence(machine, seed, 2)).toBeUndefined();
});
