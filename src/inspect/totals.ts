import type { Totals } from '../images/image-tree.ts';
import type { FileEntry } from '../records/mtree.ts';
import type { InstalledPackage } from '../records/packages.ts';

/** Bytes of all files of a list; one with several names counts once. */
export function totalsOf(files: ReadonlyMap<string, FileEntry>): Totals {
  const regular = [...files.values()].filter(({ type }) => type === 'file');
  const bytes = regular.reduce((sum, { size = 0, links = 1 }) => sum + size / links, 0);
  return { entries: files.size, files: regular.length, bytes: Math.round(bytes) };
}

/** Sum of what packages say that they take, in bytes. */
export function installedSizeOf(packages: readonly InstalledPackage[]): number {
  return packages.reduce((sum, { installedSize }) => sum + installedSize, 0);
}
