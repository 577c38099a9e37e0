import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { listTree } from '../../../src/records/list-tree.ts';
import { type FileEntry, MTREE_HEAD, mtreeLine } from '../../../src/records/mtree.ts';
import { parseMtree } from '../../../src/records/read-mtree.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'mtree-'));
afterAll(() => rmSync(folder, { recursive: true }));

const plain: FileEntry = { path: './a', type: 'dir', mode: 0o755, uid: 0, gid: 0, time: '1.000000005' };

describe('a list of files', () => {
  test.each<[string, FileEntry]>([
    ['a folder', plain],
    ['a file', { ...plain, type: 'file', size: 3, sha256: 'ab'.repeat(32) }],
    ['a file with two names', { ...plain, type: 'file', size: 0, sha256: '00'.repeat(32), links: 2 }],
    ['a link', { ...plain, type: 'link', link: 'b c=\\#' }],
    ['a device', { ...plain, type: 'char', device: '1,3' }],
    ['a name with anything in it', { ...plain, path: './ \n\t\\#=*?[\xff\x01\x80' }],
    ['a time before 1970', { ...plain, time: '-2.500000000' }],
    ['an owner beyond 31 bits', { ...plain, uid: 4_000_000_000 }],
  ])('%s comes back as it was', (_, entry) => {
    const line = mtreeLine(entry);
    expect(line.match(/\n/g)).toHaveLength(1);
    expect(parseMtree(MTREE_HEAD + line).get(entry.path)).toEqual(entry);
  });

  test.each([
    ['nothing', ''],
    ['another first line', './a type=dir mode=0755 uid=0 gid=0 time=1.000000000\n'],
    ['a type that is none', `${MTREE_HEAD}./a type=door mode=0755 uid=0 gid=0 time=1.000000000\n`],
    ['a line without a mode', `${MTREE_HEAD}./a type=dir uid=0 gid=0 time=1.000000000\n`],
    ['a digest that is too short', `${MTREE_HEAD}./a type=file mode=0755 uid=0 gid=0 time=1.000000000 sha256digest=abc\n`],
  ])('%s is none', (_, text) => {
    expect(() => parseMtree(text)).toThrow(/no list of files|no entry/);
  });
});

describe('a tree', () => {
  const tree = path.join(folder, 'tree');
  mkdirSync(path.join(tree, 'b'), { recursive: true });
  writeFileSync(path.join(tree, 'b/file'), 'hello\n');
  linkSync(path.join(tree, 'b/file'), path.join(tree, 'b/other'));
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x20])]), '');
  symlinkSync('b/file', path.join(tree, 'a'));
  execFileSync('mkfifo', [path.join(tree, 'pipe')]);
  chmodSync(path.join(tree, 'b/file'), 0o4711);
  utimesSync(path.join(tree, 'b/file'), 1.5, 1.5);
  const text = listTree(tree);
  const entries = parseMtree(text);

  test('has each entry once, in order', () => {
    expect([...entries.keys()]).toEqual(['.', './a', './b', './b/file', './b/other', './pipe', './\xff ']);
  });

  test('with what there is to say of it', () => {
    expect(entries.get('./b/file')).toMatchObject({
      type: 'file',
      mode: 0o4711,
      size: 6,
      links: 2,
      time: '1.500000000',
      sha256: '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03',
    });
    expect(entries.get('./a')).toMatchObject({ type: 'link', link: 'b/file' });
    expect(entries.get('./pipe')?.type).toBe('fifo');
    expect(entries.get('./\xff ')?.size).toBe(0);
  });

  test('is the same the second time', () => {
    expect(listTree(tree)).toBe(text);
  });
});
