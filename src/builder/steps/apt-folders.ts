import { lstatSync } from 'node:fs';
import { copyFile, mkdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { removeFile, statOrUndefined } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';

/** What apt makes anew of its lists whenever it wants. */
const caches: readonly string[] = ['/var/cache/apt/pkgcache.bin', '/var/cache/apt/srcpkgcache.bin'];
/** dpkg keeps a configuration file that is there, while the image is built: prepare.sh writes it. */
export const DPKG_SETTINGS = '/etc/dpkg/dpkg.cfg.d/realmfs-builder';

const LISTS = '/var/lib/apt/lists';
/** Folders of which nothing is part of an image, and those in them that the package apt has brought. */
const folders: Readonly<Record<string, readonly string[]>> = {
  '/var/cache/apt': ['archives', 'archives/partial'],
  [LISTS]: ['partial'],
};

/**
 * Leaves in a tree that has just been bootstrapped what debootstrap leaves there, and the mounts of stage one have hidden: apt's lists, of
 * `from` those of these names that are there, and the folders of the package apt.
 */
export async function leaveLists(root: string, from: string, names: readonly string[]): Promise<void> {
  for (const [name, own] of Object.entries(folders)) {
    const place = inRoot(root, name);
    if (place !== undefined) for (const each of own) await mkdir(path.join(place, each), { recursive: true });
  }
  const lists = inRoot(root, LISTS);
  if (lists === undefined) return;
  for (const name of names) {
    const stat = await statOrUndefined(path.join(from, name));
    if (stat?.isFile() !== true) continue;
    await copyFile(path.join(from, name), path.join(lists, name));
    await utimes(path.join(lists, name), stat.atime, stat.mtime);
  }
}

/** After each step: the next one finds the same whether this one was run or comes from its layer, and no layer is larger for it. */
export async function forgetAptCaches(root: string): Promise<void> {
  for (const cache of caches) {
    const place = inRoot(root, cache);
    if (place !== undefined && (await statOrUndefined(place))?.isDirectory() === false) await removeFile(place);
  }
}

/** The folders of a finished tree from which what apt has fetched, and whatever else lies there, is taken. Folders that a step has removed stay so. */
export function aptFolders(root: string): { readonly folders: readonly string[]; readonly kept: readonly string[] } {
  const [places, inside]: [string[], string[]] = [[], []];
  for (const [name, own] of Object.entries(folders)) {
    const place = inRoot(root, name, { follow: true });
    if (place === undefined || lstatSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) continue;
    places.push(place);
    inside.push(...own.map((each) => path.join(place, each)));
  }
  return { folders: places, kept: inside };
}
