import type { FileEntry } from '../records/mtree.ts';
import type { InstalledPackage } from '../records/packages.ts';
import { compareFiles, comparePackages, type Differences, type FileChange, isSame, type PackageChange } from './compare.ts';
import type { DiffReport } from './diff-report.ts';
import { REPORT_VERSION } from './report.ts';
import type { Side } from './side.ts';
import { installedSizeOf, totalsOf } from './totals.ts';

/** What differs, as the commands need it. */
export interface Diff {
  readonly a: Side;
  readonly b: Side;
  readonly same: boolean;
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

/** Compares what is known of both sides. */
export function diffOf(a: Side, b: Side): Diff {
  const packages = a.packages === null || b.packages === null ? null : comparePackages(a.packages, b.packages);
  const files = a.files === null || b.files === null ? null : compareFiles(a.files, b.files);
  const artifacts = a.artifacts === null || b.artifacts === null ? null : artifactRows(a, b);
  const same = isSame(packages, files) && (artifacts ?? []).every((row) => row.a?.sha256 === row.b?.sha256);
  const notes = [
    ...[a, b].flatMap((side, at) => side.notes.map((note) => `${at === 0 ? 'A' : 'B'}: ${note}`)),
    ...(files === null ? ['the files of at least one side are not known: they are not compared'] : []),
    ...(packages === null ? ['at least one side has no list of packages: they are not compared'] : []),
  ];
  return { a, b, same, artifacts, packages, files, notes };
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
export function diffReport({ a, b, same, artifacts, packages, files, notes }: Diff): DiffReport {
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
