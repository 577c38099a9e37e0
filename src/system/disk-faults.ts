import { statfsSync } from 'node:fs';
import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { formatSize } from './memory.ts';

/** A disk as the user knows it. */
export interface Disk {
  /** `the cache disk`. */
  readonly name: string;
  /** A folder on it; what lies below belongs to it. */
  readonly folder: string;
  /** What to do if it is full. */
  readonly hint: string;
}

/** What to do if the disk of the cache folder is full. */
export const CACHE_HINT =
  'make room there (realmfs-builder cache prune), keep less (LAYERS_MAX_SIZE, 0 for no layers), or move the cache with REALMFS_CACHE_DIR';
/** What to do if the disk of the output folder is full. */
export const OUTPUT_HINT = 'make room there, or put the results elsewhere with --directory';
/** The disks of a build on the host. */
export function outputDisk(folder: string): Disk {
  return { name: `the disk of the output folder ${folder}`, folder, hint: OUTPUT_HINT };
}
export function cacheDisk(folder: string): Disk {
  return { name: `the disk of the cache folder ${folder}`, folder, hint: CACHE_HINT };
}

/** Bytes; less is a full file system. */
const NEARLY_NOTHING = 1024 ** 2;
const FULL = 'no space left on';

/** What a disk answers that takes no more, or that is broken, by the names of errno(3): what is said of it, and what to do beside making room. */
const meanings: Readonly<Record<string, { readonly text: string; readonly hint?: string }>> = {
  ENOSPC: { text: FULL },
  EDQUOT: { text: 'the disk quota is used up on' },
  EFBIG: {
    text: 'no file may become as large on',
    hint: 'a limit of this machine (ulimit -f), or the file system itself, allows no larger file',
  },
  EROFS: {
    text: 'nothing can be written to',
    hint: 'it is read-only; after an error the kernel makes a disk read-only, and dmesg says why',
  },
  EIO: { text: 'an input/output error on', hint: 'the disk is damaged, or gone; dmesg says more' },
};

/** The same in the words of programs. What is read-only is left out: in a step it is a limit of the sandbox. */
const wordsOf: Readonly<Record<string, RegExp>> = {
  ENOSPC: /No space left on device/,
  EDQUOT: /Disk quota exceeded/,
  EFBIG: /File too large|File size limit exceeded/,
};

/** The code by which a disk has refused to take something; undefined: the error is another one. */
export function diskCode(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code in meanings ? code : undefined;
}

/** The code that programs have put into words, and the line that says it. */
export function diskCodeOf(lines: readonly string[]): { readonly code: string; readonly line: string } | undefined {
  for (const line of lines.toReversed()) for (const [code, words] of Object.entries(wordsOf)) if (words.test(line)) return { code, line };
  return undefined;
}

/** Where an error says that it was written; a copy names both its source and its target. */
export function placeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  for (const key of ['dest', 'path'] as const) {
    const named: unknown = Reflect.get(error, key);
    if (typeof named === 'string') return named;
  }
  return undefined;
}

/** Runs what writes to a file, and gives its name to an error that has none. */
export async function naming<T>(file: string, body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch (error) {
    if (diskCode(error) !== undefined && placeOf(error) === undefined) Object.assign(error as Error, { path: file });
    throw error;
  }
}

/** What is in use of a file system, and whether it is full; undefined: nobody can say. */
function usageOf(folder: string): { readonly text: string; readonly isFull: boolean } | undefined {
  for (let at = folder; ; at = path.dirname(at)) {
    try {
      const { bsize, blocks, bavail, files, ffree } = statfsSync(at);
      const inodes = files === 0 ? '' : ` and ${files - ffree} of ${files} inodes`;
      const text = `${formatSize((blocks - bavail) * bsize)} of ${formatSize(blocks * bsize)}${inodes} in use after the failure`;
      return { text, isFull: bavail * bsize < NEARLY_NOTHING || (files > 0 && ffree === 0) };
    } catch {
      if (at === path.dirname(at)) return undefined;
    }
  }
}

/** Whether a disk takes nothing more. */
export function isFull({ folder }: Pick<Disk, 'folder'>): boolean {
  return usageOf(folder)?.isFull === true;
}

/** The disk that a path belongs to: that of the nearest folder above it. */
function diskAbove(file: string, disks: readonly Disk[]): Disk | undefined {
  const above = disks.filter(({ folder }) => file === folder || file.startsWith(`${folder}/`));
  return above.sort((a, b) => b.folder.length - a.folder.length)[0];
}

/** The first of the paths in a line that lies on a known disk. */
export function diskInLine(line: string, disks: readonly Disk[]): Disk | undefined {
  for (const [found] of line.matchAll(/\/[^\s'"`:,’‘]+/g)) {
    const disk = diskAbove(found, disks);
    if (disk !== undefined) return disk;
  }
  return undefined;
}

/**
 * What is said of a disk that has refused something. It is the one that `file` lies on, else `where`, unless that has room and
 * another has none.
 */
export function diskError(
  code: string,
  disks: readonly Disk[],
  from: {
    readonly file?: string | undefined;
    readonly where?: Disk | undefined;
    readonly step?: string;
    readonly details?: readonly string[];
    readonly cause?: unknown;
  },
): PreflightError {
  const { file, where, ...said } = from;
  const { text, hint } = meanings[code] ?? { text: `${code} on` };
  const unknown = file === undefined ? undefined : { name: `the disk of ${file}`, folder: path.dirname(file), hint: 'make room there' };
  const likely = [...(where === undefined ? [] : [where]), ...disks];
  const disk = (file === undefined ? undefined : (diskAbove(file, likely) ?? unknown)) ?? likely.find(isFull) ?? where;
  if (disk === undefined)
    return new PreflightError(`${text} a disk of this machine`, { ...said, hint: hint ?? 'df and df -i show which one' });
  const usage = usageOf(disk.folder);
  return new PreflightError(`${text} ${disk.name}${usage === undefined ? '' : ` (${usage.text})`}`, { ...said, hint: hint ?? disk.hint });
}

/** An error of a disk as one that the user can understand; any other error as it is. */
export function namedDisk(error: unknown, disks: readonly Disk[] = [], where?: Disk): unknown {
  const code = diskCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  return diskError(code, disks, { file: placeOf(error), where, details: [`error:   ${error.message}`], cause: error });
}
