import { renameSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasLock, lockHolder } from '../../../src/cli/lock-holder.ts';
import { held } from '../../helpers/held.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

test.each([
  ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:99 0 EOF', 99, true],
  ['pos:\t0\nflags:\t02\nlock:\t10: FLOCK  ADVISORY  READ 0 fe:00:123456789 0 EOF', 123456789, true],
  ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:01:99 0 EOF', 99, false],
  ['lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:99 0 EOF', 99, false],
  ['lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:99 0 EOF', 99, false],
  ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:199 0 EOF', 99, false],
  ['', 99, false],
])('the descriptor %j with inode %i holds a lock: %j', (text, inode, found) => {
  expect(hasLock(`${text}\n`, 0xfe00, inode)).toBe(found);
});

test('a folder is locked once, by whatever name; this process holds it', async () => {
  const folder = tempRoot();
  const [one, two] = [await held(folder), await held(folder)];
  expect(await lockHolder(await one.own())).toBeUndefined();
  expect(await one.lock()).toBe(true);
  renameSync(folder, `${folder}-moved`);
  expect([await one.lock(), await two.lock()]).toEqual([true, false]);
  expect(await lockHolder(await two.own())).toBe(process.pid);
  // flock(1) makes a file where there is nothing: not here.
  expect(() => statSync(folder)).toThrow('ENOENT');
  renameSync(`${folder}-moved`, folder);
});
