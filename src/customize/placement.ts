import { lstat, readlink } from 'node:fs/promises';
import path from 'node:path';
import { readForeign, sha256File, statOrUndefined } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { namesIn, onDisk, textOf } from '../system/names.ts';
import { type Findings, isLeftOut } from './problems.ts';

/** An entry that is copied onto the root. */
export interface PlacedEntry {
  /** Below the folder that is copied, and below the root. */
  readonly path: string;
  readonly kind: 'folder' | 'file' | 'link' | 'pipe';
  readonly uid: number;
  readonly gid: number;
  /** As the owners file has it; undefined: that of the file, or of a folder which is there already. */
  readonly mode?: number;
  /** Whether the owners file names it. */
  readonly isOwned: boolean;
}

/** A folder of the project whose content is copied onto the root. */
export interface Placement {
  /** Below the project folder. */
  readonly folder: string;
  readonly entries: readonly PlacedEntry[];
}

/** A row of overlay.owners. */
interface OwnerRow {
  readonly glob: string;
  readonly pattern: RegExp;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number | undefined;
}

/** Places of the root that belong to the kernel, or to the builder while it runs. */
const FOREIGN = /^(?:dev|proc|sys|etc\/dpkg\/dpkg\.cfg\.d\/realmfs-builder)(?:\/|$)/;
/** Places that the finished tree holds nothing in. */
const EMPTIED =
  /^(?:(?:tmp|run|var\/tmp|var\/run|var\/lock|var\/cache\/apt|var\/lib\/apt\/lists)\/.|etc\/(?:machine-id|\.pwd\.lock|(?:passwd|group|g?shadow|sub[ug]id)-)$|var\/lib\/(?:dbus\/machine-id|systemd\/(?:random-seed|credential\.secret))$)/;
/** What keeps daemons from starting while packages are installed. */
const NEEDED = /^(?:usr\/)?sbin\/(?:policy-rc\.d|start-stop-daemon)$/;
/** Links of a root with a merged /usr: what lies below them goes where they lead, they themselves stay. */
const MERGED = /^(?:bin|sbin|lib|lib32|lib64|libo32|libx32)$/;

/** Highest number of a user or group: 2^32 - 1 stands for none. */
const HIGHEST_ID = 2 ** 32 - 2;

/**
 * Reads a folder that is copied onto the root. Everything belongs to root:root, unless `owners`, a file of the project,
 * says otherwise. Undefined: there is no such folder.
 */
export async function readPlacement(project: string, folder: string, findings: Findings, owners?: string): Promise<Placement | undefined> {
  const found = await findInside(project, folder);
  if (found.kind === 'missing') return undefined;
  if (found.kind === 'astray' || !found.stat.isDirectory()) {
    findings.problems.push({ file: folder, message: found.kind === 'astray' ? found.why : 'is not a folder' });
    return undefined;
  }
  const there = found.path;
  const rows = owners === undefined ? [] : await readOwners(project, owners, findings);
  const used = new Set<OwnerRow>();
  const leftOut: string[] = [];
  const emptied: string[] = [];
  const entries: PlacedEntry[] = [];
  const refuse = (name: string, message: string): void => void findings.problems.push({ file: path.join(folder, name), message });

  async function walk(below: string): Promise<void> {
    for (const name of await namesIn(path.join(there, below))) {
      const at = path.join(below, name);
      if (isLeftOut(name)) {
        leftOut.push(at);
        continue;
      }
      const found = await statOrUndefined(path.join(there, at));
      if (found === undefined) continue;
      const kind = found.isDirectory()
        ? 'folder'
        : found.isFile()
          ? 'file'
          : found.isSymbolicLink()
            ? 'link'
            : found.isFIFO()
              ? 'pipe'
              : '';
      if (kind === '') refuse(at, found.isSocket() ? 'is a socket, which cannot be copied' : 'is a device, which is not copied');
      else if (FOREIGN.test(at)) refuse(at, 'nothing can be put there: it is no part of the image while it is built');
      else if (NEEDED.test(at)) refuse(at, 'keeps daemons from starting while the image is built: let a module write it');
      else if (MERGED.test(at) && kind !== 'folder') refuse(at, 'would take the place of a link that the root needs');
      else {
        if (EMPTIED.test(at) && kind !== 'folder') emptied.push(at);
        const fitting = rows.filter(({ pattern }) => pattern.test(at));
        for (const one of fitting) used.add(one);
        const row = fitting.at(-1);
        entries.push({
          path: at,
          kind,
          uid: row?.uid ?? 0,
          gid: row?.gid ?? 0,
          ...(row?.mode === undefined || kind === 'link' ? {} : { mode: row.mode }),
          isOwned: row !== undefined,
        });
        if (kind === 'folder') await walk(at);
      }
    }
  }

  await walk('');
  if (leftOut.length > 0) findings.warnings.push(`${folder}: left out, as backups and version control are: ${leftOut.join(', ')}`);
  if (emptied.length > 0) findings.warnings.push(`${folder}: ${emptied.join(', ')}: what lies there is gone in the finished image`);
  for (const row of rows) if (!used.has(row)) findings.warnings.push(`${owners}: ${row.glob} fits nothing in ${folder}`);
  return { folder, entries };
}

/** Reads `GLOB OWNER GROUP MODE` lines: numbers, and an octal mode or `-`; of several that fit, the last counts. */
async function readOwners(project: string, file: string, findings: Findings): Promise<OwnerRow[]> {
  const found = await findInside(project, file);
  if (found.kind === 'missing') return [];
  const bytes = found.kind === 'there' ? await readForeign(found.path) : undefined;
  if (bytes === undefined) {
    findings.problems.push({ file, message: found.kind === 'astray' ? found.why : 'is not a regular file' });
    return [];
  }
  const text = textOf(bytes);
  return text.split('\n').flatMap((line, index) => {
    if (/^\s*(?:#|$)/.test(line)) return [];
    const [, glob = '', uid = '', gid = '', mode = ''] = /^\s*(\S+)\s+(\d+)\s+(\d+)\s+(-|[0-7]{3,4})\s*$/.exec(line) ?? [];
    const pattern = globPattern(glob);
    if (glob === '' || pattern === undefined || Number(uid) > HIGHEST_ID || Number(gid) > HIGHEST_ID) {
      findings.problems.push({
        file,
        line: index + 1,
        message: 'is no line of the form GLOB OWNER GROUP MODE: numbers, and an octal mode or -',
      });
      return [];
    }
    return [{ glob, pattern, uid: Number(uid), gid: Number(gid), mode: mode === '-' ? undefined : Number.parseInt(mode, 8) }];
  });
}

/** `*` and `?` stop at a slash, `**` does not; `[...]` as in a shell. Undefined: it is no pattern. */
export function globPattern(glob: string): RegExp | undefined {
  const text = glob.replace(/^\/|\/$/g, '').replace(/\*\*\/|\*\*|\*|\?|\[!?[^\]/]+\]|[.+^${}()|\\[\]]/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.length > 1) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\');
    return `\\${part}`;
  });
  try {
    return new RegExp(`^${text}$`, 's');
  } catch {
    // [z-a]
    return undefined;
  }
}

/** What of an entry comes into the tree, as one line. */
export async function entryLine(project: string, folder: string, entry: PlacedEntry): Promise<string> {
  const file = path.join(project, folder, entry.path);
  const { mode } = await lstat(onDisk(file));
  const shown = `${entry.kind} ${entry.uid}:${entry.gid} ${(entry.mode ?? mode & 0o7777).toString(8)}${entry.isOwned ? ' owned' : ''}`;
  if (entry.kind === 'link') return `${shown} ${JSON.stringify(textOf(await readlink(onDisk(file), { encoding: 'buffer' })))}`;
  return entry.kind === 'file' ? `${shown} ${await sha256File(file)}` : shown;
}
