import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { programRoot } from '../../../src/resources.ts';
import type { Layer } from '../../../src/store/layers.ts';
import { openLocks } from '../../../src/store/locks.ts';
import { chooseForRemoval, prune } from '../../../src/store/prune.ts';
import { listStore, type StoredLayer } from '../../../src/store/store-list.ts';
import { tidyCache } from '../../../src/store/tidy.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const locks = openLocks(path.join(programRoot, 'templates/sandbox/locks.pl'));
const others = openLocks(path.join(programRoot, 'templates/sandbox/locks.pl'));
afterAll(async () => {
  await locks.close();
  await others.close();
});

test('tidyCache takes out what stands in the place of something else, and nothing more', async () => {
  const cache = tempRoot({
    'apt/archives/a_1_all.deb': 'x',
    'apt/lists/l_Packages': 'x',
    'layers/last/n': '{}',
    'layers/results': 'a file',
  });
  for (const name of [
    'apt/archives/partial',
    'apt/lists/partial',
    'layers/keys',
    'layers/trash',
    'apt/archives/folder_1_all.deb',
    'apt/fetch.lock',
  ])
    mkdirSync(path.join(cache, name));
  execFileSync('mkfifo', [
    path.join(cache, 'apt/archives/pipe_1_all.deb'),
    path.join(cache, 'layers/keys/k'),
    path.join(cache, 'layers/repositories'),
  ]);
  symlinkSync('/etc/passwd', path.join(cache, 'apt/lists/link_Packages'));
  symlinkSync('/etc', path.join(cache, 'layers/new'));
  const taken = [
    'apt/archives/folder_1_all.deb',
    'apt/archives/pipe_1_all.deb',
    'apt/fetch.lock',
    'apt/lists/link_Packages',
    'layers/keys/k',
    'layers/new',
    'layers/repositories',
    'layers/results',
  ];
  expect((await tidyCache(cache)).sort()).toEqual(taken);
  expect(readdirSync(path.join(cache, 'apt/archives'))).toEqual(['a_1_all.deb', 'partial']);
  expect(readdirSync(path.join(cache, 'layers/last'))).toEqual(['n']);
  expect(readdirSync(path.join(cache, 'layers/trash')).length).toBe(taken.length);
  expect(await tidyCache(cache)).toEqual([]);
});

test('the trash may be anything itself', async () => {
  const cache = tempRoot({ 'layers/last/n': '{}' });
  symlinkSync('/etc', path.join(cache, 'layers/trash'));
  execFileSync('mkfifo', [path.join(cache, 'layers/keys')]);
  expect(await tidyCache(cache)).toEqual(['layers/keys']);
  expect(readdirSync(path.join(cache, 'layers/trash')).length).toBe(1);
});

test('what is no layer is listed and pruned, but not while somebody holds it', async () => {
  const key = 'a'.repeat(64);
  const store = tempRoot({
    stray: 'x',
    [`${key}/${'1'.repeat(32)}/meta.json`]: '{}',
    [`${key}/${'2'.repeat(32)}/tree/f`]: 'x',
    [`${key}/odd`]: 'x',
  });
  mkdirSync(path.join(store, 'keys'));
  mkdirSync(path.join(store, 'new', '3'.repeat(32)), { recursive: true });
  mkdirSync(path.join(store, 'b'.repeat(64)));
  symlinkSync('/etc', path.join(store, 'c'.repeat(64)));
  for (const name of ['k1', 'k2']) writeFileSync(path.join(store, 'keys', name.padEnd(64, '0').replace('k', 'd')), '');
  const { unreadable } = await listStore(store);
  expect(unreadable.map(({ folder, why }) => `${path.relative(store, folder)}: ${why}`).sort()).toEqual(
    [
      `${key}/${'1'.repeat(32)}: its meta.json is damaged`,
      `${key}/${'2'.repeat(32)}: its meta.json is missing`,
      `${key}/odd: it does not belong to a store of layers`,
      `${'c'.repeat(64)}: it does not belong to a store of layers`,
      'stray: it does not belong to a store of layers',
    ].sort(),
  );
  const held = path.join(store, key, '2'.repeat(32));
  const heldKey = path.join(store, 'keys', 'd2'.padEnd(64, '0'));
  expect([await others.shared(held), await others.exclusive(heldKey)]).toEqual([true, true]);
  expect((await prune(store, locks, {})).unreadable.length).toBe(4);
  expect(readdirSync(store).sort()).toEqual([key, 'keys', 'new', 'trash']);
  expect(readdirSync(path.join(store, key))).toEqual(['2'.repeat(32)]);
  expect(readdirSync(path.join(store, 'keys'))).toEqual(['d2'.padEnd(64, '0')]);
  expect(readdirSync(path.join(store, 'new'))).toEqual([]);
  for (const file of [held, heldKey]) await others.release(file);
  await prune(store, locks, {});
  expect(readdirSync(store).sort()).toEqual(['keys', 'new', 'trash']);
  expect(existsSync('/etc/passwd')).toBe(true);
});

test('locks: no pipe is waited for, no link followed, no name believed that has come to mean something else', async () => {
  const folder = tempRoot({ file: '' });
  const at = (name: string): string => path.join(folder, name);
  execFileSync('mkfifo', [at('pipe')]);
  symlinkSync(at('file'), at('link'));
  for (const name of ['pipe', 'link', 'missing']) expect(await locks.exclusive(at(name)), name).toBe(false);
  expect(await locks.create(at('made'))).toBe(true);
  expect(await others.create(at('made'))).toBe(false);
  expect(await others.create(at('pipe'))).toBe(false);
  expect([await locks.shared(folder), await others.shared(folder), await others.exclusive(folder)]).toEqual([true, true, false]);
  // Who holds a file whose name is gone keeps nobody else from a new one.
  rmSync(at('made'));
  expect(await others.create(at('made'))).toBe(true);
});

test('a layer whose last use lies in the future counts as old', () => {
  const now = Date.parse('2026-01-01');
  const layer = (id: string, lastUsed: number): StoredLayer => ({
    folder: id,
    isReachable: true,
    lastUsed,
    meta: { id, parent: '', size: 1 } as Layer['meta'],
  });
  const chosen = chooseForRemoval([layer('new', now - 1), layer('future', 0)], { olderThan: 1000 }, 0, now);
  expect(chosen.map(({ folder }) => folder)).toEqual(['future']);
  // What cannot be read and stays counts against the bound.
  expect(chooseForRemoval([layer('new', now - 1)], { maxSize: 5 }, 4, now)).toEqual([]);
  expect(chooseForRemoval([layer('new', now - 1)], { maxSize: 5 }, 5, now).length).toBe(1);
});
