import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOf, ImageError } from '../../../src/images/bytes.ts';
import { erofsTree } from '../../../src/images/erofs.ts';
import { countImage, listImage } from '../../../src/images/image-tree.ts';
import { compareFiles } from '../../../src/inspect/compare.ts';
import { listTree } from '../../../src/records/list-tree.ts';
import { parseMtree } from '../../../src/records/read-mtree.ts';
import { randomFrom } from '../../helpers/random.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'erofs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tree = path.join(folder, 'tree');
mkdirSync(path.join(tree, 'a/deep'), { recursive: true });
writeFileSync(path.join(tree, 'a/first'), 'hello\n');
writeFileSync(path.join(tree, 'a/other'), 'x'.repeat(10_000));
symlinkSync('first', path.join(tree, 'a/zlink'));
for (let index = 0; index < 300; index += 1) writeFileSync(path.join(tree, `a/deep/${index}-${'y'.repeat(60)}`), String(index));
const file = path.join(folder, 'image');
execFileSync('bash', ['-uc', 'PATH+=:/usr/sbin:/sbin; mkfs.erofs "$@" >/dev/null 2>&1', 'mkfs', '-E', 'force-inode-extended', file, tree]);
const plain = readFileSync(file);
const never = (): void => {};

describe('an EROFS', () => {
  test('holds the tree', async () => {
    const found = parseMtree(await listImage(erofsTree(bytesOf(plain)), never));
    expect(compareFiles(parseMtree(listTree(tree)), found)).toEqual({ added: [], removed: [], changed: [] });
  });

  test.each([
    ['a slash', 'first', 'fi/st'],
    ['a zero', 'first', 'fi\0st'],
    ['another one, twice', 'first', 'other'],
  ])('a name with %s is damage', async (_, before, after) => {
    const damaged = Buffer.from(plain);
    damaged.write(after, damaged.indexOf(before), 'latin1');
    await expect(countImage(erofsTree(bytesOf(damaged)), never)).rejects.toThrow(/is damaged: a folder has the name "/);
  });

  test('damage of any kind ends, and with a fault of the image', async () => {
    const random = randomFrom(2);
    const below = (count: number): number => Math.floor(random() * count);
    const used = [...plain.keys()].filter((at) => at < 200_000 && plain[at] !== 0);
    for (let round = 0; round < 300; round += 1) {
      const damaged = Buffer.from(plain);
      for (let count = 0; count < 3; count += 1) damaged[used[below(used.length)] ?? 0] = below(256);
      try {
        const found = erofsTree(bytesOf(damaged));
        await countImage(found, never);
        parseMtree(await listImage(found, never));
      } catch (error) {
        expect(error instanceof ImageError || error instanceof RangeError, String(error)).toBe(true);
      }
    }
  });
});
