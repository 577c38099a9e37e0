import { expect, test } from 'vitest';
import { derivedUuid, ext4, ext4Geometry } from '../../../src/targets/ext4.ts';
import { tarball, tarballXz } from '../../../src/targets/tarball.ts';

const input = {
  sourceDateEpoch: 7,
  output: '/o',
  treeSize: 300 * 1024 ** 2,
  treeEntries: 20_000,
  freeSpace: 512 * 1024 ** 2,
  identity: 'base trixie amd64 7',
};

test('tar', () => {
  expect(tarball.commands(input)[0]?.args).toEqual([
    '--create',
    '--file=/o/realmfs-rootfs.tar',
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
  ]);
  expect(tarballXz.commands(input)[0]?.args).toContain('--use-compress-program=xz --threads=0');
});

test('ext4: derived ids, a fixed time, checked afterwards', () => {
  const [make, check] = ext4.commands(input);
  expect(make?.env).toEqual({ E2FSPROGS_FAKE_TIME: '7' });
  expect(make?.args).toContain(derivedUuid(input.identity));
  expect(make?.args.slice(-4, -1)).toEqual(['-d', '.', '/o/citadel-realmfs.ext4']);
  expect(check).toMatchObject({ file: 'e2fsck', args: ['-f', '-n', '/o/citadel-realmfs.ext4'] });
});

test('more content, entries or free space never makes a smaller file system', () => {
  const { blocks, inodes } = ext4Geometry(input);
  expect(blocks * 4096).toBeGreaterThan(input.treeSize + input.freeSpace);
  expect(inodes).toBeGreaterThan(input.treeEntries);
  for (const more of [{ treeSize: 4e9 }, { treeEntries: 90_000 }, { freeSpace: 2e9 }]) {
    expect(ext4Geometry({ ...input, ...more }).blocks).toBeGreaterThan(blocks);
  }
});

test('derived UUIDs', () => {
  expect(derivedUuid('a')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(derivedUuid('a')).toBe(derivedUuid('a'));
  expect(derivedUuid('a')).not.toBe(derivedUuid('b'));
});
