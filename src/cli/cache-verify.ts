import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { programRoot } from '../resources.ts';
import { listFaults } from '../store/apt-lists.ts';
import { faultsOf } from '../store/layer-check.ts';
import { namesIn } from '../store/layers.ts';
import { type Locks, waitFor } from '../store/locks.ts';
import { PackageHarvest } from '../store/packages.ts';
import { isSealed } from '../store/sealed.ts';
import { listStore } from '../store/store-list.ts';
import { takeAway } from '../store/take-away.ts';
import { makeFolders, statOrUndefined } from '../system/files.ts';
import type { Runner } from '../system/runner.ts';

/** Something in the cache that does not hold. */
export interface BadEntry {
  /** Below the cache folder. */
  readonly path: string;
  /** `layer`, `package`, `list`, `note`: what a build remembers for the next one. */
  readonly kind: 'layer' | 'package' | 'list' | 'note';
  /** What it is, in a word for people: `layer of post/one`. */
  readonly what: string;
  readonly why: string;
  /** Whether it was removed. */
  readonly removed: boolean;
}

/** What `cache verify` has looked at and found. */
export interface Verified {
  readonly layers: number;
  readonly packages: number;
  /** Package files that no signed index among the lists speaks of: nothing is known of them. */
  readonly unknownPackages: number;
  readonly lists: number;
  readonly notes: number;
  readonly bad: readonly BadEntry[];
}

/** What it needs. */
export interface VerifySurroundings {
  readonly cache: string;
  readonly keyring: string;
  readonly runner: Runner;
  readonly locks: Locks;
  readonly repair: boolean;
}

type Found = Omit<BadEntry, 'removed'>;

/** Reads all of a cache anew. `repair`: what does not hold is removed, unless a build uses it. */
export async function verifyCache(around: VerifySurroundings): Promise<Verified> {
  const { cache, repair } = around;
  const layers = await verifyLayers(around);
  const packages = await verifyPackages(around);
  const notes = await verifyNotes(cache);
  const bad: BadEntry[] = [];
  for (const found of [...layers.bad, ...packages.bad, ...notes.bad])
    bad.push({ ...found, removed: repair && (await remove(found, around)) });
  return {
    layers: layers.count,
    packages: packages.count,
    unknownPackages: packages.unknown,
    lists: packages.lists,
    notes: notes.count,
    bad,
  };
}

async function verifyLayers({ cache, runner }: VerifySurroundings): Promise<{ count: number; bad: Found[] }> {
  const store = path.join(cache, 'layers');
  const { layers, unreadable } = await listStore(store);
  const tools = { runner, program: programRoot };
  const bad = unreadable.map(({ folder, why }) => ({
    path: path.relative(cache, folder),
    kind: 'layer' as const,
    what: 'entry of the store',
    why,
  }));
  const unreachable = layers.filter(({ isReachable }) => !isReachable);
  for (const { folder, meta } of unreachable)
    bad.push({ path: path.relative(cache, folder), kind: 'layer', what: `layer of ${meta.step}`, why: 'what is below it is gone' });
  const reachable = layers.filter(({ isReachable }) => isReachable);
  for (const { layer, why } of await faultsOf(reachable, { isThorough: true }, tools)) {
    // Somebody has removed it meanwhile.
    if ((await statOrUndefined(layer.folder)) === undefined) continue;
    bad.push({ path: path.relative(cache, layer.folder), kind: 'layer', what: `layer of ${layer.meta.step}`, why });
  }
  return { count: layers.length + unreadable.length, bad };
}

async function verifyPackages(around: VerifySurroundings): Promise<{ count: number; unknown: number; lists: number; bad: Found[] }> {
  const { cache, keyring, runner } = around;
  const apt = path.join(cache, 'apt');
  for (const name of ['archives', 'lists']) await makeFolders(path.join(apt, name), 0o755);
  const lists = await listFaults(apt, keyring, runner, { isThorough: true });
  const bad: Found[] = [];
  for (const name of lists.damaged) bad.push(aptEntry('lists', name, 'list', 'is not what was signed'));
  for (const entry of await readdir(path.join(apt, 'lists'), { withFileTypes: true }))
    if (!entry.isFile() && !['partial', 'auxfiles'].includes(entry.name)) bad.push(aptEntry('lists', entry.name, 'list', 'is not a file'));
  // What is compared with a list that does not hold says nothing.
  const known = await new PackageHarvest({ cache: apt, view: apt }, keyring, runner).look();
  for (const name of known.bad) bad.push(aptEntry('archives', name, 'package', 'is not what the signed index says'));
  const names = (await namesIn(path.join(apt, 'lists'))).filter((name) => name.includes('_'));
  return { count: known.checked.length + known.bad.length + known.unknown.length, unknown: known.unknown.length, lists: names.length, bad };
}

function aptEntry(folder: string, name: string, kind: 'list' | 'package', why: string): Found {
  return { path: `apt/${folder}/${name}`, kind, what: kind, why };
}

/** The files by which a build tells the next one something. */
async function verifyNotes(cache: string): Promise<{ count: number; bad: Found[] }> {
  const folders = ['layers/last', 'layers/results', 'apt/asked', 'apt/proven'];
  const files = ['layers/repositories'];
  for (const folder of folders) files.push(...(await namesIn(path.join(cache, folder))).map((name) => `${folder}/${name}`));
  const bad: Found[] = [];
  let count = 0;
  for (const file of files) {
    if ((await statOrUndefined(path.join(cache, file))) === undefined) continue;
    count += 1;
    if (!(await isSealed(path.join(cache, file))))
      bad.push({ path: file, kind: 'note', what: 'note for the next build', why: 'is damaged' });
  }
  return { count, bad };
}

async function remove({ path: name, kind }: Found, { cache, locks, runner }: VerifySurroundings): Promise<boolean> {
  const entry = path.join(cache, name);
  if (kind === 'layer' || kind === 'note') return takeAway(path.join(cache, 'layers'), entry, locks);
  const lock = path.join(cache, 'apt/fetch.lock');
  await waitFor(locks, lock, runner.isStopped, () => {});
  try {
    return await takeAway(path.join(cache, 'layers'), entry, locks);
  } finally {
    await locks.release(lock);
  }
}
