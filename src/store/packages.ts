import { randomUUID } from 'node:crypto';
import { constants, createWriteStream } from 'node:fs';
import { lstat, open, readdir, rename, rm, utimes } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BuilderError } from '../errors.ts';
import { naming } from '../system/disk-faults.ts';
import { removeFile, sha256File, statOrUndefined, syncPath } from '../system/files.ts';
import type { Runner } from '../system/runner.ts';
import { listDigests } from './apt-lists.ts';
import { type IndexEntry, indicesOf, readPackages, readSigned, releaseField, type SignedRelease } from './index-file.ts';
import { openDigests } from './memo.ts';

/** Milliseconds between looks at what has been fetched. */
const EVERY = 2000;

/** Folders of the package cache: the shared one and a build's view of it. */
export interface PackageFolders {
  /** Shared: `archives/` and `lists/` below it. */
  readonly cache: string;
  /** A build's: `archives-upper` (what it fetched), `lists` (what apt sees), `lists-upper`. */
  readonly view: string;
}

/**
 * Takes fetched package files into the shared cache, if and only if name, size and SHA-256 stand
 * in an index that a good signature covers. Files that are not known are left where they are.
 */
export class PackageHarvest {
  readonly #folders: PackageFolders;
  readonly #keyring: string;
  readonly #runner: Runner;
  readonly #done = new Set<string>();
  /** The signed Release files, and what apt's lists were when they were read. */
  #signed: { readonly mark: string; readonly releases: readonly SignedRelease[] } | undefined;

  constructor(folders: PackageFolders, keyring: string, runner: Runner) {
    this.#folders = folders;
    this.#keyring = keyring;
    this.#runner = runner;
  }

  /** One pass; returns how many files were taken. */
  async harvest(): Promise<number> {
    const upper = path.join(this.#folders.view, 'archives-upper');
    const fresh: string[] = [];
    for (const name of await readdir(upper)) {
      if (name.endsWith('.deb') && !this.#done.has(name) && (await lstat(path.join(upper, name))).isFile()) fresh.push(name);
    }
    if (fresh.length === 0) return 0;
    const entries = await this.#entriesOf(fresh);
    let taken = 0;
    for (const name of fresh) {
      const entry = entries.get(name);
      if (entry === undefined || !(await this.#take(path.join(upper, name), path.join(this.#folders.cache, 'archives', name), entry)))
        continue;
      this.#done.add(name);
      taken += 1;
    }
    return taken;
  }

  /**
   * Runs a fetch and takes what it brings while it runs: a build that is killed has not fetched in
   * vain. What was fetched before a failure is taken too; the failure stays the one thrown.
   */
  async during<T>(fetch: () => Promise<T>): Promise<T> {
    let fault: unknown;
    let running = Promise.resolve();
    const look = (): Promise<void> => {
      running = running.then(async () => {
        fault = undefined;
        try {
          await this.harvest();
        } catch (error) {
          fault = error;
        }
      });
      return running;
    };
    const timer = setInterval(look, EVERY);
    let result: T;
    try {
      result = await fetch();
    } finally {
      clearInterval(timer);
      await look();
    }
    // Only the last look counts: an earlier one may have met a file that was just being replaced.
    if (fault !== undefined) throw fault;
    return result;
  }

  /** Takes apt's lists into the shared cache: signed Release files and the indices that they cover. */
  async harvestLists(): Promise<void> {
    const upper = path.join(this.#folders.view, 'lists-upper');
    const target = path.join(this.#folders.cache, 'lists');
    const digests = await openDigests(listDigests(this.#folders.cache));
    for (const release of await this.#releases(upper)) {
      if (!isNamedRight(release)) continue;
      for (const { file, signed } of await indicesOf(upper, release)) {
        const list = path.join(target, file);
        // Who finds later that it is not what its Release file says knows that it was.
        if (await this.#take(path.join(upper, file), list, signed)) await digests.note(list, signed.sha256);
      }
      await this.#take(path.join(upper, release.file), path.join(target, release.file));
    }
    await digests.keep();
  }

  /** Reads all package files of the shared cache; changes nothing. */
  async look(): Promise<{ checked: string[]; bad: string[]; unknown: string[] }> {
    const shared = path.join(this.#folders.cache, 'archives');
    const names = (await readdir(shared)).filter((name) => name.endsWith('.deb'));
    const entries = await this.#entriesOf(names);
    const found = { checked: [] as string[], bad: [] as string[], unknown: [] as string[] };
    for (const name of names) {
      if (this.#runner.isStopped()) throw new BuilderError('stopped');
      const [file, entry] = [path.join(shared, name), entries.get(name)];
      const isFile = (await statOrUndefined(file))?.isFile() === true;
      if (isFile && entry === undefined) found.unknown.push(name);
      else if (isFile && entry !== undefined && (await this.#matches(file, entry))) found.checked.push(name);
      else found.bad.push(name);
    }
    return found;
  }

  /** Checks the files that apt is about to install; removes the wrong ones and returns their names. */
  async verify(wanted: ReadonlyMap<string, IndexEntry>): Promise<string[]> {
    const wrong: string[] = [];
    for (const [name, entry] of wanted) {
      if (await this.#matches(path.join(this.#folders.view, 'archives', name), entry)) continue;
      wrong.push(name);
      await this.#drop(name);
    }
    return wrong;
  }

  /** Removes a file from the build's view and from the shared cache. */
  async #drop(name: string): Promise<void> {
    this.#done.delete(name);
    for (const folder of [path.join(this.#folders.view, 'archives'), path.join(this.#folders.cache, 'archives')]) {
      await rm(path.join(folder, name), { recursive: true, force: true });
    }
  }

  async #releases(lists: string): Promise<SignedRelease[]> {
    const releases: SignedRelease[] = [];
    for (const file of await readdir(lists)) {
      if (!file.endsWith('_InRelease') || !(await lstat(path.join(lists, file))).isFile()) continue;
      const signed = await readSigned(path.join(lists, file), this.#keyring, this.#runner);
      if (signed !== undefined) releases.push(signed);
    }
    return releases;
  }

  /** What the signed indices among apt's lists say of package files. */
  async #entriesOf(names: readonly string[]): Promise<Map<string, IndexEntry>> {
    const lists = path.join(this.#folders.view, 'lists');
    const mark = await listsMark(lists);
    if (this.#signed?.mark !== mark) this.#signed = { mark, releases: await this.#releases(lists) };
    const wanted = new Set(names.map((name) => name.replace(/_.*/, '')));
    const entries = new Map<string, IndexEntry>();
    for (const release of this.#signed.releases)
      for (const { file, signed } of await indicesOf(lists, release)) {
        if (!file.endsWith('_Packages')) continue;
        for (const [name, entry] of await readPackages(path.join(lists, file), signed, wanted)) entries.set(name, entry);
      }
    return entries;
  }

  async #matches(file: string, entry: IndexEntry): Promise<boolean> {
    const stat = await statOrUndefined(file);
    return stat?.isFile() === true && stat.size === entry.size && (await sha256File(file)) === entry.sha256;
  }

  /**
   * Copies under a temporary name, syncs, renames: the final name never stands for a part. False if
   * the copy, which nobody else can write, is not what `entry` says.
   */
  async #take(from: string, to: string, entry?: IndexEntry): Promise<boolean> {
    const part = path.join(path.dirname(to), 'partial', `${path.basename(to)}.${randomUUID()}`);
    try {
      const source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const stat = await source.stat();
      if (!stat.isFile()) {
        await source.close();
        return false;
      }
      const copy = createWriteStream(part, { flags: 'wx', mode: 0o644 });
      await naming(part, pipeline(source.createReadStream({ highWaterMark: 1024 * 1024 }), copy));
      if (entry !== undefined && !(await this.#matches(part, entry))) return false;
      await utimes(part, stat.atime, stat.mtime);
      await naming(part, syncPath(part));
      await rename(part, to);
      return true;
    } finally {
      await removeFile(part);
    }
  }
}

/** What a folder of apt's lists holds: the same for its copies, whose times are whole milliseconds, and links. */
export async function listsMark(lists: string): Promise<string> {
  const marks: string[] = [];
  for (const name of (await readdir(lists)).sort()) {
    const stat = await statOrUndefined(path.join(lists, name));
    if (stat?.isFile() && name !== 'lock') marks.push(`${name} ${stat.size} ${stat.mtime.getTime()}`);
  }
  return marks.join('\n');
}

/** Whether a Release file is that of the suite that its name in apt's lists says; an odd one is not shared. */
function isNamedRight({ file, text }: SignedRelease): boolean {
  const suite = /_dists_(.+)_InRelease$/.exec(file)?.[1];
  if (suite === undefined) return true;
  return ['Suite', 'Codename'].some((field) => releaseField(text, field)?.replaceAll('/', '_') === suite);
}
