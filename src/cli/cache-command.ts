import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { programRoot } from '../resources.ts';
import { type Locks, openLocks } from '../store/locks.ts';
import { type PruneOptions, prune } from '../store/prune.ts';
import { listStore } from '../store/store-list.ts';
import { trashOf } from '../store/take-away.ts';
import { tidyCache } from '../store/tidy.ts';
import { makeFolders, statOrUndefined } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import { createRunner } from '../system/runner.ts';
import { CACHE_VERSION, duText, goneText, json, listText, verifyText } from './cache-text.ts';
import { verifyCache } from './cache-verify.ts';
import type { CacheOptions } from './options/types.ts';
import { checkCache } from './place.ts';
import { removeLeftScratch } from './scratch.ts';
import { emptyFolder } from './staging.ts';
import { jsonLine } from './text.ts';

/** Where the cache is, and what bounds it. */
export interface CacheSurroundings {
  readonly cache: string;
  /** Bytes that the store of layers may have. */
  readonly limit: number;
  readonly keyring: string;
  readonly signal: AbortSignal;
}

/** Milliseconds between two looks whether another process has emptied the trash. */
const LOOK_AGAIN = 200;

/** Runs the command on the cache folder; returns the text for standard output, and the exit code. */
export async function cacheCommand(options: CacheOptions, around: CacheSurroundings): Promise<{ text: string; exitCode: number }> {
  const { cache, limit } = around;
  const store = path.join(cache, 'layers');
  const isThere = (await statOrUndefined(cache)) !== undefined && (await checkCache(cache));
  const found = isThere ? await listStore(store) : { layers: [], unreadable: [] };
  const { action } = options;
  if (action === 'list' || action === 'du') {
    const text = action === 'list' ? listText : duText;
    return { text: options.json ? json(found) : text(found, cache), exitCode: 0 };
  }
  if (!isThere) return { text: options.json ? json(found) : `No layers in ${cache}.\n`, exitCode: 0 };
  const locks = openLocks(path.join(programRoot, 'templates/sandbox/locks.pl'));
  try {
    if (action === 'verify') return await verify(options, around, locks);
    const asked: PruneOptions = action === 'clear' ? { maxSize: 0 } : options;
    const bounds = asked.maxSize === undefined && asked.olderThan === undefined ? { maxSize: limit } : asked;
    await removeLeftScratch(cache);
    await tidyCache(cache);
    const gone = await prune(store, locks, bounds);
    await emptyTrash(trashOf(store), around);
    const left = await listStore(store);
    return { text: options.json ? json(gone) : goneText(gone, left, action), exitCode: 0 };
  } finally {
    await locks.close();
  }
}

async function verify(
  { repair, json: isJson }: CacheOptions,
  around: CacheSurroundings,
  locks: Locks,
): Promise<{ text: string; exitCode: number }> {
  const { cache, keyring, signal } = around;
  const runner = createRunner({ report: () => {}, signal, currentStep: () => 'cache' });
  const found = await verifyCache({ cache, keyring, runner, locks, repair });
  if (found.bad.some(({ removed }) => removed)) await emptyTrash(trashOf(path.join(cache, 'layers')), around);
  const isGood = found.bad.every(({ removed }) => removed);
  return {
    text: isJson ? jsonLine({ version: CACHE_VERSION, ...found }) : verifyText(found, repair),
    exitCode: isGood ? 0 : 1,
  };
}

/** Whole trees are removed inside a sandbox, never from here. */
async function emptyTrash(trash: string, { cache, signal }: CacheSurroundings): Promise<void> {
  for (const name of ['mnt', 'apt']) await makeFolders(path.join(cache, name), 0o755);
  const folder = await HeldFolder.open(trash);
  try {
    // A build, or another prune, empties it: two at once would be in each other's way.
    while (!(await folder.lock())) {
      if (signal.aborted) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
    }
    const end = await emptyFolder(folder, folder, cache);
    if (end.exitCode !== 0)
      throw new PreflightError(`what was removed could not be emptied: ${end.noise.at(-1) ?? 'the sandbox ended'}`, { step: 'cache' });
  } finally {
    await folder.close();
  }
}
