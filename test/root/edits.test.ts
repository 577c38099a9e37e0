import { afterAll, expect, test } from 'vitest';
import { checkSequence } from '../helpers/edits.ts';
import { Machine } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
machine.makeCache('cache-plain');
afterAll(() => machine.close());

test.each(Array.from({ length: 20 }, (_, at) => at + 1))('random edits, seed %i: a build on layers is the build without', async (seed) => {
  // Two edits each would take two minutes more than `npm test` has.
  expect(await checkSequence(machine, seed, seed <= 5 ? 2 : 1)).toBeUndefined();
});
