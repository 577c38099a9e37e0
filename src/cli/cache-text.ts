import path from 'node:path';
import type { Pruned } from '../store/prune.ts';
import type { StoreListing } from '../store/store-list.ts';
import { formatSize } from '../system/memory.ts';
import { plainWord } from '../system/names.ts';
import type { BadEntry, Verified } from './cache-verify.ts';
import type { CacheAction } from './options/types.ts';
import { jsonLine, table } from './text.ts';

/** The version of the form of `cache --json`. */
export const CACHE_VERSION = 1;

function sizeOf({ layers, unreadable }: StoreListing | Pruned): number {
  const others = unreadable.reduce((sum, { size }) => sum + size, 0);
  return layers.reduce((sum, { meta }) => sum + meta.size, others);
}

/** Layers, and what could not be read, as one JSON object. */
export function json(listing: StoreListing | Pruned): string {
  const layers = listing.layers.map(({ meta, lastUsed, isReachable }) => ({
    id: meta.id,
    step: meta.step,
    project: meta.project,
    size: meta.size,
    made: meta.made,
    lastUsed: new Date(lastUsed).toISOString(),
    below: meta.parent,
    isReachable,
  }));
  const unreadable = listing.unreadable.map(({ folder, why, size }) => ({ path: folder, why, size }));
  return jsonLine({ version: CACHE_VERSION, size: sizeOf(listing), layers, unreadable });
}

function when(milliseconds: number): string {
  return milliseconds === 0 ? 'not known' : new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ');
}

/** A row for each layer. */
export function listText({ layers, unreadable }: StoreListing, cache: string): string {
  if (layers.length + unreadable.length === 0) return `No layers in ${cache}.\n`;
  const rows = layers.map(({ meta, lastUsed, isReachable }) => [
    meta.id.slice(0, 12),
    formatSize(meta.size),
    when(Date.parse(meta.made)),
    when(lastUsed),
    isReachable ? meta.step : `${meta.step} (what is below it is gone)`,
    meta.project === '' ? 'base image' : plainWord(meta.project),
  ]);
  const others = unreadable.map(({ folder, why, size }) => [
    plainWord(path.basename(folder)).slice(0, 12),
    formatSize(size),
    '-',
    '-',
    'unreadable',
    why,
  ]);
  return lines([['layer', 'size', 'made (UTC)', 'last used', 'step', 'project'], ...rows, ...others]);
}

/** A row for each project. */
export function duText(listing: StoreListing, cache: string): string {
  const projects = new Map<string, number>();
  for (const { meta } of listing.layers) projects.set(meta.project, (projects.get(meta.project) ?? 0) + meta.size);
  const rows = [...projects]
    .sort((a, b) => b[1] - a[1])
    .map(([project, size]) => [formatSize(size), project === '' ? 'base image' : plainWord(project)]);
  const others = listing.unreadable.reduce((sum, { size }) => sum + size, 0);
  if (listing.unreadable.length > 0) rows.push([formatSize(others), `unreadable: ${listing.unreadable.length} entries`]);
  return lines([...rows, [formatSize(sizeOf(listing)), `all layers in ${cache}`]]);
}

/** What was removed, and what is left. */
export function goneText(gone: Pruned, left: StoreListing, action: CacheAction): string {
  const count = left.layers.length + left.unreadable.length;
  const used = action === 'clear' && count > 0 ? `; ${count} are in use and stay` : '';
  const others = gone.unreadable.length > 0 ? `, and ${gone.unreadable.length} entries that could not be read` : '';
  const size = gone.layers.reduce((sum, { meta }) => sum + meta.size, 0);
  return `${gone.layers.length} layers removed, ${formatSize(size)}${others}${used}; ${formatSize(sizeOf(left))} are left\n`;
}

/** What does not hold, a line each, and how much was looked at. */
export function verifyText({ bad, layers, packages, unknownPackages, lists, notes }: Verified, repair: boolean): string {
  const end = ({ removed }: BadEntry): string => (removed ? ': removed' : repair ? ': in use, stays' : '');
  const lines = bad.map((each) => `${plainWord(each.path)}: ${plainWord(each.what)}: ${plainWord(each.why)}${end(each)}\n`);
  const unknown = unknownPackages > 0 ? ` (${unknownPackages} of them in no signed index that is kept)` : '';
  const sum = bad.length === 0 ? 'all of it holds' : `${bad.length} ${bad.length === 1 ? 'does' : 'do'} not hold`;
  return `${lines.join('')}${layers} layers, ${packages} packages${unknown}, ${lists} lists, ${notes} notes: ${sum}\n`;
}

function lines(rows: readonly (readonly string[])[]): string {
  return table(rows)
    .map((line) => `${line}\n`)
    .join('');
}
