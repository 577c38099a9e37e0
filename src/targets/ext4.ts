import { createHash } from 'node:crypto';
import type { Target, TargetInput } from './target.ts';

const BLOCK = 4096;
const INODE = 256;
const MEBI = 1024 ** 2;

/** The geometry of an ext4 file system that holds the tree and the wanted free space. */
export function ext4Geometry(input: Pick<TargetInput, 'treeSize' | 'treeEntries' | 'freeSpace'>): {
  blocks: number;
  inodes: number;
  journalMiB: number;
} {
  const inodes = Math.ceil(input.treeEntries * 1.1) + Math.ceil(input.freeSpace / 16384) + 1024;
  const journalMiB = input.treeSize + input.freeSpace < 256 * MEBI ? 8 : 32;
  // A folder takes a block that tmpfs does not count, long xattrs take one too.
  const folders = input.treeEntries * 1024;
  const tables = inodes * INODE + journalMiB * MEBI;
  // Group descriptors, bitmaps and back-ups of the superblock: under 1 % in groups of 128 MiB.
  const bytes = (input.treeSize + folders + tables + input.freeSpace) * 1.01 + 4 * MEBI;
  return { blocks: Math.ceil(bytes / BLOCK), inodes, journalMiB };
}

/** A UUID that is the same for the same text (RFC 9562, version 8). */
export function derivedUuid(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export const ext4: Target = {
  name: 'ext4',
  file: 'citadel-realmfs.ext4',
  needsSize: true,
  takesTimes: true,
  commands(input) {
    const file = `${input.output}/${ext4.file}`;
    const { blocks, inodes, journalMiB } = ext4Geometry(input);
    const seed = derivedUuid(`${input.identity} hash seed`);
    const args = [
      '-q',
      '-F',
      '-b',
      String(BLOCK),
      '-I',
      String(INODE),
      '-N',
      String(inodes),
      '-m',
      '0',
      '-J',
      `size=${journalMiB}`,
      '-U',
      derivedUuid(input.identity),
      '-E',
      `hash_seed=${seed},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0`,
      '-d',
      '.',
      file,
      String(blocks),
    ];
    return [
      { label: 'mkfs.ext4', file: 'mkfs.ext4', args, env: { E2FSPROGS_FAKE_TIME: String(input.sourceDateEpoch) } },
      { label: 'e2fsck', file: 'e2fsck', args: ['-f', '-n', file] },
    ];
  },
};
