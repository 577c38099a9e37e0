import { expect, test } from 'vitest';
import { chooseForRemoval, type PruneOptions } from '../../../src/store/prune.ts';
import type { StoredLayer } from '../../../src/store/store-list.ts';

const now = 1_000_000;

/** A layer of 10 bytes, by its name and how long it was not used. */
const layer = (id: string, unused: number, isReachable = true): StoredLayer => ({
  folder: id,
  isReachable,
  lastUsed: now - unused,
  meta: { id, size: 10 } as StoredLayer['meta'],
});

/** As a store is listed: the latest used first, of one build the lower one first. */
const layers = [layer('base', 1), layer('top', 1), layer('old base', 50), layer('old top', 50), layer('oldest', 99)];
const orphan = layer('orphan', 0, false);

test.each<[what: string, options: PruneOptions, others: number, gone: string[]]>([
  ['nothing is asked for', {}, 0, []],
  ['all fits', { maxSize: 50 }, 0, []],
  ['a byte too much', { maxSize: 49 }, 0, ['oldest']],
  ['what lies on others goes first', { maxSize: 30 }, 0, ['oldest', 'old top']],
  ['room for one', { maxSize: 10 }, 0, ['oldest', 'old top', 'old base', 'top']],
  ['no room at all', { maxSize: 0 }, 0, ['oldest', 'old top', 'old base', 'top', 'base']],
  ['what cannot go takes room, too', { maxSize: 50 }, 1, ['oldest']],
  ['it takes more than there is', { maxSize: 50 }, 99, ['oldest', 'old top', 'old base', 'top', 'base']],
  ['an age that none has', { olderThan: 99 }, 0, []],
  ['the age of one', { olderThan: 98 }, 0, ['oldest']],
  ['the age of all', { olderThan: 0 }, 0, ['oldest', 'old top', 'old base', 'top', 'base']],
  ['age and size: what goes by age makes room', { olderThan: 98, maxSize: 40 }, 0, ['oldest']],
  ['age and size: it does not make enough', { olderThan: 98, maxSize: 39 }, 0, ['oldest', 'old top']],
])('%s', (_, options, others, gone) => {
  expect(chooseForRemoval(layers, options, others, now).map(({ folder }) => folder)).toEqual(gone);
});

test('what lies on nothing goes in any case, and makes room', () => {
  const chosen = (options: PruneOptions): string[] => chooseForRemoval([orphan, ...layers], options, 0, now).map(({ folder }) => folder);
  expect(chosen({})).toEqual(['orphan']);
  expect(chosen({ maxSize: 50 })).toEqual(['orphan']);
  expect(chosen({ maxSize: 49 })).toEqual(['oldest', 'orphan']);
});
