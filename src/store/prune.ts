import { rmdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, makeFolders } from '../system/files.ts';
import { namesIn } from './layers.ts';
import type { Locks } from './locks.ts';
import { depth, listStore, type StoredLayer, type StrayEntry, storeFolders } from './store-list.ts';
import { takeAway, trashOf } from './take-away.ts';

/** What is to go. */
export interface PruneOptions {
  /** In bytes; the layers that were not used for longest go first. */
  readonly maxSize?: number;
  /** Milliseconds since the last use. */
  readonly olderThan?: number;
}

/** What went. */
export interface Pruned {
  readonly layers: readonly StoredLayer[];
  readonly unreadable: readonly StrayEntry[];
}

/** The layers that options ask to remove: never one below another that stays. `others`: bytes that something else takes, and keeps. */
export function chooseForRemoval(layers: readonly StoredLayer[], options: PruneOptions, others = 0, now = Date.now()): StoredLayer[] {
  const chosen = new Set(layers.filter((layer) => !layer.isReachable));
  const { olderThan, maxSize } = options;
  if (olderThan !== undefined) for (const layer of layers) if (now - layer.lastUsed > olderThan) chosen.add(layer);
  if (maxSize !== undefined) {
    let size = layers.filter((layer) => !chosen.has(layer)).reduce((sum, { meta }) => sum + meta.size, others);
    for (const layer of [...layers].reverse()) {
      if (size <= maxSize) break;
      if (chosen.has(layer)) continue;
      chosen.add(layer);
      size -= layer.meta.size;
    }
  }
  // The order of removal: what lies on others first.
  return layers.filter((layer) => chosen.has(layer)).reverse();
}

/**
 * Takes layers out of the store, what is no layer that can be read, and what killed builds have left: it is renamed into the
 * store's `trash`, which the caller empties. What somebody uses stays.
 */
export async function prune(store: string, locks: Locks, options: PruneOptions): Promise<Pruned> {
  await makeFolders(trashOf(store), 0o700);
  const { layers, unreadable } = await listStore(store);
  const gone = { layers: [] as StoredLayer[], unreadable: [] as StrayEntry[] };
  let others = 0;
  for (const each of unreadable) {
    if (await takeAway(store, each.folder, locks)) gone.unreadable.push(each);
    else others += each.size;
  }
  const kept = new Set<string>();
  for (const layer of sortUpperFirst(chooseForRemoval(layers, options, others), layers)) {
    // One that somebody uses keeps those below it.
    if (kept.has(layer.meta.id) || !(await takeAway(store, layer.folder, locks))) {
      kept.add(layer.meta.parent);
      continue;
    }
    gone.layers.push(layer);
  }
  for (const id of await namesIn(path.join(store, 'new'))) await takeAway(store, path.join(store, 'new', id), locks);
  await removeKeys(path.join(store, 'keys'), locks);
  for (const name of await namesIn(store)) if (!storeFolders.includes(name)) await removeIfEmpty(path.join(store, name));
  return gone;
}

function sortUpperFirst(chosen: readonly StoredLayer[], all: readonly StoredLayer[]): StoredLayer[] {
  const byId = new Map(all.map((layer) => [layer.meta.id, { layer }]));
  return [...chosen].sort((a, b) => depth(b, byId) - depth(a, byId));
}

/** Removes the lock files of layers that nobody makes. */
async function removeKeys(folder: string, locks: Locks): Promise<void> {
  for (const name of await namesIn(folder)) {
    const file = path.join(folder, name);
    if (!/^[0-9a-f]{64}$/.test(name) || !(await locks.exclusive(file))) continue;
    await unlink(file).catch((error: unknown) => {
      // A folder, which can be locked as well.
      if (!hasCode(error, 'EISDIR') && !hasCode(error, 'EPERM')) throw error;
    });
    await locks.release(file);
  }
}

/** Removes the folder of a key without layers; who puts one there meanwhile makes it again. */
async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch((error: unknown) => {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].some((code) => hasCode(error, code))) throw error;
  });
}
