import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, rmSync, symlinkSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { lookAtTree, parseAttributes, type TreeRecord } from '../../../src/store/tree-record.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

/** A tree of all that needs no rights to be made, with the same times each time. */
function tree(): string {
  const root = tempRoot({ 'a/file': 'content', 'a/b/deep': 'deep', other: 'x' });
  linkSync(path.join(root, 'other'), path.join(root, 'second'));
  symlinkSync('a/file', path.join(root, 'link'));
  execFileSync('mkfifo', [path.join(root, 'pipe')]);
  writeFileSync(Buffer.from(`${root}/\xff\n name`, 'latin1'), 'odd');
  return root;
}

const record = (root: string): TreeRecord => {
  const answer = lookAtTree({ tree: root, attributes: new Map(), known: undefined });
  if (!('record' in answer)) throw new Error('no record');
  return answer.record;
};
const fault = (root: string, known: string, attributes = new Map<string, string>()): string | undefined => {
  const answer = lookAtTree({ tree: root, attributes, known });
  return 'fault' in answer ? answer.fault : 'a record';
};

test('a record names every entry, and a tree is what its record says', () => {
  const root = tree();
  const { text, entries } = record(root);
  const words = text.split('\0');
  expect(words.length).toBe(3 * entries + 1);
  expect(words.filter((_, at) => at % 3 === 0).slice(0, -1)).toEqual([
    '.',
    './a',
    './a/b',
    './a/b/deep',
    './a/file',
    './link',
    './other',
    './pipe',
    './second',
    './\xff\n name',
  ]);
  const sha256 = 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73';
  expect(text).toMatch(new RegExp(`\\./a/file\\0\\0file 644 \\d+ \\d+ \\d+ 7 - - ${sha256}\\0`));
  expect(text).toMatch(/\.\/link\0a\/file\0link /);
  // The other name of the file of entry 6.
  expect(text).toMatch(/\.\/second\0\0file 644 \d+ \d+ \d+ 1 6 - /);
  expect(fault(root, text)).toBeUndefined();
});

const on = (root: string, name: string, deed: (file: string) => void): void => deed(path.join(root, name));

test.each<[string, (root: string) => void, RegExp]>([
  ['other bytes', (root) => on(root, 'a/file', (file) => writeFileSync(file, 'c0ntent')), /^tree\/a\/file has other content$/],
  [
    'a size that would take for ever to read',
    (root) => on(root, 'a/file', (file) => truncateSync(file, 1024 ** 4)),
    /^tree\/a\/file has another size$/,
  ],
  ['another mode', (root) => chmodSync(path.join(root, 'a/file'), 0o4755), /^tree\/a\/file has another mode$/],
  ['another time', (root) => utimesSync(path.join(root, 'a/file'), 1, 1), /^tree\/a\/file has another time$/],
  ['a file less', (root) => on(root, 'a/file', unlinkSync), /^tree\/a\/file is gone$/],
  ['the last file', (root) => on(root, 'second', unlinkSync), /^tree\/second is gone$/],
  ['a folder less', (root) => on(root, 'a/b', (file) => rmSync(file, { recursive: true })), /^tree\/a\/b is gone$/],
  ['a file more', (root) => on(root, 'a/more', (file) => writeFileSync(file, '')), /^tree\/a\/more is new$/],
  [
    'a pipe in the place of a file',
    (root) =>
      on(root, 'a/file', (file) => {
        unlinkSync(file);
        execFileSync('mkfifo', [file]);
      }),
    /^tree\/a\/file has another type$/,
  ],
  [
    'a link that leads elsewhere',
    (root) =>
      on(root, 'link', (file) => {
        unlinkSync(file);
        symlinkSync('a/else', file);
      }),
    /^tree\/link has another target$/,
  ],
  [
    'two files in the place of two names',
    (root) =>
      on(root, 'second', (file) => {
        unlinkSync(file);
        writeFileSync(file, 'x');
      }),
    /^tree\/second has other names$/,
  ],
])('%s: found', (_, change, message) => {
  const root = tree();
  const known = record(root).text;
  change(root);
  expect(fault(root, known)).toMatch(message);
});

test('attributes count', () => {
  const root = tree();
  const known = record(root).text;
  expect(fault(root, known, new Map([['./a', 'trusted.overlay.opaque=79']]))).toBe('tree/a has other attributes');
  expect(parseAttributes('./a\0user.x=61 user.y=\0\x003\x0012\0\x001\x000\0')).toEqual([
    { of: new Map([['./a', 'user.x=61+user.y=']]), entries: 3, bytes: 12 },
    { of: new Map(), entries: 1, bytes: 0 },
  ]);
});
