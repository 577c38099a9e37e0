import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { makeFolders, statOrUndefined } from '../system/files.ts';
import { type Layer, readLayer } from './layers.ts';
import type { Locks } from './locks.ts';

/** A layer as `cache list` shows it. */
export interface StoredLayer extends Layer {
  /** Milliseconds since 1970; that of a layer above it counts too. */
  readonly lastUsed: number;
  /** False: the layer below is gone, nobody can use it. */
  readonly isReachable: boolean;
}

/** What is to go. */
export interface PruneOptions {
  /** In bytes; the layers that were not used for longest go first. */
  readonly maxSize?: number;
  /** Milliseconds since the last use. */
  readonly olderThan?: number;
}

/** Folders of the store that hold no layers. */
const others = new Set(['keys', 'last', 'new', 'results', 'trash']);

/** All layers of a store, the latest used first. */
export async function listLayers(store: string): Promise<StoredLayer[]> {
  const found: { layer: Layer; used: number }[] = [];
  for (const key of await names(store)) {
    if (others.has(key)) continue;
    for (const id of await names(path.join(store, key))) {
      const layer = await readLayer(path.join(store, key, id));
      const lock = layer === undefined ? undefined : await statOrUndefined(path.join(layer.folder, 'lock'));
      if (layer !== undefined && lock !== undefined) found.push({ layer, used: lock.mtimeMs });
    }
  }
  const byId = new Map(found.map((each) => [each.layer.meta.id, each]));
  // A layer was used when one above it was.
  for (const { layer, used } of found) {
    for (let below = byId.get(layer.meta.parent); below !== undefined; below = byId.get(below.layer.meta.parent))
      below.used = Math.max(below.used, used);
  }
  const isReachable = ({ meta }: Layer): boolean => {
    for (let { parent } = meta; parent !== ''; ) {
      const below = byId.get(parent);
      if (below === undefined) return false;
      parent = below.layer.meta.parent;
    }
    return true;
  };
  return found
    .map(({ layer, used }) => ({ ...layer, lastUsed: used, isReachable: isReachable(layer) }))
    .sort((a, b) => b.lastUsed - a.lastUsed || depth(a, byId) - depth(b, byId));
}

function depth({ meta }: Layer, byId: ReadonlyMap<string, { layer: Layer }>): number {
  let count = 0;
  for (let below = byId.get(meta.parent); below !== undefined; below = byId.get(below.layer.meta.parent)) count += 1;
  return count;
}

/** The layers that options ask to remove: never one below another that stays. */
export function chooseForRemoval(layers: readonly StoredLayer[], options: PruneOptions, now = Date.now()): StoredLayer[] {
  const chosen = new Set(layers.filter((layer) => !layer.isReachable));
  const { olderThan, maxSize } = options;
  if (olderThan !== undefined) for (const layer of layers) if (now - layer.lastUsed > olderThan) chosen.add(layer);
  if (maxSize !== undefined) {
    let size = layers.filter((layer) => !chosen.has(layer)).reduce((sum, { meta }) => sum + meta.size, 0);
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
 * Takes layers out of the store, and what killed builds have left of new ones: they are renamed into
 * its `trash`, which the caller empties. What somebody uses stays. Returns the layers that went.
 */
export async function prune(store: string, locks: Locks, options: PruneOptions): Promise<StoredLayer[]> {
  const trash = path.join(store, 'trash');
  await makeFolders(trash, 0o700);
  const gone: StoredLayer[] = [];
  const kept = new Set<string>();
  const layers = await listLayers(store);
  for (const layer of sortUpperFirst(chooseForRemoval(layers, options), layers)) {
    // One that somebody uses keeps those below it.
    if (kept.has(layer.meta.id) || !(await take(layer.folder, path.join(trash, layer.meta.id), locks))) {
      kept.add(layer.meta.parent);
      continue;
    }
    gone.push(layer);
  }
  for (const id of await names(path.join(store, 'new'))) await take(path.join(store, 'new', id), path.join(trash, id), locks);
  return gone;
}

function sortUpperFirst(chosen: readonly StoredLayer[], all: readonly StoredLayer[]): StoredLayer[] {
  const byId = new Map(all.map((layer) => [layer.meta.id, { layer }]));
  return [...chosen].sort((a, b) => depth(b, byId) - depth(a, byId));
}

async function take(folder: string, target: string, locks: Locks): Promise<boolean> {
  const lock = path.join(folder, 'lock');
  if (!(await locks.exclusive(lock))) return false;
  await rename(folder, target);
  await locks.release(lock);
  return true;
}

async function names(folder: string): Promise<string[]> {
  return (await statOrUndefined(folder))?.isDirectory() === true ? readdir(folder) : [];
}
