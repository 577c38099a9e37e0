import { readdir, readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { allTools, findProgram, installCommand, type Tool } from '../host/tools.ts';
import { CACHE_HINT } from '../system/disk-faults.ts';
import { availableMemory, formatSize } from '../system/memory.ts';

/** What a small build needs, in bytes: the tree, the packages, apt's lists and caches. */
export const SMALLEST_BUILD = 1.25 * 1024 ** 3;

/** The part of the free memory that the tmpfs may take, unless a size is given. */
export const TMPFS_SHARE = 0.8;

/** What the packages and lists of the smallest build take in the cache, in bytes; and those of the default image, with some room. */
const SMALLEST_CACHE = 64 * 1024 ** 2;
export const CACHE_ROOM = 512 * 1024 ** 2;

/**
 * Looks at the disk of the cache folder. One that is new must take the packages of a build; of one that has served builds nobody knows what
 * it lacks: too little room is a warning then, which is returned.
 */
export async function checkCacheRoom(cache: string): Promise<string | undefined> {
  const { bavail, bsize, files, ffree } = await statfs(cache);
  const free = bavail * bsize;
  const figures = `${formatSize(free)}${files > 0 && ffree === 0 ? ', and no inodes,' : ''} free on the disk of the cache folder ${cache}`;
  if (free >= CACHE_ROOM && (files === 0 || ffree > 0)) return undefined;
  const isNew = (await readdir(path.join(cache, 'apt/archives'))).every((name) => !name.endsWith('.deb'));
  const hasLayers = (await readdir(path.join(cache, 'layers'))).some((name) => /^[0-9a-f]{64}$/.test(name));
  if (isNew && !hasLayers && (free < SMALLEST_CACHE || (files > 0 && ffree === 0)))
    throw new PreflightError(`only ${figures}, and the packages of a build take ${formatSize(SMALLEST_CACHE)} at least`, {
      step: 'preflight',
      hint: CACHE_HINT,
    });
  return `only ${figures}: packages of a build take up to ${formatSize(CACHE_ROOM)}, and layers as much as the tree; to help, ${CACHE_HINT}`;
}

/** The capabilities of steps, by their numbers in capability.h. Of the others that a build needs the kernel says itself that they are not there. */
const RIGHTS = new Map(
  Object.entries({
    chown: 0,
    dac_override: 1,
    fowner: 3,
    fsetid: 4,
    kill: 5,
    setgid: 6,
    setuid: 7,
    setpcap: 8,
    net_bind_service: 10,
    sys_chroot: 18,
    audit_write: 29,
    setfcap: 31,
  }),
);

/** What root lacks here, in words: `status` is that of proc(5). Steps would do something else without it, and say nothing. */
export function lackingRights(status: string): string | undefined {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const lacking = [...RIGHTS].filter(([, number]) => ((bounding >> BigInt(number)) & 1n) === 0n).map(([name]) => name);
  if (lacking.length > 0) return `root has not the capabilities ${lacking.join(', ')}`;
  return /^NoNewPrivs:\s*1$/m.test(status) ? 'no program can gain rights (no_new_privs): sudo and su would fail in steps' : undefined;
}

/** Throws if root has been taken rights that a build needs. */
export async function checkRights(): Promise<void> {
  const lacking = lackingRights(await readFile('/proc/self/status', 'utf8'));
  if (lacking !== undefined)
    throw new PreflightError(`this machine gives a build too few rights: ${lacking}`, {
      step: 'preflight',
      hint: 'in a container: run it with all capabilities, and without no-new-privileges',
    });
}

/** Throws if programs are missing: all of them, with the one command that installs them. */
export async function checkTools(names?: readonly string[]): Promise<void> {
  const needed = allTools.filter(({ name, required }) => (names === undefined ? required : names.includes(name)));
  const found = await Promise.all(needed.map((tool) => findProgram(tool.name)));
  const missing: Tool[] = needed.filter((_, at) => found[at] === undefined);
  if (missing.length === 0) return;
  throw new PreflightError(`missing: ${missing.map(({ name }) => name).join(', ')}`, {
    step: 'preflight',
    hint: installCommand(missing.map((tool) => tool.package)),
  });
}

/**
 * How large the tmpfs may be: what was asked for, else 80 % of the memory that is free. 0 without
 * a tmpfs. Refuses what cannot hold a build.
 */
export async function planTmpfs(tmpfs: boolean, wanted: number | undefined, output: string): Promise<number> {
  if (!tmpfs) {
    const { bavail, bsize } = await statfs(output);
    if (bavail * bsize < SMALLEST_BUILD) {
      throw new PreflightError(
        `only ${formatSize(bavail * bsize)} free on the disk of ${output}, a build needs ${formatSize(SMALLEST_BUILD)}`,
        { step: 'preflight' },
      );
    }
    return 0;
  }
  const available = await availableMemory();
  const size = wanted ?? Math.floor(available * TMPFS_SHARE);
  if (size < SMALLEST_BUILD && wanted === undefined) {
    throw new PreflightError(
      `only ${formatSize(available)} of memory free; 80 % of it, ${formatSize(size)}, is less than the ${formatSize(SMALLEST_BUILD)} that a build needs`,
      {
        step: 'preflight',
        hint: 'build on disk with --no-tmpfs',
      },
    );
  }
  if (size > available) {
    throw new PreflightError(`a tmpfs of ${formatSize(size)} does not fit into the ${formatSize(available)} of memory that are free`, {
      step: 'preflight',
      hint: 'give --tmpfs-size less, or build on disk with --no-tmpfs',
    });
  }
  return size;
}
