import { BuilderError } from '../errors.ts';
import { SANDBOX } from '../resources.ts';
import { derivedUuid } from '../system/uuid.ts';
import type { Target, TargetInput, TargetTools } from './target.ts';

const BLOCK = 4096;
const INODE = 256;
const MEBI = 1024 ** 2;
/** Features and all else that no option says: not those of the machine, which an older suite need not know. */
const SETTINGS = `${SANDBOX}/program/templates/mke2fs.conf`;
/** The first inode that is no part of the file system itself; the root has number 2. */
const FIRST_INODE = 11;

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

/** The numbers of inodes in use, from the free ones that dumpe2fs names: `  Free inodes: 12-16, 20`, a line for each group. */
export function usedInodes(dump: string): number[] {
  const count = Number(/^Inode count: +(\d+)$/m.exec(dump)?.[1] ?? 0);
  const free = new Set<number>();
  for (const [, list = ''] of dump.matchAll(/^ {2}Free inodes: (.*)$/gm)) {
    for (const range of list.split(',')) {
      const [first = '', last = first] = range.trim().split('-');
      if (first !== '') for (let inode = Number(first); inode <= Number(last); inode += 1) free.add(inode);
    }
  }
  if (count === 0 || !/^ {2}Free inodes:/m.test(dump)) throw new BuilderError('dumpe2fs does not say which inodes are in use');
  return Array.from({ length: count }, (_, at) => at + 1).filter((inode) => (inode === 2 || inode >= FIRST_INODE) && !free.has(inode));
}

/** Numbers in order as `FIRST-LAST`. */
function ranges(numbers: readonly number[]): string[] {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map((range) => range.join('-'));
}

/**
 * Writes an ext4 file system at an offset of a file, in bytes: identifiers from the tree, and no time of the build. mkfs
 * takes access and change times from the source, where nobody can set the latter: debugfs sets them in the image. e2fsck checks it.
 */
export async function writeExt4(input: TargetInput, { run, capture }: TargetTools, offset = 0): Promise<{ readonly blocks: number }> {
  const { blocks, inodes, journalMiB } = ext4Geometry(input);
  const { file, identity, sourceDateEpoch } = input;
  const env = { E2FSPROGS_FAKE_TIME: String(sourceDateEpoch), MKE2FS_CONFIG: SETTINGS };
  const extended = [
    `hash_seed=${derivedUuid(`${identity} hash seed`)}`,
    'lazy_itable_init=0',
    'lazy_journal_init=0',
    'root_owner=0:0',
    ...(offset === 0 ? [] : [`offset=${offset}`]),
  ];
  const geometry = ['-q', '-F', '-b', String(BLOCK), '-I', String(INODE), '-N', String(inodes), '-m', '0', '-J', `size=${journalMiB}`];
  await run({
    label: 'mkfs.ext4',
    file: 'mkfs.ext4',
    args: [...geometry, '-U', derivedUuid(identity), '-E', extended.join(','), '-d', '.', file, String(blocks)],
    env,
  });
  const device = offset === 0 ? file : `${file}?offset=${offset}`;
  const used = usedInodes(await capture({ label: 'dumpe2fs', file: 'dumpe2fs', args: [device], env }));
  const script =
    'device=$1 time=$2; shift 2; for range; do seq "${range%-*}" "${range#*-}"; done | ' +
    'sed "s/.*/sif <&> atime @$time\\nsif <&> ctime @$time/" | debugfs -w -f /dev/stdin "$device" 2>&1 >/dev/null | { ! grep --invert-match "^debugfs [0-9]"; }';
  const args = ['-euo', 'pipefail', '-c', script, 'bash', device, String(sourceDateEpoch), ...ranges(used)];
  await run({ label: 'debugfs', file: 'bash', args, env });
  await run({ label: 'e2fsck', file: 'e2fsck', args: ['-f', '-n', device], env: { E2FSCK_CONFIG: '/dev/null' } });
  return { blocks };
}

export const ext4: Target = {
  name: 'ext4',
  file: () => 'citadel-realmfs.ext4',
  takesOrder: true,
  write: async (input, tools) => void (await writeExt4(input, tools)),
};
