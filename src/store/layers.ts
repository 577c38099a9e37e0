import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, rename, statfs, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { PreflightError } from '../errors.ts';
import { CACHE_HINT } from '../system/disk-faults.ts';
import { isMissing, makeFolders, statOrUndefined, syncPath } from '../system/files.ts';
import { formatSize } from '../system/memory.ts';
import type { Runner } from '../system/runner.ts';
import { type Locks, waitFor } from './locks.ts';

/** The version of a layer's form; another one is another key. */
export const LAYER_FORMAT = 2;

const texts = z.record(z.string(), z.string());

/** What stands beside a layer's tree, as `meta.json`. */
const metaSchema = z.object({
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
});

/** What stands beside a layer's tree. */
export type LayerMeta = z.infer<typeof metaSchema>;

/** A layer of the store. */
export interface Layer {
  readonly folder: string;
  readonly meta: LayerMeta;
}

/** Bytes that stay free on the disk of the store when a layer is copied. */
const RESERVE = 64 * 1024 ** 2;
/** Entries of a layer that are brought to the disk one by one. */
const MOST_SYNCED = 200;

/** The digest of inputs: of their names and values in order. */
export function keyOf(inputs: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/**
 * A folder of layers, shared by all builds of a machine. A layer lies at `KEY/ID`, is complete when
 * its name is there and never changes; `lock` in it is held shared by those who use it.
 */
export class LayerStore {
  readonly #folder: string;
  readonly #runner: Runner;
  readonly #locks: Locks;

  constructor(folder: string, runner: Runner, locks: Locks) {
    this.#folder = folder;
    this.#runner = runner;
    this.#locks = locks;
  }

  /**
   * The newest layer of the key in which `fault` finds nothing wrong. It is held until the locks are
   * closed. `onFault` is told what was wrong with one.
   */
  async find(
    key: string,
    fault: (layer: Layer) => Promise<string | undefined>,
    onFault: (fault: string) => void = () => {},
  ): Promise<Layer | undefined> {
    for (const layer of await layersOf(this.#folder, key)) {
      if (!(await this.#hold(layer.folder))) continue;
      const wrong = await fault(layer);
      if (wrong !== undefined) {
        onFault(wrong);
        continue;
      }
      const now = new Date();
      await utimes(path.join(layer.folder, 'lock'), now, now);
      return layer;
    }
    return undefined;
  }

  /** Waits until no other build makes a layer of this key. */
  async begin(key: string, onWait: () => void): Promise<void> {
    const file = this.#lockOf(key);
    await makeFolders(path.dirname(file), 0o700);
    await writeFile(file, '', { flag: 'a', mode: 0o600 });
    await waitFor(this.#locks, file, () => this.#runner.isStopped(), onWait);
  }

  async end(key: string): Promise<void> {
    await this.#locks.release(this.#lockOf(key));
  }

  /**
   * Begins a layer under a temporary name, with what must be taken before the next step runs: the file with the state of
   * the shell.
   */
  async open(id: string, state: string | undefined): Promise<void> {
    const part = this.#partOf(id);
    await makeFolders(part, 0o700);
    await writeFile(path.join(part, 'lock'), '', { mode: 0o600 });
    // Held while it is written: who clears up what killed builds have left does not take it.
    await this.#locks.shared(path.join(part, 'lock'));
    if (state !== undefined) await writeFile(path.join(part, 'state.sh'), await readFile(state), { mode: 0o600 });
  }

  /**
   * Copies the tree of a layer that was begun, syncs and renames: then it is there. `askedAt`: when the archive
   * was, in seconds since 1970. Returns its size in bytes.
   */
  async put(meta: Omit<LayerMeta, 'format' | 'size' | 'made'>, tree: string, askedAt: number): Promise<number> {
    const { id } = meta;
    const part = this.#partOf(id);
    await this.#checkRoom(tree);
    const copy = ['--archive', '--reflink=auto', '--one-file-system', '--no-target-directory', '--', tree, path.join(part, 'tree')];
    await this.#runner.run({ label: 'keeping the layer', file: 'cp', args: copy });
    const { size, entries } = await this.#measure(path.join(part, 'tree'));
    const whole = { format: LAYER_FORMAT, ...meta, size, made: new Date().toISOString() } as const;
    await writeFile(path.join(part, 'meta.json'), JSON.stringify(metaSchema.parse(whole)), { mode: 0o600 });
    // Its time is when the archive was asked.
    await utimes(path.join(part, 'meta.json'), askedAt, askedAt);
    await this.#sync(part, entries);
    const folder = path.join(this.#folder, meta.key);
    await makeFolders(folder, 0o700);
    await rename(part, path.join(folder, id));
    await syncPath(folder);
    return whole.size;
  }

  /** Gives the room of a layer back that was begun and cannot be put. */
  async forget(id: string): Promise<void> {
    await this.#runner.run({ label: 'forgetting the layer', file: 'find', args: [this.#partOf(id), '-xdev', '-delete'] });
  }

  /** A layer leaves room for the packages that are fetched meanwhile: without them there is no build. */
  async #checkRoom(tree: string): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    const { size } = await this.#measure(tree);
    if (bavail * bsize >= size + RESERVE) return;
    throw new PreflightError(`it takes ${formatSize(size)}, and only ${formatSize(bavail * bsize)} are free on the cache disk`, {
      hint: CACHE_HINT,
    });
  }

  /** The bytes that a tree takes on disk, and how many files and folders it has. */
  async #measure(tree: string): Promise<{ size: number; entries: number }> {
    const text = await this.#runner.capture({ label: 'measuring the layer', file: 'find', args: [tree, '-xdev', '-printf', '%i %b\\n'] });
    const lines = text.split('\n').slice(0, -1);
    const blocks = new Map(lines.map((line) => line.split(' ') as [string, string]));
    return { size: [...blocks.values()].reduce((sum, count) => sum + 512 * Number(count), 0), entries: lines.length };
  }

  /** Brings a layer to the disk: a small one file by file, since all else that the disk has to write may take long. */
  async #sync(part: string, entries: number): Promise<void> {
    const byFile = [part, '-xdev', '(', '-type', 'f', '-o', '-type', 'd', ')', '-exec', 'sync', '--', '{}', '+'];
    const [file, args] = entries > MOST_SYNCED ? ['sync', ['--file-system', part]] : ['find', byFile];
    await this.#runner.run({ label: 'syncing the layer', file, args });
  }

  async #hold(folder: string): Promise<boolean> {
    const lock = path.join(folder, 'lock');
    // Who prunes holds it for himself, and renames the folder before he lets it go.
    return (await this.#locks.shared(lock)) && !(await isMissing(lock));
  }

  #partOf(id: string): string {
    return path.join(this.#folder, 'new', id);
  }

  #lockOf(key: string): string {
    return path.join(this.#folder, 'keys', key);
  }
}

/** The layers of a key in a store, the newest first. */
export async function layersOf(store: string, key: string): Promise<Layer[]> {
  const found: Layer[] = [];
  for (const id of await namesIn(path.join(store, key))) {
    const layer = await readLayer(path.join(store, key, id));
    if (layer !== undefined) found.push(layer);
  }
  return found.sort((a, b) => (a.meta.made < b.meta.made ? 1 : -1));
}

/** A name for a new layer. */
export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** Reads a layer; undefined if it is none of this format, or has just been removed. */
export async function readLayer(folder: string): Promise<Layer | undefined> {
  try {
    const parsed = metaSchema.safeParse(JSON.parse(await readFile(path.join(folder, 'meta.json'), 'utf8')));
    return parsed.success ? { folder, meta: parsed.data } : undefined;
  } catch {
    return undefined;
  }
}

/** The names in a folder, none if there is no folder. */
async function namesIn(folder: string): Promise<string[]> {
  return (await statOrUndefined(folder))?.isDirectory() === true ? readdir(folder) : [];
}
