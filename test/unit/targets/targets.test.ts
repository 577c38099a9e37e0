import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { derivedUuid } from '../../../src/system/uuid.ts';
import { findTarget, groups, isTargetFile, targets, targetsOf } from '../../../src/targets/all.ts';
import { ext4, ext4Geometry, usedInodes } from '../../../src/targets/ext4.ts';
import { tarball, tarballXz } from '../../../src/targets/tarball.ts';
import type { Target, TargetCommand, TargetInput, TargetTools } from '../../../src/targets/target.ts';
import { realRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const MEBI = 1024 ** 2;
const input: TargetInput = {
  sourceDateEpoch: 7,
  file: '/o/x',
  treeSize: 100 * MEBI,
  treeEntries: 1000,
  sparse: [],
  freeSpace: 0,
  identity: 'digest',
  name: 'base',
  channel: 'realmfs-user',
};

/** The commands of a target; dumpe2fs is answered by a text. */
async function commandsOf(target: Target, dump = ''): Promise<TargetCommand[]> {
  const commands: TargetCommand[] = [];
  const tools: TargetTools = {
    run: async (command) => void commands.push(command),
    capture: async (command) => {
      commands.push(command);
      return dump;
    },
    copyTree: async () => {},
    isStopped: () => false,
  };
  await target.write(input, tools);
  return commands;
}

test('names and files of the targets', () => {
  expect(Object.fromEntries(targets.map((target) => [target.name, target.file('base')]))).toEqual({
    realmfs: 'base-realmfs.img',
    'root-dir': 'rootfs',
    'realmfs-xz': 'base-realmfs-xz.img',
    ext4: 'citadel-realmfs.ext4',
    squashfs: 'base.squashfs',
    'squashfs-xz': 'base.xz.squashfs',
    erofs: 'base.erofs',
    tarball: 'realmfs-rootfs.tar',
    'tarball-xz': 'realmfs-rootfs.tar.xz',
    'tarball-zst': 'realmfs-rootfs.tar.zst',
  });
  for (const target of targets) expect(findTarget(target.name)).toBe(target);
  for (const target of targets) for (const name of ['base', 'web-1']) expect(isTargetFile(target.file(name))).toBe(true);
  for (const name of ['notes.txt', 'build.conf', '.squashfs', 'realmfs.img']) expect(isTargetFile(name)).toBe(false);
  expect(() => findTarget('qcow2')).toThrow('no target qcow2');
  expect(targetsOf('all')).toEqual(targets);
  expect(targetsOf('ext4')).toEqual([ext4]);
  for (const name of Object.keys(groups)) expect(targets.map((target) => target.name)).not.toContain(name);
});

describe('tarballs', () => {
  test('the exact command of tarball-xz', async () => {
    expect(await commandsOf(tarballXz)).toEqual([
      {
        label: 'tar',
        file: 'tar',
        args: [
          '--create',
          '--file=/o/x',
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
    const file = path.join(tempRoot(), 'x.tar');
    const run = async (command: TargetCommand): Promise<void> => void (await realRunner().run({ ...command, cwd: tree }));
    await tarball.write(
      { ...input, file, sourceDateEpoch: 1_000_000 },
      { run, capture: async () => '', copyTree: async () => {}, isStopped: () => false },
    );
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
  test('derived ids, a fixed time, times of all inodes, checked afterwards', async () => {
    const [make, dump, times, check] = await commandsOf(ext4, 'Inode count:              20\n  Free inodes: 14, 17-20\n');
    const env = { E2FSPROGS_FAKE_TIME: '7', MKE2FS_CONFIG: '/run/realmfs/program/templates/mke2fs.conf' };
    expect(make?.env).toEqual(env);
    expect(make?.args).toContain(derivedUuid('digest'));
    expect(make?.args).toContain(`hash_seed=${derivedUuid('digest hash seed')},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0`);
    expect(make?.args.slice(-4, -1)).toEqual(['-d', '.', '/o/x']);
    expect(dump).toEqual({ label: 'dumpe2fs', file: 'dumpe2fs', args: ['/o/x'], env });
    expect(times?.args.slice(-5)).toEqual(['/o/x', '7', '2-2', '11-13', '15-16']);
    expect(check).toMatchObject({ file: 'e2fsck', args: ['-f', '-n', '/o/x'] });
  });

  test('a dumpe2fs that says something else', () => {
    expect(() => usedInodes('Inodes: 5\n')).toThrow('does not say which inodes are in use');
  });

  test('inodes in use', () => {
    expect(usedInodes('Inode count:  16\nGroup 0:\n  Free inodes: 13-16\n')).toEqual([2, 11, 12]);
    expect(usedInodes('Inode count:  13\n  Free inodes: \n')).toEqual([2, 11, 12, 13]);
    expect(usedInodes('Inode count:  30\n  Free inodes: 12-15\n  Free inodes: 17-30\n')).toEqual([2, 11, 16]);
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
});
