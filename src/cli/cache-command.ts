import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { programRoot } from '../resources.ts';
import { openLocks } from '../store/locks.ts';
import { listLayers, type PruneOptions, prune, type StoredLayer } from '../store/prune.ts';
import { makeFolders, statOrUndefined } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import { formatSize } from '../system/memory.ts';
import { removeLeftScratch } from './scratch.ts';
import { emptyFolder } from './staging.ts';
import { jsonLine } from './text.ts';

/** What `realmfs-builder cache` can do. */
export const cacheActions = ['list', 'du', 'prune', 'clear'] as const;
export type CacheAction = (typeof cacheActions)[number];

/** What the command line of `cache` says. */
export interface CacheOptions extends PruneOptions {
  readonly action: CacheAction;
  readonly json: boolean;
}

/** The version of the form of `cache --json`. */
export const CACHE_VERSION = 1;

/** Runs the command on the cache folder; returns the text for standard output. */
export async function cacheCommand(options: CacheOptions, cache: string, limit: number): Promise<string> {
  const store = path.join(cache, 'layers');
  const isThere = (await statOrUndefined(store))?.isDirectory() === true;
  const found = isThere ? await listLayers(store) : [];
  if (options.action === 'list') return options.json ? json(found) : listText(found, cache);
  if (options.action === 'du') return options.json ? json(found) : duText(found, cache);
  const asked: PruneOptions = options.action === 'clear' ? { maxSize: 0 } : options;
  const bounds = asked.maxSize === undefined && asked.olderThan === undefined ? { maxSize: limit } : asked;
  if (isThere) await removeLeftScratch(cache);
  const gone = isThere ? await pruneStore(store, cache, bounds) : [];
  const stays = isThere ? await listLayers(store) : [];
  if (options.json) return json(gone);
  const used = options.action === 'clear' && stays.length > 0 ? `; ${stays.length} are in use and stay` : '';
  return `${gone.length} layers removed, ${formatSize(sizeOf(gone))}${used}; ${formatSize(sizeOf(stays))} are left\n`;
}

async function pruneStore(store: string, cache: string, options: PruneOptions): Promise<StoredLayer[]> {
  const locks = openLocks(path.join(programRoot, 'templates/sandbox/locks.pl'));
  try {
    const gone = await prune(store, locks, options);
    await emptyTrash(path.join(store, 'trash'), cache);
    return gone;
  } finally {
    await locks.close();
  }
}

/** Whole trees are removed inside a sandbox, never from here. */
async function emptyTrash(trash: string, cache: string): Promise<void> {
  for (const name of ['mnt', 'apt']) await makeFolders(path.join(cache, name), 0o755);
  const folder = await HeldFolder.open(trash);
  try {
    // Somebody else empties it.
    if (!(await folder.lock())) return;
    const end = await emptyFolder(folder, folder, cache);
    if (end.exitCode !== 0)
      throw new PreflightError(`what was removed could not be emptied: ${end.noise.at(-1) ?? 'the sandbox ended'}`, { step: 'cache' });
  } finally {
    await folder.close();
  }
}

function sizeOf(layers: readonly StoredLayer[]): number {
  return layers.reduce((sum, { meta }) => sum + meta.size, 0);
}

function json(layers: readonly StoredLayer[]): string {
  const rows = layers.map(({ meta, lastUsed, isReachable }) => ({
    id: meta.id,
    step: meta.step,
    project: meta.project,
    size: meta.size,
    made: meta.made,
    lastUsed: new Date(lastUsed).toISOString(),
    below: meta.parent,
    isReachable,
  }));
  return jsonLine({ version: CACHE_VERSION, size: sizeOf(layers), layers: rows });
}

function when(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ');
}

function listText(layers: readonly StoredLayer[], cache: string): string {
  if (layers.length === 0) return `No layers in ${cache}.\n`;
  const rows = layers.map(({ meta, lastUsed, isReachable }) => [
    meta.id.slice(0, 12),
    formatSize(meta.size),
    when(Date.parse(meta.made)),
    when(lastUsed),
    isReachable ? meta.step : `${meta.step} (what is below it is gone)`,
    meta.project === '' ? 'base image' : meta.project,
  ]);
  return table([['layer', 'size', 'made (UTC)', 'last used', 'step', 'project'], ...rows]);
}

function duText(layers: readonly StoredLayer[], cache: string): string {
  const projects = new Map<string, number>();
  for (const { meta } of layers) projects.set(meta.project, (projects.get(meta.project) ?? 0) + meta.size);
  const rows = [...projects]
    .sort((a, b) => b[1] - a[1])
    .map(([project, size]) => [formatSize(size), project === '' ? 'base image' : project]);
  return table([...rows, [formatSize(sizeOf(layers)), `all layers in ${cache}`]]);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
