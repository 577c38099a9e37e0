import { randomUUID } from 'node:crypto';
import { readdir, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, makeFolders, statOrUndefined } from '../system/files.ts';
import { storeFolders } from './store-list.ts';
import { trashOf } from './take-away.ts';

/** Folders of a cache that hold files and nothing else; which names in them may be folders. */
const plainFolders: Readonly<Record<string, readonly string[]>> = {
  'apt/archives': ['partial'],
  'apt/lists': ['partial', 'auxfiles'],
  'apt/asked': [],
  'apt/proven': [],
  'layers/keys': [],
  'layers/last': [],
  'layers/results': [],
};

/**
 * Takes out of a cache what stands in the place of something else: a link, a pipe, a device or a folder where a file belongs,
 * anything but a folder where a folder belongs. Whoever opens such a place by its name would wait, or be led astray. It goes
 * to the trash of the store. Returns the paths below the cache.
 */
export async function tidyCache(cache: string): Promise<string[]> {
  const taken: string[] = [];
  const store = path.join(cache, 'layers');
  const trash = trashOf(store);
  const there = await statOrUndefined(trash);
  if (there !== undefined && !there.isDirectory()) await unlink(trash);
  const take = async (name: string): Promise<void> => {
    await makeFolders(trash, 0o700);
    try {
      await rename(path.join(cache, name), path.join(trash, randomUUID()));
      taken.push(name);
    } catch (error) {
      // Another build was faster.
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  };
  for (const name of [...storeFolders.map((each) => `layers/${each}`), 'apt/asked', 'apt/proven']) {
    const stat = await statOrUndefined(path.join(cache, name));
    if (stat !== undefined && !stat.isDirectory()) await take(name);
  }
  for (const [folder, folders] of Object.entries(plainFolders)) {
    if ((await statOrUndefined(path.join(cache, folder)))?.isDirectory() !== true) continue;
    for (const entry of await readdir(path.join(cache, folder), { withFileTypes: true })) {
      if (!entry.isFile() && !(entry.isDirectory() && folders.includes(entry.name))) await take(`${folder}/${entry.name}`);
    }
  }
  for (const name of ['layers/repositories', 'apt/fetch.lock', 'salt']) {
    const stat = await statOrUndefined(path.join(cache, name));
    if (stat !== undefined && !stat.isFile()) await take(name);
  }
  return taken;
}
