import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, makeFolder } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import type { Scope } from '../system/scope.ts';
import { leftStaging, makeStaging, removeStaging } from './staging.ts';

/** How folders begin that a command makes in the cache folder for its own time. */
const SCRATCH = ['rebuild-', 'shell-'] as const;

/** A folder of a command in the cache folder, locked for as long as it lasts, and the staging folder in it. */
export interface Scratch {
  readonly output: HeldFolder;
  readonly staging: HeldFolder;
}

/** Makes such folders; both go with the scope. What commands that were killed have left is removed before. */
export async function makeScratch(scope: Scope, cache: string, prefix: (typeof SCRATCH)[number]): Promise<Scratch> {
  await removeLeftScratch(cache);
  const output = await newScratch(cache, prefix);
  scope.defer('scratch folder', async () => {
    await removeScratch(output, cache);
    await output.close();
  });
  const staging = await makeStaging(output);
  scope.defer('staging folder', () => staging.close());
  return { output, staging };
}

async function newScratch(cache: string, prefix: string): Promise<HeldFolder> {
  for (;;) {
    const folder = await HeldFolder.open(await makeFolder(cache, prefix, ''));
    // Somebody who tidies up may have found it before it was locked.
    if ((await folder.lock()) && (await folder.isInPlace())) return folder;
    await folder.close();
  }
}

/** Removes what commands that were killed have left in the cache folder. */
export async function removeLeftScratch(cache: string): Promise<void> {
  for (const name of (await readdir(cache)).filter((each) => SCRATCH.some((prefix) => each.startsWith(prefix)))) {
    const folder = await HeldFolder.open(path.join(cache, name)).catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].some((code) => hasCode(error, code))) return undefined;
      throw error;
    });
    if (folder === undefined) continue;
    try {
      // One that goes on holds it.
      if (await folder.lock()) await removeScratch(folder, cache);
    } finally {
      await folder.close();
    }
  }
}

async function removeScratch(folder: HeldFolder, cache: string): Promise<void> {
  for (const staging of await leftStaging(folder)) {
    try {
      await removeStaging(staging, folder, cache);
    } finally {
      await staging.close();
    }
  }
  const above = await HeldFolder.open(cache);
  try {
    await above.removeFolder(folder);
  } finally {
    await above.close();
  }
}
