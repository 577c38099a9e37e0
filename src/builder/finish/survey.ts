import { writeFile } from 'node:fs/promises';
import type { SparseFile } from '../../targets/target.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { TreeEntry } from './tree-listing.ts';

/** Bytes of a block of a file system, as targets count them. */
const BLOCK = 4096;
/** Bytes from which on a file is looked at for holes, as holes.pl has it. */
const LARGE = 1024 ** 2;
/** Bytes of a name that old tools cannot take, though the kernel can. */
const LONGEST_NAME = 255;

/** What is known of a finished tree before anything is made of it. */
export interface Survey {
  /** Bytes: content in whole blocks, holes left out; the same on every file system, which du's blocks are not. */
  readonly treeSize: number;
  readonly treeEntries: number;
  /** The files that have holes; all their blocks of zeros are holes. */
  readonly sparse: readonly SparseFile[];
  /** A path whose last part has 255 bytes, a character for each. */
  readonly longName?: string;
}

/** Counts the entries of a finished tree. */
export class Counter {
  #treeSize = 0;
  #treeEntries = 0;
  #longName: string | undefined;
  readonly #seen = new Set<string>();
  /** Files that are large or have holes: path, inode. */
  readonly #candidates: SparseFile[] = [];

  take({ kind, size, sectors, links, inode, path }: TreeEntry): void {
    if (path.length - path.lastIndexOf('/') - 1 >= LONGEST_NAME) this.#longName ??= path;
    if (kind !== 'd' && links !== 1) {
      if (this.#seen.has(inode)) return;
      this.#seen.add(inode);
    }
    this.#treeEntries += 1;
    if (kind !== 'f') return;
    this.#treeSize += Math.ceil(size / BLOCK) * BLOCK;
    if (size >= LARGE || sectors * 512 < size) this.#candidates.push({ path, inode: inode.replace(/^.*:/, ''), holes: 0 });
  }

  /**
   * Gives large files one form, and returns what was counted. The same content has the same holes, whatever disk it lies on.
   * `hasChanged`: some had another form; they have their times again.
   */
  async finish(ctx: BuildContext): Promise<{ readonly survey: Survey; readonly hasChanged: boolean }> {
    const none = { sparse: [], hasChanged: false };
    const { sparse, hasChanged } = this.#candidates.length === 0 ? none : await settleHoles(this.#candidates, ctx);
    const holes = sparse.reduce((sum, file) => sum + file.holes, 0);
    const longName = this.#longName === undefined ? {} : { longName: this.#longName };
    return { survey: { treeSize: this.#treeSize - holes, treeEntries: this.#treeEntries, sparse, ...longName }, hasChanged };
  }
}

/** Gives large files one form, and returns those that are sparse. */
async function settleHoles(
  candidates: readonly SparseFile[],
  ctx: BuildContext,
): Promise<{ readonly sparse: SparseFile[]; readonly hasChanged: boolean }> {
  const [list, kept] = [`${paths.work}/large-files`, `${paths.work}/large-file-attributes`];
  await writeFile(list, candidates.map(({ path }) => `${path}\0`).join(''), 'latin1');
  const args = [`${paths.program}/templates/sandbox/holes.pl`, paths.root, list, kept];
  const text = await ctx.runner.capture({ label: 'looking for holes', file: 'perl', args });
  const sparse: SparseFile[] = [];
  for (const [, index = '', holes = ''] of text.matchAll(/^(\d+) (\d+)$/gm)) {
    const file = candidates[Number(index)];
    if (file !== undefined) sparse.push({ ...file, holes: Number(holes) });
  }
  return { sparse, hasChanged: text.endsWith('changed\n') };
}

/** The digests of sparse files are left out of lists from this size of their holes on, in bytes: zeros, too, take their time. */
export const MOST_ZEROS = 4 * 1024 ** 3;

/** The numbers of the inodes whose content is not listed. */
export function unlisted({ sparse }: Survey): string[] {
  return sparse.filter(({ holes }) => holes > MOST_ZEROS).map(({ inode }) => inode);
}
