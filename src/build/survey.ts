import { writeFile } from 'node:fs/promises';
import { BuilderError } from '../errors.ts';
import type { SparseFile } from '../targets/target.ts';
import { type BuildContext, paths } from './context.ts';

/** Bytes of a block of a file system, as targets count them. */
const BLOCK = 4096;
/** Bytes from which on a file is looked at for holes, as holes.pl has it. */
const LARGE = 1024 ** 2;
/** Bytes of a name that old tools cannot take, though the kernel can. */
const LONGEST_NAME = 255;
/** Bytes of a path that a call of the kernel takes, without the end mark (PATH_MAX in linux/limits.h). */
const LONGEST_PATH = 4095;

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

interface Counted {
  treeSize: number;
  treeEntries: number;
  longName?: string;
  readonly seen: Set<string>;
  /** Files that are large or have holes: path, inode. */
  readonly candidates: SparseFile[];
}

/**
 * Looks once at every entry of the finished tree. Large files get one form: the same content has the same holes, whatever disk it lies on.
 * @throws BuilderError if there is a path that no list of files can hold.
 */
export async function surveyTree(ctx: BuildContext): Promise<Survey> {
  const counted: Counted = { treeSize: 0, treeEntries: 0, seen: new Set(), candidates: [] };
  let rest = '';
  const args = [paths.root, '-xdev', '-printf', '%y %s %b %n %D:%i %P\\0'];
  await ctx.runner.stream({ label: 'find', file: 'find', args }, (chunk) => {
    const records = (rest + chunk.toString('latin1')).split('\0');
    rest = records.pop() ?? '';
    for (const record of records) count(record, counted, ctx);
  });
  const { treeSize, treeEntries, longName, candidates } = counted;
  const sparse = candidates.length === 0 ? [] : await settleHoles(candidates, ctx);
  const holes = sparse.reduce((sum, file) => sum + file.holes, 0);
  return { treeSize: treeSize - holes, treeEntries, sparse, ...(longName === undefined ? {} : { longName }) };
}

function count(record: string, counted: Counted, ctx: BuildContext): void {
  const [, kind = '', bytes = '', sectors = '', links = '', inode = '', path = ''] =
    /^(\S+) (\d+) (\d+) (\d+) (\S+) (.*)$/s.exec(record) ?? [];
  if (paths.root.length + 1 + path.length > LONGEST_PATH)
    throw new BuilderError(`the tree has a path of ${path.length} bytes, which is more than programs can name: ${path.slice(0, 100)}...`, {
      step: ctx.steps.current,
      hint: 'remove it in a hook or module',
    });
  if (path.length - path.lastIndexOf('/') - 1 >= LONGEST_NAME) counted.longName ??= path;
  if (kind !== 'd' && links !== '1') {
    if (counted.seen.has(inode)) return;
    counted.seen.add(inode);
  }
  counted.treeEntries += 1;
  if (kind !== 'f') return;
  const size = Number(bytes);
  counted.treeSize += Math.ceil(size / BLOCK) * BLOCK;
  if (size >= LARGE || Number(sectors) * 512 < size) counted.candidates.push({ path, inode: inode.replace(/^.*:/, ''), holes: 0 });
}

/** Gives large files one form, and returns those that are sparse. */
async function settleHoles(candidates: readonly SparseFile[], ctx: BuildContext): Promise<SparseFile[]> {
  const [list, kept] = [`${paths.work}/large-files`, `${paths.work}/large-file-attributes`];
  await writeFile(list, candidates.map(({ path }) => `${path}\0`).join(''), 'latin1');
  const args = [`${paths.program}/templates/sandbox/holes.pl`, paths.root, list, kept];
  const text = await ctx.runner.capture({ label: 'looking for holes', file: 'perl', args });
  const sparse: SparseFile[] = [];
  for (const [, index = '', holes = ''] of text.matchAll(/^(\d+) (\d+)$/gm)) {
    const file = candidates[Number(index)];
    if (file !== undefined) sparse.push({ ...file, holes: Number(holes) });
  }
  return sparse;
}

/** The digests of sparse files are left out of lists from this size of their holes on, in bytes: zeros, too, take their time. */
export const MOST_ZEROS = 4 * 1024 ** 3;

/** The numbers of the inodes whose content is not listed. */
export function unlisted({ sparse }: Survey): string[] {
  return sparse.filter(({ holes }) => holes > MOST_ZEROS).map(({ inode }) => inode);
}
