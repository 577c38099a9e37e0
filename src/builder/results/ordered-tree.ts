import { mkdir, readFile, rmdir } from 'node:fs/promises';
import { CommandError } from '../../errors.ts';
import { formatSize } from '../../system/memory.ts';
import type { Runner } from '../../system/runner.ts';
import { tarArguments } from '../../targets/tarball.ts';
import type { Survey } from '../finish/survey.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { freeMemory } from '../model/memory-budget.ts';

/** Bytes of a copy in memory beside its content, for each entry. */
const OF_ENTRY = 4096;
/** Bytes of memory that stay free for programs. */
const PROGRAMS = 512 * 1024 ** 2;

/** A tree for targets that take entries as the disk lists them. */
export interface OrderedTree {
  readonly folder: string;
  /** SHA-256 of the tree as a tarball; empty: it was not asked for. */
  readonly digest: string;
  /** False: what is made of it need not be the same each time. */
  readonly isOrdered: boolean;
  /** Gives its memory back. */
  remove(): Promise<void>;
}

/** What is known of a tree before it is copied. */
type TreeSize = Pick<Survey, 'treeSize' | 'treeEntries' | 'sparse'>;

/** Bytes of memory that a copy takes. */
export function sizeOfCopy({ treeSize, treeEntries }: Omit<TreeSize, 'sparse'>): number {
  return treeSize + treeEntries * OF_ENTRY;
}

/**
 * Copies the finished tree into memory by way of a tarball: a tmpfs lists entries in the order in which they were made, and
 * that is the tarball's. `runner` may be ended: others are written meanwhile. Where memory is short the tree itself is taken: what is made of it is right, but not the same each time.
 */
export async function makeOrderedTree(
  isNeeded: boolean,
  size: TreeSize,
  sourceDateEpoch: number,
  runner: Runner,
  ctx: BuildContext,
): Promise<OrderedTree> {
  const itself: OrderedTree = { folder: paths.root, digest: '', isOrdered: !isNeeded, remove: async () => {} };
  if (!isNeeded) return itself;
  const need = sizeOfCopy(size);
  const room = (await freeMemory(ctx.request.memoryLimit)) - PROGRAMS;
  const digestFile = `${paths.work}/tree-digest`;
  const tar = { digestFile, sourceDateEpoch, isSparse: size.sparse.length > 0 };
  if (room < need) {
    ctx.steps.warn(`a copy of the tree takes ${formatSize(need)}, and memory is short: images are not the same bytes each time`);
    await pack(':', '/dev/null', tar, runner);
    return { ...itself, digest: await readDigest(digestFile) };
  }
  const folder = `${paths.work}/ordered`;
  await mkdir(folder);
  const options = `mode=0755,size=${need * 2},nr_inodes=${size.treeEntries * 2 + 1024}`;
  await runner.run({ label: 'memory for a copy', file: 'mount', args: ['-t', 'tmpfs', '-o', options, 'realmfs-ordered', folder] });
  const remove = async (): Promise<void> => {
    await ctx.runner.run({ label: 'removing the copy', file: 'umount', args: [folder] });
    await rmdir(folder);
  };
  try {
    // A time before 1970, or after that of a clock that is wrong, is what the tree says.
    const unpack =
      'tar --extract --file=- --directory="$1" --warning=no-timestamp --xattrs "--xattrs-include=*" --acls --numeric-owner --same-owner --same-permissions 2>"$2.said"; ' +
      // An attribute that cannot be set is a warning for tar.
      'cat "$2.said" >&2; [[ ! -s $2.said ]]';
    await pack(unpack, folder, tar, runner);
    return { folder, digest: await readDigest(digestFile), isOrdered: true, remove };
  } catch (error) {
    await remove();
    if (!(error instanceof CommandError) || runner.isStopped()) throw error;
    // Attributes that a tmpfs of this kernel cannot hold, say.
    ctx.steps.warn(`the tree cannot be copied: images are not the same bytes each time (${error.outputTail.at(-1) ?? error.message})`);
    await pack(':', '/dev/null', tar, runner);
    return { ...itself, digest: await readDigest(digestFile) };
  }
}

/** Packs the tree for a command that takes a tarball, and hashes the tarball meanwhile. */
async function pack(
  command: string,
  target: string,
  { digestFile, sourceDateEpoch, isSparse }: { readonly digestFile: string; readonly sourceDateEpoch: number; readonly isSparse: boolean },
  runner: Runner,
): Promise<void> {
  const tar = isSparse ? 'unshare --pid --fork --kill-child tar' : 'tar';
  const script = `cd "$3"; exec 3> >(sha256sum >"$2"); pid=$!; ${tar} "\${@:4}" | tee /dev/fd/3 | { ${command}; cat >/dev/null; }; exec 3>&-; wait "$pid"`;
  const args = [
    '-euo',
    'pipefail',
    '-c',
    script,
    'bash',
    target,
    digestFile,
    paths.root,
    ...tarArguments('-', sourceDateEpoch, { isSparse }),
  ];
  await runner.run({ label: 'copying the tree', file: 'bash', args });
}

async function readDigest(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).slice(0, 64);
}
