import type { FileEntry } from '../records/mtree.ts';
import type { InstalledPackage } from '../records/packages.ts';
import { sha256File } from '../system/files.ts';
import { compareFiles, comparePackages, type Differences, type FileChange, isSame, type PackageChange } from './compare.ts';
import type { DiffReport } from './diff-report.ts';
import type { Side } from './diff-side.ts';
import { REPORT_VERSION } from './inspect-report.ts';
import { installedSizeOf, totalsOf } from './totals.ts';

/** What differs, as the commands need it. */
export interface Diff {
  readonly a: Side;
  readonly b: Side;
  readonly same: boolean;
  /** Whether the images are the same, byte by byte; null: they were not compared so. */
  readonly bytes: boolean | null;
  readonly artifacts: readonly ArtifactRow[] | null;
  readonly packages: Differences<InstalledPackage, PackageChange> | null;
  readonly files: Differences<FileEntry, FileChange> | null;
  readonly notes: readonly string[];
}

/** A result of the two builds; null: that build has none of this name. */
interface ArtifactRow {
  readonly file: string;
  readonly a: { readonly size: number; readonly sha256: string } | null;
  readonly b: { readonly size: number; readonly sha256: string } | null;
}

/** Whether two images are the same, byte by byte; null: their files are known, or one of them is a folder. */
export async function sameBytes(a: Side, b: Side): Promise<boolean | null> {
  if ((a.files !== null && b.files !== null) || a.size === null || b.size === null) return null;
  return a.size === b.size && (await sha256File(a.path)) === (await sha256File(b.path));
}

/** Compares what is known of both sides; `bytes` is what sameBytes says. What could not be compared is not the same. */
export function diffOf(a: Side, b: Side, bytes: boolean | null = null): Diff {
  const packages = a.packages === null || b.packages === null ? null : comparePackages(a.packages, b.packages);
  const files = a.files === null || b.files === null ? null : compareFiles(a.files, b.files);
  const artifacts = a.artifacts === null || b.artifacts === null ? null : artifactRows(a, b);
  const isCompared = files !== null || bytes === true || (artifacts ?? []).some((row) => row.a !== null && row.a.sha256 === row.b?.sha256);
  const same = isCompared && isSame(packages, files) && (artifacts ?? []).every((row) => row.a?.sha256 === row.b?.sha256);
  const notes = [
    ...[a, b].flatMap((side, at) => side.notes.map((note) => `${at === 0 ? 'A' : 'B'}: ${note}`)),
    ...(bytes === false ? ['the images themselves are not the same, byte by byte'] : []),
    ...(files === null && bytes !== true ? ['the files of at least one side are not known: they are not compared'] : []),
    ...(packages === null && bytes !== true ? ['at least one side has no list of packages: they are not compared'] : []),
  ];
  return { a, b, same, bytes, artifacts, packages, files, notes };
}

function artifactRows(a: Side, b: Side): ArtifactRow[] {
  const names = [...new Set([...(a.artifacts ?? []), ...(b.artifacts ?? [])].map(({ file }) => file))];
  const of = (side: Side, name: string): ArtifactRow['a'] => {
    const found = side.artifacts?.find(({ file }) => file === name);
    return found === undefined ? null : { size: found.size, sha256: found.sha256 };
  };
  return names.map((file) => ({ file, a: of(a, file), b: of(b, file) }));
}

/** A name that lists have as a character for each byte: as UTF-8 where it is that, else `\377` for what is not. */
export function decodedPath(path: string): string {
  const bytes = Buffer.from(path, 'latin1');
  const text = bytes.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(bytes)) return text;
  return path.replace(/[\\\x80-\xff]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** The form of `diff --json`. */
export function diffReport({ a, b, same, bytes, artifacts, packages, files, notes }: Diff): DiffReport {
  const entry = ({ path, mode, link, ...rest }: FileEntry) => ({
    path: decodedPath(path),
    mode: mode.toString(8).padStart(4, '0'),
    ...(link === undefined ? {} : { link: decodedPath(link) }),
    ...rest,
  });
  const about = ({ path, kind, description, size, packages: all, files: list, filesFrom }: Side) => ({
    path,
    kind,
    description,
    size,
    filesFrom,
    packages: all?.length ?? null,
    installedSize: all === null ? null : installedSizeOf(all),
    totals: list === null ? null : totalsOf(list),
  });
  return {
    version: REPORT_VERSION,
    same,
    bytes,
    a: about(a),
    b: about(b),
    artifacts: artifacts === null ? null : [...artifacts],
    packages:
      packages === null
        ? null
        : {
            added: [...packages.added],
            removed: [...packages.removed],
            changed: packages.changed.map(({ name, a: from, b: to }) => ({ name, a: from, b: to })),
          },
    files:
      files === null
        ? null
        : {
            added: files.added.map(entry),
            removed: files.removed.map(entry),
            changed: files.changed.map(({ path, what, a: from, b: to }) => ({
              path: decodedPath(path),
              what: [...what],
              a: entry(from),
              b: entry(to),
            })),
          },
    notes: [...notes],
  };
}
