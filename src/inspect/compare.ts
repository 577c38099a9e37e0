import { type Aspect, aspectsOf } from '../records/compare.ts';
import type { FileEntry } from '../records/mtree.ts';
import type { InstalledPackage } from '../records/packages.ts';

/** What of two things is in one alone, and what is in both and differs. */
export interface Differences<T, Change> {
  readonly added: readonly T[];
  readonly removed: readonly T[];
  readonly changed: readonly Change[];
}

/** An entry that differs. */
export interface FileChange {
  readonly path: string;
  readonly what: readonly Aspect[];
  readonly a: FileEntry;
  readonly b: FileEntry;
}

/** A package that differs. */
export interface PackageChange {
  readonly name: string;
  readonly a: InstalledPackage;
  readonly b: InstalledPackage;
}

/** Compares two lists of files, by path. */
export function compareFiles(a: ReadonlyMap<string, FileEntry>, b: ReadonlyMap<string, FileEntry>): Differences<FileEntry, FileChange> {
  // Archives need not name the root.
  const inOrder = (entries: Iterable<FileEntry>, other: ReadonlyMap<string, FileEntry>): FileEntry[] =>
    [...entries].filter(({ path }) => path !== '.' && !other.has(path)).sort(byPath);
  const changed: FileChange[] = [];
  for (const [path, from] of a) {
    const to = b.get(path);
    const what = to === undefined ? [] : aspectsOf(from, to);
    if (to !== undefined && what.length > 0) changed.push({ path, what, a: from, b: to });
  }
  return { added: inOrder(b.values(), a), removed: inOrder(a.values(), b), changed: changed.sort(byPath) };
}

function byPath(one: { readonly path: string }, other: { readonly path: string }): number {
  return one.path < other.path ? -1 : one.path > other.path ? 1 : 0;
}

/** Compares two lists of packages, by name. */
export function comparePackages(
  a: readonly InstalledPackage[],
  b: readonly InstalledPackage[],
): Differences<InstalledPackage, PackageChange> {
  const [before, after] = [a, b].map((list) => new Map(list.map((one) => [one.name, one])));
  const changed = a.flatMap((one): PackageChange[] => {
    const other = after?.get(one.name);
    return other === undefined || (other.version === one.version && other.arch === one.arch) ? [] : [{ name: one.name, a: one, b: other }];
  });
  return { added: b.filter(({ name }) => !before?.has(name)), removed: a.filter(({ name }) => !after?.has(name)), changed };
}

/** Whether nothing differs. */
export function isSame(...all: readonly (Differences<unknown, unknown> | null)[]): boolean {
  return all.every((one) => one === null || one.added.length + one.removed.length + one.changed.length === 0);
}

/** How many entries of a folder differ. */
export interface FolderSummary {
  readonly folder: string;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/** Counts what differs by folder, two levels deep. */
export function byFolder(files: Differences<FileEntry, FileChange>): FolderSummary[] {
  const found = new Map<string, FolderSummary>();
  for (const kind of ['added', 'removed', 'changed'] as const)
    for (const { path } of files[kind]) {
      const folder = path.split('/').slice(0, -1).slice(0, 3).join('/') || '.';
      const before = found.get(folder) ?? { folder, added: 0, removed: 0, changed: 0 };
      found.set(folder, { ...before, [kind]: before[kind] + 1 });
    }
  return [...found.values()].sort((a, b) => (a.folder < b.folder ? -1 : 1));
}
