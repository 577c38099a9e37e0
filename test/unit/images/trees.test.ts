import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOf, ImageError } from '../../../src/images/bytes.ts';
import { extFacts, extObstacle, extTree } from '../../../src/images/ext.ts';
import { extBlocks } from '../../../src/images/ext-blocks.ts';
import { countImage, fileOfImage, type ImageTree, listImage, type Name, timeText } from '../../../src/images/image-tree.ts';
import { piecesOf } from '../../../src/images/programs.ts';
import { PseudoFileReader } from '../../../src/images/pseudo-file.ts';
import { TarReader } from '../../../src/images/tar.ts';
import { parsePax, timeOfPax } from '../../../src/images/tar-header.ts';
import { SparseContent } from '../../../src/images/tar-sparse.ts';
import { compareFiles } from '../../../src/inspect/compare.ts';
import { listTree } from '../../../src/records/list-tree.ts';
import { parseMtree } from '../../../src/records/read-mtree.ts';
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

  test('what stands against reading it', () => {
    expect(extObstacle(bytesOf(plain))).toBeUndefined();
    expect(extObstacle(bytesOf(image('inline', '-O', 'inline_data')))).toBe('data in inodes');
  });

  test.each<[string, string, string, number?]>([
    ['a slash', 'again', 'a/ain'],
    ['a zero', 'again', 'aga\0n'],
    ['no character', 'again', 'again', 0],
    ['the folder itself, elsewhere', 'again', '.gain', 1],
    ['the folder above, twice', 'again', '..ain', 2],
    ['another one, twice', 'short', 'large'],
  ])('a name with %s is damage', async (_, before, after, length = after.length) => {
    const damaged = Buffer.from(plain);
    const at = damaged.indexOf(before);
    damaged.write(after, at, 'latin1');
    damaged.writeUInt8(length, at - 2);
    await expect(countImage(extTree(bytesOf(damaged)), never)).rejects.toThrow(/is damaged: a folder has the name "/);
  });

  describe('the extents of a file', () => {
    const SIZE = 1024;
    /** A node: entries of a first block, then of an index its block, of a leaf how many there are from which place on. */
    const node = (size: number, depth: number, ...entries: readonly (readonly [number, number, number?])[]): Buffer => {
      const buffer = Buffer.alloc(size);
      buffer.writeUInt16LE(0xf30a, 0);
      buffer.writeUInt16LE(entries.length, 2);
      buffer.writeUInt16LE(depth, 6);
      for (const [index, [logical, value, physical = 0]] of entries.entries()) {
        const at = 12 + index * 12;
        buffer.writeUInt32LE(logical, at);
        if (depth > 0) buffer.writeUInt32LE(value, at + 4);
        else buffer.writeUInt16LE(value, at + 4);
        if (depth === 0) buffer.writeUInt32LE(physical, at + 8);
      }
      return buffer;
    };
    const runs = (map: Buffer, ...nodes: readonly Buffer[]) =>
      [...extBlocks(bytesOf(Buffer.concat(nodes)), SIZE, map, true, 100)].map(({ logical, count }) => [logical, count]);

    test('are read in their order, and not beyond the end of the file', () => {
      const leaves = [node(SIZE, 0, [0, 2], [5, 3]), node(SIZE, 0, [10, 1], [200, 1])];
      expect(runs(node(60, 1, [0, 0], [9, 1]), ...leaves)).toEqual([
        [0, 2],
        [5, 3],
        [10, 1],
      ]);
      expect(runs(node(60, 0))).toEqual([]);
    });

    test.each<[string, Buffer, Buffer[]]>([
      ['two entries that lead to one node', node(60, 1, [0, 0], [9, 0]), [node(SIZE, 0, [0, 2])]],
      ['a node that leads to itself', node(60, 2, [0, 0]), [node(SIZE, 2, [0, 0])]],
      ['a level that is left out', node(60, 2, [0, 0]), [node(SIZE, 0, [0, 1])]],
      ['a level too many', node(60, 6, [0, 0]), []],
      ['blocks that do not rise', node(60, 0, [5, 1], [4, 1]), []],
      ['extents that lie upon each other', node(60, 0, [0, 5], [4, 1]), []],
      ['an extent beyond the span of its node', node(60, 1, [0, 0], [4, 1]), [node(SIZE, 0, [0, 5]), node(SIZE, 0, [4, 1])]],
      ['an extent of nothing', node(60, 0, [0, 0]), []],
      ['a node of nothing', node(60, 1, [0, 0]), [node(SIZE, 0)]],
    ])('%s', (_, map, nodes) => {
      expect(() => runs(map, ...nodes)).toThrow('the extents of a file cannot be');
    });
  });

  /** Throws at the last of so many calls: what goes round in circles ends there, however fast the machine is. */
  function most(calls: number, what: string): () => void {
    let left = calls;
    return () => {
      left -= 1;
      if (left === 0) throw new Error(`${calls} ${what} and no end`);
    };
  }

  // The image as it is takes some 2 200 reads and 6 turns. The time limit is not what ends a round.
  test('reading an ext file system with any damage ends, if not well then with an error of the image', { timeout: 900_000 }, async () => {
    const random = randomFrom(1);
    const below = (count: number): number => Math.floor(random() * count);
    expect(() => timeText(0, 1_000_000_000)).toThrow(ImageError);
    const used = [...plain.subarray(0, 600_000).keys()].filter((at) => plain[at] !== 0);
    for (let round = 0; round < 300; round += 1) {
      const damaged = Buffer.from(plain);
      for (let count = 0; count < 3; count += 1) damaged[used[below(used.length)] ?? 0] = below(256);
      const bytes = bytesOf(damaged);
      const [read, turn] = [most(50_000, 'reads'), most(1000, 'turns')];
      const counted = {
        size: bytes.size,
        at(offset: number, length: number): Buffer {
          read();
          return bytes.at(offset, length);
        },
      };
      try {
        const found = extTree(counted);
        await countImage(found, turn);
        parseMtree(await listImage(found, turn));
      } catch (error) {
        expect(error instanceof ImageError || error instanceof RangeError, String(error)).toBe(true);
      }
    }
  });
});

describe('what was unpacked', () => {
  const read = (name: string): string => Buffer.concat([...piecesOf(tree, name)]).toString();

  test('is read by its own name alone', () => {
    expect(read('./a/file')).toBe('hello\n');
    symlinkSync('tree/a', path.join(folder, 'link'));
    for (const name of ['./short', './a/../a/file', './../tree/a/file', './pipe', './a', './none', './a/file/none'])
      expect(() => read(name)).toThrow(`is damaged: "${name}" was not unpacked as a file`);
    expect(() => [...piecesOf(folder, './link/file')]).toThrow(ImageError);
  });
});

describe('a tree that would take long', () => {
  const GIB = 1024 ** 3;
  const common = { mode: 0o755, uid: 0, gid: 0, time: '0.000000000', links: 1 };
  /** A root with names; a number below 100 is a file of this size in GiB, another one a folder. */
  const treeOf = (names: readonly Name[], folderSize = 1): ImageTree => ({
    root: 100,
    capacity: 10,
    own: [],
    inode: (number) => ({ ...common, type: number < 100 ? 'file' : 'dir', size: number < 100 ? number * GIB : folderSize }),
    names: (number) => (number === 100 ? [...names] : []),
    content: () => Array.from({ length: 1000 }, () => Buffer.from('x')),
  });

  test('a folder with two names, or in itself', async () => {
    await expect(countImage(treeOf([{ name: 'a', inode: 100 }]), never)).rejects.toThrow('is damaged: the folder "./a" has another name');
    const twice = ['a', 'b'].map((name) => ({ name, inode: 101 }));
    await expect(countImage(treeOf(twice), never)).rejects.toThrow('is damaged: the folder "./b" has another name');
  });

  test('folders that are larger than the image', async () => {
    await expect(countImage(treeOf([{ name: 'a', inode: 101 }], 6), never)).rejects.toThrow('its folders have 12 bytes');
  });

  test('sparse files without end', async () => {
    const most = [1, 2, 3, 4].map((inode) => ({ name: `n${inode}`, inode }));
    expect((await listImage(treeOf(most), never)).match(/sha256digest=/g)).toHaveLength(4);
    const cause = 'cannot be compared: its files have more than 17179869264 bytes, far more than it has itself';
    // Beside those four, which have 10 GiB, eight more.
    const distinct = treeOf([...most, ...[50, 51].map((inode) => ({ name: `n${inode}`, inode }))]);
    const sizes: ImageTree = {
      ...distinct,
      inode: (number) => ({ ...distinct.inode(number), ...(number === 50 || number === 51 ? { size: 4 * GIB } : {}) }),
    };
    await expect(listImage(sizes, never)).rejects.toThrow(cause);
  });

  test('others get their turn within a file', async () => {
    const stop = (): void => {
      throw new Error('stopped');
    };
    await expect(listImage(treeOf([{ name: 'a', inode: 1 }]), stop)).rejects.toThrow('stopped');
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

  test('files with holes are read whole', () => {
    const bytes = pack('--sparse', '--format=pax');
    expect(read(bytes).sparse).toBe(0);
    expect(differences(read(bytes).list())).toEqual(same);
    expect(read(bytes, 777).list()).toBe(read(bytes).list());
    expect(read(bytes, 1).entries.get('./hole')).toEqual(read(bytes).entries.get('./hole'));
  });

  test.each([
    ['no list', 'x', 'has no list of pieces'],
    ['no number', '1\nx\n1\n', 'has no number where one belongs'],
    ['a piece behind the end', '1\n9000000\n1\n', 'lie elsewhere'],
    ['pieces that go back', '2\n4\n1\n0\n1\n', 'lie elsewhere'],
    ['fewer pieces than content', '1\n0\n1\n', 'more content than pieces'],
    ['more pieces than content', '3\n0\n512\n600\n512\n1200\n4096\n', 'cut off'],
  ])('a member with holes that has %s', (_, map, cause) => {
    const content = new SparseContent(8192, createHash('sha256'));
    const list = Buffer.alloc(512);
    list.write(map);
    expect(() => {
      content.push(list);
      content.push(Buffer.alloc(1024, 1));
      content.digest();
    }).toThrow(cause);
  });

  test('zeros without end have no digest', () => {
    const content = new SparseContent(2 ** 45, createHash('sha256'));
    const list = Buffer.alloc(512);
    list.write(`1\n${2 ** 45}\n0\n`);
    content.push(list);
    expect(content.digest()).toBeUndefined();
  });

  test('other forms of files with holes have their size, and no digest', () => {
    for (const format of [['--format=gnu'], ['--format=pax', '--sparse-version=0.0'], ['--format=pax', '--sparse-version=0.1']]) {
      const reader = read(pack('--sparse', ...format));
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

  const memberOf = (change: (block: Buffer) => void): Buffer => {
    const bytes = pack('--no-recursion');
    change(bytes);
    bytes.write('        ', 148);
    const sum = bytes.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return bytes;
  };

  test.each([
    ['size', 124],
    ['owner', 108],
    ['permissions', 100],
  ])('a negative number as %s is damage, as time it is none', (_, at) => {
    const negative = (from: number) => memberOf((block) => block.fill(0xff, from, from + (from === 136 || from === 124 ? 12 : 8)));
    expect(() => read(negative(at))).toThrow('is damaged: a header has a number that cannot be');
    expect(parseMtree(read(negative(136)).list()).get('.')?.time).toBe('-1.000000000');
  });

  test('members, and records of headers, without end', () => {
    const reader = new TarReader({ hashes: false, mostNames: 3 });
    expect(() => reader.push(pack())).toThrow('has more than 3 names');
    const many = Array.from({ length: 1001 }, (_, index) => `--pax-option=key${index}=1`);
    expect(() => read(pack('--format=pax', ...many))).toThrow('is damaged: its extended headers have no end');
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
    ['more names than there can be', text, 4, 'has more than 4 names'],
    ['a size that cannot be', 'a R 5 644 0 0 99999999999999999999 0 0\n', 10, 'is damaged: it has the number 9999'],
    ['a time that cannot be', 'a D 99999999999999999999 755 0 0\n', 10, 'is damaged: it has the number 9999'],
  ])('%s', (_, said, most, message) => {
    const reader = new PseudoFileReader(most);
    expect(() => {
      reader.push(Buffer.from(said));
      reader.list();
    }).toThrow(message);
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
