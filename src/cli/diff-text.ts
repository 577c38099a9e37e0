import { byFolder, type FileChange, isSame } from '../inspect/compare.ts';
import { type Diff, decodedPath } from '../inspect/diff.ts';
import type { Side } from '../inspect/diff-side.ts';
import { installedSizeOf, totalsOf } from '../inspect/totals.ts';
import type { FileEntry } from '../records/mtree.ts';
import { formatSize } from '../system/memory.ts';
import { plainWord } from '../system/names.ts';
import { dateText, table } from './text.ts';

/** Packages and files that are listed unless all are asked for. */
const SHORT = 40;

/** What differs, for people: `-` is in A alone, `+` in B alone, `~` in both. */
export function diffText(diff: Diff, all: boolean): string {
  const lines = [
    sideLine('A', diff.a),
    sideLine('B', diff.b),
    ...sizeLines(diff),
    ...artifactLines(diff),
    ...packageLines(diff, all),
    ...fileLines(diff, all),
    ...(diff.notes.length === 0 ? [] : ['', ...diff.notes.map((note) => `Note: ${plainWord(note)}`)]),
    '',
    conclusion(diff),
  ];
  return `${lines.join('\n')}\n`;
}

function sideLine(letter: string, { path, description, filesFrom }: Side): string {
  const from = filesFrom === '' || filesFrom === 'itself' ? '' : `; files from ${filesFrom}`;
  return plainWord(`${letter}: ${path} (${description}${from})`);
}

function conclusion({ same, bytes, artifacts, packages, files }: Diff): string {
  if (same && files !== null) return 'They hold the same tree; extended attributes and ACLs are not compared.';
  if (same) return bytes === true ? 'They are the same, byte by byte.' : 'Their results are the same.';
  if (files !== null || bytes === false || (artifacts ?? []).length > 0 || !isSame(packages)) return 'They differ.';
  return packages === null ? 'Nothing could be compared.' : 'They have the same packages; their files could not be compared.';
}

function sizeLines({ a, b }: Diff): string[] {
  const row = (label: string, of: (side: Side) => number | null, text: (value: number) => string): string[][] => {
    const [from, to] = [of(a), of(b)];
    return from === null || to === null ? [] : [[label, text(from), text(to), from === to ? 'same' : change(from, to, text)]];
  };
  const rows = [
    ...row('file', ({ size }) => size, formatSize),
    ...row('packages', ({ packages }) => packages?.length ?? null, String),
    ...row('installed size', ({ packages }) => (packages === null ? null : installedSizeOf(packages)), formatSize),
    ...row('entries', ({ files }) => files?.size ?? null, String),
    ...row('size of all files', ({ files }) => (files === null ? null : totalsOf(files).bytes), formatSize),
  ];
  return rows.length === 0 ? [] : ['', ...table([['', 'A', 'B', 'CHANGE'], ...rows])];
}

function change(from: number, to: number, text: (value: number) => string): string {
  return `${to > from ? '+' : '-'}${text(Math.abs(to - from))}`;
}

function artifactLines({ artifacts }: Diff): string[] {
  if (artifacts === null) return [];
  const rows = artifacts.map(({ file, a, b }) => [
    plainWord(file),
    a === null ? '-' : formatSize(a.size),
    b === null ? '-' : formatSize(b.size),
    a === null
      ? 'added'
      : b === null
        ? 'removed'
        : a.sha256 === b.sha256
          ? 'same'
          : a.size === b.size
            ? 'differs'
            : change(a.size, b.size, formatSize),
  ]);
  return ['', ...table([['RESULT', 'A', 'B', 'CHANGE'], ...rows])];
}

/** The first rows, and how many more there are. */
function shortened(rows: readonly string[], all: boolean): string[] {
  if (all || rows.length <= SHORT) return [...rows];
  return [...rows.slice(0, SHORT), `  and ${rows.length - SHORT} more; --all lists them`];
}

function counts({ added, removed, changed }: { added: number; removed: number; changed: number }): string {
  return (
    [`${added} added`, `${removed} removed`, `${changed} changed`].filter((part) => !part.startsWith('0 ')).join(', ') || 'no difference'
  );
}

function packageLines({ packages }: Diff, all: boolean): string[] {
  if (packages === null) return [];
  const { added, removed, changed } = packages;
  const rows = [
    ...removed.map((one) => `- ${plainWord(one.name)} ${plainWord(one.version)}  (${formatSize(one.installedSize)})`),
    ...added.map((one) => `+ ${plainWord(one.name)} ${plainWord(one.version)}  (${formatSize(one.installedSize)})`),
    ...changed.map(
      ({ name, a, b }) =>
        `~ ${plainWord(name)} ${plainWord(a.version)} -> ${plainWord(b.version)}${a.arch === b.arch ? '' : ` (${plainWord(a.arch)} -> ${plainWord(b.arch)})`}`,
    ),
  ];
  return ['', `Packages: ${counts({ added: added.length, removed: removed.length, changed: changed.length })}`, ...shortened(rows, all)];
}

function fileLines({ files }: Diff, all: boolean): string[] {
  if (files === null) return [];
  const { added, removed, changed } = files;
  const rows = [
    ...removed.map((entry) => ({ path: entry.path, line: `- ${pathText(entry)}` })),
    ...added.map((entry) => ({ path: entry.path, line: `+ ${pathText(entry)}` })),
    ...changed.map((one) => ({ path: one.path, line: `~ ${pathText(one.a)}  ${changeText(one)}` })),
  ].sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
  const folders =
    rows.length <= SHORT ? [] : byFolder(files).map(({ folder, ...number }) => `  ${plainWord(decodedPath(folder))}/  ${counts(number)}`);
  return [
    '',
    `Files: ${counts({ added: added.length, removed: removed.length, changed: changed.length })}`,
    ...shortened(folders, all),
    ...(folders.length === 0 ? [] : ['']),
    ...shortened(
      rows.map(({ line }) => line),
      all,
    ),
  ];
}

function pathText({ path, type }: FileEntry): string {
  return `${plainWord(decodedPath(path))}${type === 'dir' ? '/' : ''}`;
}

function changeText({ what, a, b }: FileChange): string {
  const texts: Partial<Record<FileChange['what'][number], string>> = {
    type: `${a.type} -> ${b.type}`,
    size: `size ${a.size} -> ${b.size}`,
    mode: `mode ${octal(a)} -> ${octal(b)}`,
    owner: `owner ${a.uid}:${a.gid} -> ${b.uid}:${b.gid}`,
    link: `link ${plainWord(decodedPath(a.link ?? ''))} -> ${plainWord(decodedPath(b.link ?? ''))}`,
    device: `device ${plainWord(a.device ?? '')} -> ${plainWord(b.device ?? '')}`,
    'hard links': `hard links ${a.links ?? 1} -> ${b.links ?? 1}`,
    time: `time ${dateText(Number(a.time))} -> ${dateText(Number(b.time))}`,
  };
  return what.map((aspect) => texts[aspect] ?? aspect).join(', ');
}

function octal({ mode }: FileEntry): string {
  return mode.toString(8).padStart(4, '0');
}
