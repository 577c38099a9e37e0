import path from 'node:path';
import { hasCode, statOrUndefined } from '../system/files.ts';
import { walk } from '../system/walk.ts';
import { type Layer, namesIn, readLayer, type Unreadable } from './layers.ts';

/** A layer as `cache list` shows it. */
export interface StoredLayer extends Layer {
  /** Milliseconds since 1970; that of a layer above it counts too. 0: not known, since its time lies in the future. */
  readonly lastUsed: number;
  /** False: the layer below is gone, nobody can use it. */
  readonly isReachable: boolean;
}

/** What stands in a store and is not a layer that can be read. */
export interface StrayEntry extends Unreadable {
  /** What it takes on disk, in bytes. */
  readonly size: number;
}

/** All that a store holds beside what builds remember in `last` and `results`. */
export interface StoreListing {
  /** The latest used first. */
  readonly layers: readonly StoredLayer[];
  readonly unreadable: readonly StrayEntry[];
}

/** Folders of the store that hold no layers. */
export const storeFolders: readonly string[] = ['keys', 'last', 'new', 'results', 'trash'];
/** Files of the store: what the host's apt was asked. */
const storeFiles: readonly string[] = ['repositories'];

const KEY = /^[0-9a-f]{64}$/;
const ID = /^[0-9a-f]{32}$/;

/** All layers of a store, and what has no place in it. Nothing is read through a link. */
export async function listStore(store: string, now = Date.now()): Promise<StoreListing> {
  const found: { layer: Layer; used: number }[] = [];
  const unreadable: StrayEntry[] = [];
  const note = (folder: string, why: string): void => void unreadable.push({ folder, why, size: sizeOnDisk(folder) });
  for (const key of await namesIn(store)) {
    const folder = path.join(store, key);
    const isFolder = (await statOrUndefined(folder))?.isDirectory() === true;
    if (isFolder ? storeFolders.includes(key) : storeFiles.includes(key)) continue;
    if (!isFolder || !KEY.test(key)) {
      note(folder, 'it does not belong to a store of layers');
      continue;
    }
    for (const id of await namesIn(folder)) {
      if (!ID.test(id)) {
        note(path.join(folder, id), 'it does not belong to a store of layers');
        continue;
      }
      const layer = await readLayer(store, key, id);
      if (layer === undefined) continue;
      const lock = 'meta' in layer ? await statOrUndefined(path.join(layer.folder, 'lock')) : undefined;
      if ('why' in layer) note(layer.folder, layer.why);
      // A time in the future says nothing: it counts as old.
      else if (lock !== undefined) found.push({ layer, used: lock.mtimeMs > now ? 0 : lock.mtimeMs });
    }
  }
  return { layers: inOrder(found), unreadable };
}

function inOrder(found: readonly { layer: Layer; used: number }[]): StoredLayer[] {
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

/** How many layers lie below one. */
export function depth({ meta }: Layer, byId: ReadonlyMap<string, { layer: Layer }>): number {
  let count = 0;
  for (let below = byId.get(meta.parent); below !== undefined; below = byId.get(below.layer.meta.parent)) count += 1;
  return count;
}

/** What an entry takes on disk, in bytes, with all that lies in it on the same disk; what goes meanwhile does not count. */
function sizeOnDisk(entry: string): number {
  const blocks = new Map<bigint, bigint>();
  try {
    for (const { stat } of walk(entry)) blocks.set(stat.ino, stat.blocks);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return 512 * Number([...blocks.values()].reduce((sum, count) => sum + count, 0n));
}
