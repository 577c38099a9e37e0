import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOf, ImageError } from '../../../src/images/bytes.ts';
import { compareFiles } from '../../../src/images/compare.ts';
import { extFacts, extTree } from '../../../src/images/ext.ts';
import { countImage, fileOfImage, listImage } from '../../../src/images/image-tree.ts';
import { PseudoFileReader } from '../../../src/images/pseudo-file.ts';
import { TarReader } from '../../../src/images/tar.ts';
import { parsePax, timeOfPax } from '../../../src/images/tar-header.ts';
import { listTree } from '../../../src/records/list-tree.ts';
import { parseMtree } from '../../../src/records/mtree.ts';
import { randomFrom } from '../../helpers/random.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'images-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tree = path.join(folder, 'tree');
mkdirSync(path.join(tree, 'a/very/deep'), { recursive: true });
writeFileSync(path.join(tree, 'a/file'), 'hello\n');
linkSync(path.join(tree, 'a/file'), path.join(tree, 'a/again'));
writeFileSync(path.join(tree, 'large'), 'x'.repeat(300_000));
symlinkSync('a/very/../file', path.join(tree, 'short'));
symlinkSync(`/a/${'./'.repeat(60)}file`, path.join(tree, 'long'));
symlinkSync('loop', path.join(tree, 'loop'));
writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x20, 0x0a])]), '');
writeFileSync(path.join(tree, `${'n'.repeat(150)}`), 'n');
for (let index = 0; index < 300; index += 1) writeFileSync(path.join(tree, `a/very/${index}-${'y'.repeat(60)}`), String(index));
execFileSync('bash', ['-euc', 'cd "$1"; truncate -s 5M hole; echo end >>hole; mkfifo pipe', 'tree', tree]);
utimesSync(path.join(tree, 'a/file'), 1.5, 1.5);
const expected = parseMtree(listTree(tree));
const never = (): void => {};

function image(name: string, ...args: readonly string[]): Buffer {
  const file = path.join(folder, name);
  execFileSync('bash', ['-uc', 'PATH+=:/usr/sbin:/sbin; mkfs.ext4 -q "$@" 2>/dev/null', 'mkfs', ...args, '-d', tree, file, '16M']);
  return readFileSync(file);
}

/** The list of files of a tree without its root, whose time mkfs sets. */
function differences(list: string) {
  return compareFiles(expected, parseMtree(list));
}
const same = { added: [], removed: [], changed: [] };

describe('an ext file system', () => {
  const plain = image('plain', '-b', '4096');

  test.each([
    ['as it comes', plain],
    ['without extents, with small blocks', image('indirect', '-b', '1024', '-O', '^extents,^64bit,^metadata_csum')],
    ['with groups of descriptors', image('meta', '-b', '1024', '-O', 'meta_bg,^resize_inode')],
    ['of the first form', image('ext2', '-O', 'none', '-I', '128')],
  ])('%s holds the tree', async (_, bytes) => {
    const found = extTree(bytesOf(bytes));
    expect(differences(await listImage(found, never))).toEqual(same);
    const { entries, files } = await countImage(found, never);
    expect([entries, files]).toEqual([expected.size, [...expected.values()].filter(({ type }) => type === 'file').length - 1]);
  });

  test.each([
    ['a/file', 'hello\n'],
    ['short', 'hello\n'],
    ['long', 'hello\n'],
    ['../../a/very/../file', 'hello\n'],
    ['loop', undefined],
    ['a', undefined],
    ['a/file/below', undefined],
    ['large', undefined],
  ])('%s is read as if the tree were /', (name, text) => {
    expect(fileOfImage(extTree(bytesOf(plain)), name, 1000)?.toString()).toBe(text);
  });

  test('what the superblock says', () => {
    expect(extFacts(bytesOf(plain))).toMatchObject({ fileSystem: 'ext4', blocks: 4096, blockSize: 4096 });
    expect(extFacts(bytesOf(readFileSync(path.join(folder, 'ext2'))))).toMatchObject({ fileSystem: 'ext2' });
    expect(() => extFacts(bytesOf(plain.subarray(0, 1024 ** 2)))).toThrow(/is cut off: the file system has 16777216 bytes/);
  });

  test('damage of any kind ends, and with a fault of the image', async () => {
    const random = randomFrom(1);
    const below = (count: number): number => Math.floor(random() * count);
    const used = [...plain.subarray(0, 600_000).keys()].filter((at) => plain[at] !== 0);
    for (let round = 0; round < 300; round += 1) {
      const damaged = Buffer.from(plain);
      for (let count = 0; count < 3; count += 1) damaged[used[below(used.length)] ?? 0] = below(256);
      try {
        const found = extTree(bytesOf(damaged));
        await countImage(found, never);
        await listImage(found, never);
      } catch (error) {
        expect(error instanceof ImageError || error instanceof RangeError, String(error)).toBe(true);
      }
    }
  });
});

describe('a tarball', () => {
  const read = (bytes: Buffer, step = bytes.length): TarReader => {
    const reader = new TarReader({ hashes: true, wanted: new Map(['a/file', 'a/again'].map((name) => [name, 100])) });
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    reader.end();
    return reader;
  };
  const pack = (...args: readonly string[]): Buffer => execFileSync('tar', [...args, '-cf', '-', '-C', tree, '.'], { maxBuffer: 1 << 28 });

  test.each(['gnu', 'oldgnu', 'pax', 'posix'])('of the format %s holds the tree, in any pieces', (format) => {
    const bytes = pack(`--format=${format}`);
    const list = read(bytes).list();
    expect(differences(list)).toEqual(same);
    expect(read(bytes, 777).list()).toBe(list);
  });

  test('of the format ustar, but for names that it cannot hold', () => {
    const found = differences(read(pack('--format=ustar', '--exclude=./nnn*', '--exclude=./long')).list());
    expect({ ...found, removed: found.removed.map((entry) => entry.path) }).toEqual({
      ...same,
      removed: ['./long', `./${'n'.repeat(150)}`],
    });
  });

  test('files that are wanted are kept, by each of their names', () => {
    const reader = read(pack());
    expect(reader.contents.get('a/again')?.toString()).toBe('hello\n');
    expect(reader.totals().files).toBe([...expected.values()].filter(({ type }) => type === 'file').length - 1);
  });

  test('sparse files have their size, and no digest', () => {
    for (const format of ['gnu', 'pax']) {
      const reader = read(pack('--sparse', `--format=${format}`));
      expect(reader.sparse).toBe(1);
      expect(reader.entries.get('./hole')).toMatchObject({ size: 5 * 1024 ** 2 + 4 });
      expect(reader.entries.get('./hole')?.sha256).toBeUndefined();
    }
  });

  test('that is cut off, or is none', () => {
    const bytes = pack();
    for (const size of [0, 100, 512, 700, 200_000]) expect(() => read(bytes.subarray(0, size))).toThrow(/is cut off/);
    const damaged = Buffer.from(bytes);
    damaged[600] = (damaged[600] ?? 0) ^ 1;
    expect(() => read(damaged)).toThrow(/is damaged: what follows its first \d members is none/);
  });

  test.each([
    ['1.5', '1.500000000'],
    ['-1.5', '-2.500000000'],
    ['-1', '-1.000000000'],
    ['0', '0.000000000'],
    ['1.1234567899', '1.123456789'],
  ])('the time %s', (text, time) => {
    expect(timeOfPax(text)).toBe(time);
  });

  test.each(['5 a=\n', '99 a=b\n', 'x', '0 =\n', '6 abc\n'])('no record: %j', (text) => {
    if (text === '5 a=\n') expect([...parsePax(Buffer.from(text))]).toEqual([['a', '']]);
    else expect(() => parsePax(Buffer.from(text))).toThrow(ImageError);
  });
});

describe('what unsquashfs writes of a tree', () => {
  const text =
    '/ D 5 755 0 0\na D 5 1777 0 0\na/b\\ c R 5 4711 -294967296 99 3 0\na/d R 5 644 0 0 2 3 0\nempty R 5 644 0 0 0 5\nh L a/b\\ c\nl S 5 777 0 0 x y\nn C 5 644 0 0 1 3\nnew\nline I 5 600 0 0 f\n#\n# START OF DATA - DO NOT MODIFY\n#\nhi\nab';

  test.each([1, 7, 1000])('in pieces of %d bytes', (step) => {
    const reader = new PseudoFileReader();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    const entries = parseMtree(reader.list());
    expect([...entries.keys()]).toEqual(['.', './a', './a/b c', './a/d', './empty', './l', './n', './new\nline', './h']);
    const file = { type: 'file', mode: 0o4711, uid: 4_000_000_000, gid: 99, size: 3, links: 2 };
    expect(entries.get('./a/b c')).toMatchObject({ ...file, sha256: '98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4' });
    expect(entries.get('./h')).toMatchObject(file);
    expect(entries.get('./a/d')?.sha256).toBe('fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603');
    expect(entries.get('./empty')?.sha256).toMatch(/^e3b0c442/);
    expect(entries.get('./l')).toMatchObject({ type: 'link', link: 'x y' });
    expect(entries.get('./n')).toMatchObject({ type: 'char', device: '1,3' });
    expect(entries.get('./new\nline')?.type).toBe('fifo');
  });

  test.each([
    ['data that is not there', text.slice(0, -1), 'has not read all files'],
    ['something else', 'what is this\n', 'says something else'],
  ])('%s', (_, said, message) => {
    const reader = new PseudoFileReader();
    expect(() => {
      reader.push(Buffer.from(said));
      reader.list();
    }).toThrow(message);
  });
});
