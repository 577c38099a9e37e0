import { createHash } from 'node:crypto';
import { readFile, rename, statfs, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, PreflightError } from '../errors.ts';
import { CACHE_HINT } from '../system/disk-faults.ts';
import { hasCode, isMissing, makeFolders, removeFile, syncPath } from '../system/files.ts';
import { formatSize } from '../system/memory.ts';
import { faultsOf, keepMark, stateFault } from './layer-check.ts';
import { LAYER_FORMAT, type Layer, type LayerMeta, layersOf, metaSchema, type Unreadable } from './layers.ts';
import { type Locks, waitFor } from './locks.ts';
import { attributesOf, look, type TreeTools } from './look-at-tree.ts';
import { writeSealed } from './sealed.ts';
import { takeAway } from './take-away.ts';
import type { TreeRecord } from './tree-record.ts';

/** Bytes that stay free on the disk of the store when a layer is copied. */
const RESERVE = 64 * 1024 ** 2;
/** Entries of a layer that are brought to the disk one by one. */
const MOST_SYNCED = 200;

/** What is known of a layer before its tree is kept. */
export type NewLayer = Omit<LayerMeta, 'format' | 'size' | 'made' | 'state' | 'tree'>;

/** What is wrong with something in the store, and whether it could be removed: what another build uses stays. */
export interface Damage {
  readonly step: string;
  readonly why: string;
  readonly removed: boolean;
}

/**
 * A folder of layers, shared by all builds of a machine. A layer lies at `KEY/ID`, is complete when
 * its name is there and never changes; its folder and `lock` in it are held shared by those who use it.
 */
export class LayerStore {
  readonly #folder: string;
  readonly #tools: TreeTools;
  readonly #locks: Locks;
  /** Folders of layers that this build holds. */
  readonly #held = new Set<string>();
  /** Layers in which damage was found, and which could not be removed. */
  readonly #passedOver = new Set<string>();
  /** SHA-256 of the states that layers hand on which are being made, by their ids; empty: none. */
  readonly #states = new Map<string, string>();
  /** Keys whose layers are being made. */
  readonly #begun = new Set<string>();

  constructor(folder: string, tools: TreeTools, locks: Locks) {
    this.#folder = folder;
    this.#tools = tools;
    this.#locks = locks;
  }

  /**
   * The newest layer of the key in which `fault` finds nothing wrong. It is held until the locks are
   * closed. `onFault` is told what was wrong with one, `onDamage` of one that cannot be used: it is removed, unless another build holds it.
   */
  async find(
    key: string,
    fault: (layer: Layer) => Promise<string | undefined>,
    onFault: (fault: string) => void,
    onDamage: (damage: Omit<Damage, 'step'>) => void,
  ): Promise<Layer | undefined> {
    const unreadable: Unreadable[] = [];
    const layers = await layersOf(this.#folder, key, (found) => unreadable.push(found));
    for (const { folder, why } of unreadable) onDamage({ why, removed: await this.#remove(folder) });
    for (const layer of layers) {
      if (this.#passedOver.has(layer.folder) || !(await this.#hold(layer.folder))) continue;
      // Its state decides on what comes after it, before the tree is put together.
      const why = await stateFault(layer);
      if (why !== undefined) {
        onDamage({ why, removed: await this.#remove(layer.folder) });
        continue;
      }
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

  /**
   * Looks at layers that are about to be used. Those that are not what was kept are removed, or passed over from now on if
   * another build uses them. `onTouched` is told of one that has to be read whole.
   */
  async check(layers: readonly Layer[], onTouched: (layer: Layer) => void): Promise<Damage[]> {
    const faults = await faultsOf(layers, { onTouched }, this.#tools);
    const damages: Damage[] = [];
    for (const { layer, why } of faults) damages.push({ step: layer.meta.step, why, removed: await this.#remove(layer.folder) });
    return damages;
  }

  /** Waits until no other build makes a layer of this key. */
  async begin(key: string, onWait: () => void): Promise<void> {
    const file = this.#lockOf(key);
    await makeFolders(path.dirname(file), 0o700);
    await waitFor(this.#locks, file, () => this.#tools.runner.isStopped(), onWait);
    this.#begun.add(key);
  }

  async end(key: string): Promise<void> {
    if (!this.#begun.delete(key)) return;
    const file = this.#lockOf(key);
    // Who has opened it meanwhile finds that its name is gone, and makes it anew.
    await removeFile(file);
    await this.#locks.release(file);
  }

  /**
   * Begins a layer under a temporary name, with what must be taken before the next step runs: the file with the state of
   * the shell.
   */
  async open(id: string, state: string | undefined): Promise<void> {
    const part = this.#partOf(id);
    await makeFolders(part, 0o700);
    // Held while it is written: who clears up what killed builds have left does not take it.
    if (!(await this.#locks.shared(part))) throw new BuilderError(`${part} was removed by another build`);
    await writeFile(path.join(part, 'lock'), '', { mode: 0o600 });
    await this.#locks.shared(path.join(part, 'lock'));
    const text = state === undefined ? undefined : await readFile(state);
    if (text !== undefined) await writeFile(path.join(part, 'state.sh'), text, { mode: 0o600 });
    this.#states.set(id, text === undefined ? '' : createHash('sha256').update(text).digest('hex'));
  }

  /**
   * Copies the tree of a layer that was begun, makes its record, syncs and renames: then it is there. `askedAt`: when the archive
   * was, in seconds since 1970. Returns its size in bytes.
   */
  async put(meta: NewLayer, tree: string, askedAt: number): Promise<number> {
    const part = this.#partOf(meta.id);
    const state = this.#states.get(meta.id);
    if (state === undefined) throw new BuilderError(`the layer ${meta.id} was not begun`);
    await this.#checkRoom(tree);
    const copy = path.join(part, 'tree');
    const args = ['--archive', '--reflink=auto', '--one-file-system', '--no-target-directory', '--', tree, copy];
    await this.#tools.runner.run({ label: 'keeping the layer', file: 'cp', args });
    const { text, entries, size } = await this.#record(tree, copy);
    const record = Buffer.from(text, 'latin1');
    await writeFile(path.join(part, 'files'), record, { mode: 0o600 });
    const sha256 = createHash('sha256').update(record).digest('hex');
    const whole: LayerMeta = {
      format: LAYER_FORMAT,
      ...meta,
      state,
      tree: { entries, sha256 },
      size,
      made: new Date().toISOString(),
    };
    await writeSealed(path.join(part, 'meta.json'), metaSchema.parse(whole));
    // Its time is when the archive was asked.
    await utimes(path.join(part, 'meta.json'), askedAt, askedAt);
    await keepMark(part, this.#tools);
    await this.#sync(part, entries);
    await this.#giveName(part, path.join(this.#folder, meta.key), meta.id);
    return size;
  }

  /** Gives the room of a layer back that was begun and cannot be put. */
  async forget(id: string): Promise<void> {
    await this.#tools.runner.run({ label: 'forgetting the layer', file: 'find', args: [this.#partOf(id), '-xdev', '-delete'] });
  }

  /** A layer leaves room for the packages that are fetched meanwhile: without them there is no build. */
  async #checkRoom(tree: string): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    const find = { label: 'measuring the layer', file: 'find', args: [tree, '-xdev', '-printf', '%i %b\\n'] };
    const lines = (await this.#tools.runner.capture(find)).split('\n').slice(0, -1);
    const blocks = new Map(lines.map((line) => line.split(' ') as [string, string]));
    const size = [...blocks.values()].reduce((sum, count) => sum + 512 * Number(count), 0);
    if (bavail * bsize >= size + RESERVE) return;
    throw new PreflightError(`it takes ${formatSize(size)}, and only ${formatSize(bavail * bsize)} are free on the cache disk`, {
      hint: CACHE_HINT,
    });
  }

  /** The record of a tree that was copied. cp says nothing of attributes that the disk does not take. */
  async #record(tree: string, copy: string): Promise<TreeRecord> {
    const [was, is] = await attributesOf([tree, copy], this.#tools);
    if (was === undefined || is === undefined || JSON.stringify([...was.of]) !== JSON.stringify([...is.of]))
      throw new BuilderError('the disk of the cache folder does not keep all extended attributes');
    const answer = await look({ tree: copy, attributes: is.of, known: undefined }, is, 'low', this.#tools);
    if (!('record' in answer)) throw new BuilderError('no record was made');
    return answer.record;
  }

  /** Brings a layer to the disk: a small one file by file, since all else that the disk has to write may take long. */
  async #sync(part: string, entries: number): Promise<void> {
    const byFile = [part, '-xdev', '(', '-type', 'f', '-o', '-type', 'd', ')', '-exec', 'sync', '--', '{}', '+'];
    const [file, args] = entries > MOST_SYNCED ? ['sync', ['--file-system', part]] : ['find', byFile];
    await this.#tools.runner.run({ label: 'syncing the layer', file, args });
  }

  async #giveName(part: string, folder: string, id: string): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      await makeFolders(folder, 0o700);
      try {
        await rename(part, path.join(folder, id));
        return await syncPath(folder);
      } catch (error) {
        // Who prunes removes an empty folder.
        if (tries > 100 || !hasCode(error, 'ENOENT') || (await isMissing(part))) throw error;
      }
    }
  }

  async #hold(folder: string): Promise<boolean> {
    if (this.#held.has(folder)) return true;
    // Who removes one holds it for himself, and renames the folder before he lets it go.
    if (!(await this.#locks.shared(folder))) return false;
    if (await this.#locks.shared(path.join(folder, 'lock'))) {
      this.#held.add(folder);
      return true;
    }
    await this.#locks.release(folder);
    return false;
  }

  /** Takes a layer out of the store, unless another build uses it: then this one passes it over. */
  async #remove(folder: string): Promise<boolean> {
    if (this.#held.delete(folder)) for (const file of [path.join(folder, 'lock'), folder]) await this.#locks.release(file);
    const removed = await takeAway(this.#folder, folder, this.#locks);
    if (!removed) this.#passedOver.add(folder);
    return removed;
  }

  #partOf(id: string): string {
    return path.join(this.#folder, 'new', id);
  }

  #lockOf(key: string): string {
    return path.join(this.#folder, 'keys', key);
  }
}
