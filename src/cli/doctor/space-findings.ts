import { access, constants, lstat, realpath, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { hasCode } from '../../system/files.ts';
import { formatSize } from '../../system/memory.ts';
import { CACHE_ROOM, SMALLEST_BUILD, TMPFS_SHARE } from '../preflight.ts';
import type { DoctorReport, Finding } from './report.ts';

type FolderFinding = DoctorReport['folders'][number];

/** Bytes; less is a full file system. */
const NEARLY_NOTHING = 1024 ** 2;

/** Whether the tmpfs of a build fits into the memory, or there is a disk to build on. */
export function judgeMemory(available: number, diskFits: boolean): DoctorReport['memory'] {
  const tmpfs = Math.floor(available * TMPFS_SHARE);
  const fits = tmpfs >= SMALLEST_BUILD;
  const known = Number.isFinite(available);
  const figures = known ? `${formatSize(available)} free, the default tmpfs would be ${formatSize(tmpfs)}` : 'no bound is known';
  const short = `${figures}, less than the ${formatSize(SMALLEST_BUILD)} that a build needs`;
  const finding: Finding = fits
    ? { state: 'ok', text: figures }
    : diskFits
      ? { state: 'warn', text: `${short}: build with --no-tmpfs` }
      : { state: 'failed', text: `${short}, and the output disk has no room for --no-tmpfs` };
  return { ...finding, available: known ? available : null, tmpfs: known ? tmpfs : null, needed: SMALLEST_BUILD };
}

interface Nearest {
  readonly folder: string;
  readonly free: number;
}

/** What is there of a folder, and the room on its file system. */
async function nearest(wanted: string): Promise<Nearest> {
  for (let at = wanted; ; at = path.dirname(at)) {
    try {
      if (!(await stat(at)).isDirectory()) throw new Error(`${at} is not a folder`);
    } catch (error) {
      if (at !== '/' && (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))) continue;
      throw error;
    }
    const { bavail, bsize } = await statfs(at);
    return { folder: await realpath(at), free: bavail * bsize };
  }
}

/** Looks at the folder of the results. */
export function lookAtOutput(wanted: string, isRoot: boolean, tmpfsFits: boolean): Promise<FolderFinding> {
  return lookAtFolder('output', wanted, isRoot, async ({ free }) => {
    if (free >= SMALLEST_BUILD) return undefined;
    const state = tmpfsFits ? 'warn' : 'failed';
    return { state, text: `less than the ${formatSize(SMALLEST_BUILD)} that a build with --no-tmpfs needs; large results may not fit` };
  });
}

/** Looks at the folder of the package cache; what lies in it is installed as root. */
export function lookAtCache(wanted: string, isRoot: boolean): Promise<FolderFinding> {
  return lookAtFolder('cache', wanted, isRoot, async ({ folder, free }, isThere) => {
    const { uid, mode } = await lstat(folder);
    if (isThere && (uid !== 0 || (mode & 0o022) !== 0))
      return { state: 'failed', text: 'must belong to root and be writable by root alone' };
    return free < CACHE_ROOM ? { state: 'warn', text: `packages of a build take up to ${formatSize(CACHE_ROOM)}` } : undefined;
  });
}

async function lookAtFolder(
  name: FolderFinding['name'],
  wanted: string,
  isRoot: boolean,
  judge: (found: Nearest, isThere: boolean) => Promise<Finding | undefined>,
): Promise<FolderFinding> {
  try {
    const found = await nearest(wanted);
    const { folder, free } = found;
    const isThere = folder === (await realpath(wanted).catch(() => undefined));
    const fault =
      (await cannotWrite(folder, isRoot)) ??
      (free < NEARLY_NOTHING ? { state: 'failed' as const, text: 'the file system is full' } : await judge(found, isThere));
    const figures = `${wanted}: ${formatSize(free)} free${isThere ? '' : ` (at ${folder}; it is not there yet)`}`;
    const text = fault === undefined ? figures : `${figures}: ${fault.text}`;
    return { name, path: wanted, existing: folder, free, state: fault?.state ?? 'ok', text };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const hidden = !isRoot && hasCode(error, 'EACCES');
    const text = `${wanted}: ${hidden ? 'not tried: needs root' : why}`;
    return { name, path: wanted, existing: null, free: null, state: hidden ? 'untried' : 'failed', text };
  }
}

async function cannotWrite(folder: string, isRoot: boolean): Promise<Finding | undefined> {
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    // What another user may not write, root may.
    if (!isRoot && hasCode(error, 'EACCES')) return undefined;
    return { state: 'failed', text: `cannot be written: ${error instanceof Error ? error.message : String(error)}` };
  }
  return undefined;
}
