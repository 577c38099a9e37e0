import { copyFile, mkdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { removeFile, statOrUndefined } from '../system/files.ts';
import { inRoot } from '../system/rooted.ts';
import type { BuildContext } from './context.ts';

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
    const place = await inRoot(root, name);
    if (place !== undefined) for (const each of own) await mkdir(path.join(place, each), { recursive: true });
  }
  const lists = await inRoot(root, LISTS);
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
    const place = await inRoot(root, cache);
    if (place !== undefined && (await statOrUndefined(place))?.isDirectory() === false) await removeFile(place);
  }
}

/** Takes what apt has fetched, and whatever else lies there, out of a finished tree. Folders that a step has removed stay so. */
export async function emptyAptFolders(root: string, ctx: BuildContext): Promise<void> {
  for (const [name, kept] of Object.entries(folders)) {
    const place = await inRoot(root, name, { follow: true });
    if (place === undefined || !(await statOrUndefined(place))?.isDirectory()) continue;
    const own = kept.flatMap((each) => ['!', '(', '-type', 'd', '-path', `${place}/${each}`, ')']);
    await ctx.runner.run({
      label: "emptying apt's folders",
      file: 'find',
      args: [place, '-xdev', '-depth', '-mindepth', '1', ...own, '-delete'],
    });
  }
}
