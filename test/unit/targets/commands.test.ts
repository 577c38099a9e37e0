import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { findTarget, targets } from '../../../src/targets/all.ts';
import { derivedUuid, ext4, ext4Geometry } from '../../../src/targets/ext4.ts';
import { tarball, tarballXz } from '../../../src/targets/tarball.ts';
import { realRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const MEBI = 1024 ** 2;
const input = { sourceDateEpoch: 7, output: '/o', treeSize: 100 * MEBI, treeEntries: 1000, freeSpace: 0, identity: 'base trixie amd64 7' };

test('names and files of the targets', () => {
  expect(targets.map(({ name, file }) => [name, file])).toEqual([
    ['tarball', 'realmfs-rootfs.tar'],
    ['tarball-xz', 'realmfs-rootfs.tar.xz'],
    ['ext4', 'citadel-realmfs.ext4'],
  ]);
  for (const target of targets) expect(findTarget(target.name)).toBe(target);
  expect(() => findTarget('qcow2')).toThrow('no target qcow2');
});

describe('tarballs', () => {
  test('the exact command of tarball-xz', () => {
    expect(tarballXz.commands(input)).toEqual([
      {
        label: 'tar',
        file: 'tar',
        args: [
          '--create',
          `--file=${input.output}/realmfs-rootfs.tar.xz`,
          '--use-compress-program=xz --threads=0',
          '--sort=name',
          '--numeric-owner',
          '--xattrs',
          '--xattrs-include=*',
          '--acls',
          '--format=pax',
          '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
          '--clamp-mtime',
          '--mtime=@7',
          '--warning=no-file-ignored',
          '.',
        ],
      },
    ]);
  });

  /** Writes a tarball of a tree; returns its digest and its members. */
  async function written(tree: string): Promise<{ digest: string; members: string[] }> {
    const output = tempRoot();
    const runner = realRunner();
    const file = path.join(output, tarball.file);
    for (const command of tarball.commands({ ...input, output, sourceDateEpoch: 1_000_000 }))
      await runner.run({
        ...command,
        cwd: tree,
      });
    const members = execFileSync('tar', ['--list', '--verbose', '--full-time', '--utc', '--file', file], { encoding: 'utf8' });
    return { digest: createHash('sha256').update(readFileSync(file)).digest('hex'), members: members.trimEnd().split('\n') };
  }

  test('the same tree gives the same bytes, whenever it was written; times are clamped', async () => {
    const made = (order: readonly string[], time: number): string => {
      const tree = tempRoot();
      for (const name of order) mkdirSync(path.join(tree, name), { recursive: true });
      for (const name of [...order, '.']) utimesSync(path.join(tree, name), time, time);
      utimesSync(path.join(tree, 'b'), 500, 500);
      return tree;
    };
    const one = await written(made(['a', 'b', 'c'], 2_000_000));
    const two = await written(made(['c', 'b', 'a'], 3_000_000));
    expect(one.digest).toBe(two.digest);
    expect(one.members.map((line) => line.split(/\s+/).slice(3))).toEqual([
      ['1970-01-12', '13:46:40', './'],
      ['1970-01-12', '13:46:40', './a/'],
      ['1970-01-01', '00:08:20', './b/'],
      ['1970-01-12', '13:46:40', './c/'],
    ]);
  });
});

describe('ext4', () => {
  test('the exact commands', () => {
    const { blocks, inodes } = ext4Geometry(input);
    expect(ext4.commands(input)).toEqual([
      {
        label: 'mkfs.ext4',
        file: 'mkfs.ext4',
        args: [
          '-q',
          '-F',
          '-b',
          '4096',
          '-I',
          '256',
          '-N',
          String(inodes),
          '-m',
          '0',
          '-J',
          'size=8',
          '-U',
          derivedUuid('base trixie amd64 7'),
          '-E',
          `hash_seed=${derivedUuid('base trixie amd64 7 hash seed')},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0`,
          '-d',
          '.',
          '/o/citadel-realmfs.ext4',
          String(blocks),
        ],
        env: { E2FSPROGS_FAKE_TIME: '7' },
      },
      { label: 'e2fsck', file: 'e2fsck', args: ['-f', '-n', '/o/citadel-realmfs.ext4'] },
    ]);
  });

  test('the geometry of an example', () => {
    expect(ext4Geometry(input)).toEqual({ blocks: 29_336, inodes: 2124, journalMiB: 8 });
    expect(ext4Geometry({ treeSize: 255 * MEBI, treeEntries: 1, freeSpace: 1 * MEBI }).journalMiB).toBe(32);
    expect(ext4Geometry({ treeSize: 0, treeEntries: 0, freeSpace: 0 }).blocks * 4096).toBeGreaterThan(8 * MEBI);
  });

  test('it grows with each of its inputs, and free space is free', () => {
    const sizes = [0, 1, MEBI, 64 * MEBI, 256 * MEBI, 4096 * MEBI];
    for (const key of ['treeSize', 'freeSpace'] as const) {
      const blocks = sizes.map((size) => ext4Geometry({ ...input, [key]: size }).blocks);
      expect(blocks).toEqual([...blocks].sort((a, b) => a - b));
      for (const [index, size] of sizes.entries()) expect((blocks[index] ?? 0) * 4096).toBeGreaterThan(size);
    }
    const entries = [0, 10, 1000, 100_000].map((treeEntries) => ext4Geometry({ ...input, treeEntries }));
    expect(entries.map(({ blocks }) => blocks)).toEqual(entries.map(({ blocks }) => blocks).sort((a, b) => a - b));
    for (const [index, count] of [0, 10, 1000, 100_000].entries()) expect(entries[index]?.inodes).toBeGreaterThan(count);
  });

  test.each([
    ['', 'e3b0c442-98fc-8c14-aafb-f4c8996fb924'],
    ['base trixie amd64 7', undefined],
    ['ü', undefined],
  ])('the UUID of %j', (text, expected) => {
    const uuid = derivedUuid(text);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(derivedUuid(text)).toBe(uuid);
    expect(derivedUuid(`${text} `)).not.toBe(uuid);
    if (expected !== undefined) expect(uuid).toBe(expected);
  });
});
