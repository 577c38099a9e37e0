import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ImageError } from '../../../src/images/bytes.ts';
import { PseudoFileReader } from '../../../src/images/pseudo-file.ts';
import { SquashfsListing } from '../../../src/images/squashfs-listing.ts';
import { compareFiles } from '../../../src/inspect/compare.ts';
import { listTree } from '../../../src/records/list-tree.ts';
import { parseMtree } from '../../../src/records/read-mtree.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'squashfs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What unsquashfs says of a tree that was put into a squashfs. */
function read(tree: string, step = 1 << 20) {
  const image = `${tree}.squashfs`;
  execFileSync('mksquashfs', [tree, image, '-quiet', '-no-progress', '-noappend'], { stdio: 'ignore' });
  const said = (...args: readonly string[]): Buffer =>
    execFileSync('bash', ['-uc', 'unsquashfs "$@" | cat', 'read', '-quiet', '-no-progress', ...args, image]);
  const [listing, list] = [new SquashfsListing(), new PseudoFileReader()];
  const feed = (bytes: Buffer, to: { push(chunk: Buffer): void }): void => {
    for (let at = 0; at < bytes.length; at += step) to.push(bytes.subarray(at, at + step));
  };
  feed(said('-llnumeric'), listing);
  feed(said('-no-xattrs', '-pf', '/dev/stdout'), list);
  return { listing, list };
}

function treeOf(name: string, make: (tree: string) => void): string {
  const tree = path.join(folder, name);
  mkdirSync(path.join(tree, 'below'), { recursive: true });
  make(tree);
  return tree;
}

describe('a squashfs', () => {
  test.each([1, 100, 1 << 20])('holds the tree, whatever its names are, in pieces of %d bytes', (step) => {
    const tree = treeOf('plain', (of) => {
      for (const name of ['#x', '#', '# START', 'a -> b', 'new\nline', '\r', 'x\ry', ' ']) writeFileSync(path.join(of, name), name);
      if (step > 1) return;
      for (const name of ['#link', 'c -> d', 'p q']) symlinkSync('a -> b', path.join(of, 'below', name));
      symlinkSync(Buffer.from([0x62, 0xff]), path.join(of, 'bytes'));
      if (process.getuid?.() === 0) chownSync(path.join(of, '#'), 4_000_000_000, 99);
    });
    const { listing, list } = read(tree, step);
    const expected = parseMtree(listTree(tree));
    expect(compareFiles(expected, parseMtree(list.list()))).toEqual({ added: [], removed: [], changed: [] });
    expect(listing.totals).toMatchObject({ entries: expected.size, files: 8 });
    listing.check(list.entries);
  });

  test.each([
    ['ends', 'x\n'],
    ['makes an entry', 'x\ny R 5 644 0 0 0 0'],
    ['ends the entries', 'x\n#\n# START OF DATA - DO NOT MODIFY\n#\n'],
    ['makes an entry, and its line', 'x\ny R 5 644 0 0 0 0\n-rw-r--r-- 0/0 0 2024-01-01 00:00 squashfs-root/y\nz R 5 644 0 0 0 0'],
    ['makes a link, and its line', 'x\nl S 5 777 0 0 x\nlrwxrwxrwx 0/0 1 2024-01-01 00:00 squashfs-root/link -> x'],
  ])('a link with a line feed that %s is found out', (name, target) => {
    const tree = treeOf(name.replaceAll(/\W/g, ''), (of) => symlinkSync(target, path.join(of, 'link')));
    expect(() => {
      const { listing, list } = read(tree);
      list.list();
      listing.check(list.entries);
    }).toThrow(ImageError);
  });
});
