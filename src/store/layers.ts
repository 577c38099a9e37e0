import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { hasCode, isMissing, readForeign, statOrUndefined } from '../system/files.ts';
import { readSealed } from './sealed.ts';

/** The version of a layer's form; another one is another key. */
export const LAYER_FORMAT = 2;

const texts = z.record(z.string(), z.string());

/** What stands beside a layer's tree, as `meta.json`, sealed. `format` comes first: it is read even where the rest is not understood. */
export const metaSchema = z.object({
  format: z.literal(LAYER_FORMAT),
  /** Random: two runs of one step need not give the same tree. */
  id: z.string(),
  /** SHA-256 of the inputs. */
  key: z.string(),
  /** The id of the layer below; empty: none. */
  parent: z.string(),
  /** The last step that it holds, and all of them. */
  step: z.string(),
  steps: z.array(z.string()),
  /** The project's folder on the host and the name of its configuration. */
  project: z.string(),
  /** ISO 8601. */
  made: z.string(),
  /** Seconds that its steps took. */
  seconds: z.number(),
  /** In bytes, as du counts it. */
  size: z.number(),
  /** What the static key is made of: for the answer to why another build misses it. */
  inputs: texts,
  /** What its steps looked up beside that, as it was: a name and what was found. */
  reads: texts,
  /** SHA-256 of every Release file that its packages come from, by its name in apt's lists. */
  releases: texts,
  /** What later steps must know. */
  facts: texts,
  /** Names in the tree that are one file, below its root; a folder above may have been renamed since. */
  links: z.array(z.array(z.string())),
  /** SHA-256 of `state.sh`; empty: there is none. */
  state: z.string(),
  /** How many entries its tree has, and the SHA-256 of the record of all of them (src/store/tree-record.ts). */
  tree: z.object({ entries: z.number(), sha256: z.string() }),
});

/** What stands beside a layer's tree. */
export type LayerMeta = z.infer<typeof metaSchema>;

/** A layer of the store. */
export interface Layer {
  readonly folder: string;
  readonly meta: LayerMeta;
}

/** The digest of inputs: of their names and values in order. */
export function keyOf(inputs: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/** A name for a new layer. */
export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** What stands in the place of a layer and cannot be read as one. */
export interface Unreadable {
  readonly folder: string;
  readonly why: string;
}

/** What stands in the store at `KEY/ID`; undefined: nothing, or it has just been removed. */
export async function readLayer(store: string, key: string, id: string): Promise<Layer | Unreadable | undefined> {
  const folder = path.join(store, key, id);
  const file = path.join(folder, 'meta.json');
  const parsed = await readSealed(file, metaSchema);
  if (parsed !== undefined) {
    if (parsed.key !== key || parsed.id !== id) return { folder, why: 'it lies in the place of another one' };
    if ((await statOrUndefined(path.join(folder, 'lock')))?.isFile() === true) return { folder, meta: parsed };
    return (await isMissing(folder)) ? undefined : { folder, why: 'its lock is missing' };
  }
  const there = await statOrUndefined(folder);
  if (there === undefined) return undefined;
  if (!there.isDirectory()) return { folder, why: 'it is not a folder' };
  return { folder, why: await whyUnreadable(file) };
}

/** Why meta.json cannot be used. */
async function whyUnreadable(file: string): Promise<string> {
  const text = (await readForeign(file))?.toString('utf8');
  if (text === undefined) return (await isMissing(file)) ? 'its meta.json is missing' : 'its meta.json is not a file that can be read';
  const format = /^\{"format":(\d+),/.exec(text)?.[1];
  return format === undefined || format === String(LAYER_FORMAT)
    ? 'its meta.json is damaged'
    : 'another version of the builder has made it';
}

/** The layers of a key in a store, the newest first; `onUnreadable` is told of what is none. */
export async function layersOf(store: string, key: string, onUnreadable: (found: Unreadable) => void = () => {}): Promise<Layer[]> {
  const found: Layer[] = [];
  for (const id of await namesIn(path.join(store, key))) {
    const layer = await readLayer(store, key, id);
    if (layer !== undefined && 'meta' in layer) found.push(layer);
    else if (layer !== undefined) onUnreadable(layer);
  }
  return found.sort((a, b) => (a.meta.made < b.meta.made ? 1 : -1));
}

/** The names in a folder, none if there is no folder; a link to one is none. */
export async function namesIn(folder: string): Promise<string[]> {
  if ((await statOrUndefined(folder))?.isDirectory() !== true) return [];
  return readdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
}
