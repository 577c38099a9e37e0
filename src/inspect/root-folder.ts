import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Totals } from '../images/image-tree.ts';
import { DPKG_STATUS, LONGEST, OS_RELEASE } from '../images/system-files.ts';
import { readForeign, statOrUndefined } from '../system/files.ts';

/** Whether a folder is the root of a tree: it has etc/, and says what it is or which packages it has. */
export async function isTree(folder: string): Promise<boolean> {
  if ((await statOrUndefined(path.join(folder, 'etc')))?.isDirectory() !== true) return false;
  const found = await Promise.all([DPKG_STATUS, ...OS_RELEASE].map((name) => statOrUndefined(path.join(folder, name))));
  return found.some((stat) => stat !== undefined);
}

/** What the root of a tree says of itself; links of the tree are not followed, they could lead out of it. */
export async function textsOfTree(folder: string): Promise<{ osRelease: string | null; dpkgStatus: string | null }> {
  const read = async (names: readonly string[], limit: number): Promise<string | null> => {
    for (const name of names) {
      const text = await readInTree(folder, name, limit);
      if (text !== undefined) return text;
    }
    return null;
  };
  return { osRelease: await read(OS_RELEASE, LONGEST.osRelease), dpkgStatus: await read([DPKG_STATUS], LONGEST.dpkgStatus) };
}

async function readInTree(folder: string, name: string, limit: number): Promise<string | undefined> {
  let at = folder;
  for (const part of path.dirname(name).split('/')) {
    at = path.join(at, part);
    if ((await statOrUndefined(at))?.isDirectory() !== true) return undefined;
  }
  return (await readForeign(path.join(folder, name), limit))?.toString('utf8');
}

/** Counts the entries of a tree, other file systems left out; a file with several names counts once. */
export async function countTree(root: string, signal: AbortSignal): Promise<Totals> {
  const totals = { entries: 1, files: 0, bytes: 0 };
  const { dev } = await lstat(root);
  const seen = new Set<number>();
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    for (const entry of await readdir(Buffer.from(folder, folder === root ? 'utf8' : 'latin1'), { encoding: 'latin1' })) {
      const below = `${folder === root ? Buffer.from(root).toString('latin1') : folder}/${entry}`;
      const stat = await lstat(Buffer.from(below, 'latin1'));
      totals.entries += 1;
      if (stat.isDirectory() && stat.dev === dev) folders.push(below);
      if (!stat.isFile() || seen.has(stat.ino)) continue;
      if (stat.nlink > 1) seen.add(stat.ino);
      totals.files += 1;
      totals.bytes += stat.size;
    }
  }
  return totals;
}
