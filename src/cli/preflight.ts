import { access, constants, statfs } from 'node:fs/promises';
import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { availableMemory, formatSize } from '../system/memory.ts';

/** Programs that every build starts on the host, and the Debian package that has each. */
export const requiredTools: Readonly<Record<string, string>> = {
  debootstrap: 'debootstrap',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  flock: 'util-linux',
  pivot_root: 'util-linux',
  mount: 'mount',
  ip: 'iproute2',
  'apt-get': 'apt',
  dpkg: 'dpkg',
  gpgv: 'gpgv',
  tar: 'tar',
  xz: 'xz-utils',
  wget: 'wget',
  perl: 'perl',
  'mkfs.ext4': 'e2fsprogs',
};

/** What a small build needs, in bytes: the tree, the packages, apt's lists and caches. */
export const SMALLEST_BUILD = 1.25 * 1024 ** 3;

const SEARCH = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

async function isInstalled(tool: string): Promise<boolean> {
  for (const folder of SEARCH) {
    try {
      await access(path.join(folder, tool), constants.X_OK);
      return true;
    } catch {
      // Not in this folder.
    }
  }
  return false;
}

/** Throws if programs are missing: all of them, with the one command that installs them. */
export async function checkTools(tools: readonly string[] = Object.keys(requiredTools)): Promise<void> {
  const missing: string[] = [];
  for (const tool of tools) if (!(await isInstalled(tool))) missing.push(tool);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => requiredTools[tool]))];
  throw new PreflightError(`missing: ${missing.join(', ')}`, { step: 'preflight', hint: `apt-get install ${packages.join(' ')}` });
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
  const size = wanted ?? Math.floor(available * 0.8);
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
