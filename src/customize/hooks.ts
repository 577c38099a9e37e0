import { lstat, readlink } from 'node:fs/promises';
import path from 'node:path';
import { readForeign } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { onDisk, textOf } from '../system/names.ts';
import { type Findings, folderInside, isPassedOver, namesInside } from './problems.ts';

/** A program that a build runs inside the root, or beside it. */
export interface Hook {
  /** Its name without folders. */
  readonly name: string;
  /** Its path below the project folder. */
  readonly file: string;
  /** The series that names it, if it is not there by itself. */
  readonly series?: string;
}

/** live-build makes links to hooks of its own, which are no part of a project. */
const OF_LIVE_BUILD = '/usr/share/live/build/';

/** The chroot hooks of a folder (`NN-name.hook.chroot`, `NN-name.chroot`) in the order in which they run. */
export async function chrootHooksIn(project: string, folder: string, findings: Findings): Promise<Hook[]> {
  const found: Hook[] = [];
  const own: string[] = [];
  const odd: string[] = [];
  const there = await folderInside(project, folder, findings);
  if (there === undefined) return [];
  const isMeant = (name: string): boolean => name.endsWith('.chroot') && !isPassedOver(name);
  for (const name of await namesInside(there, folder, isMeant, findings)) {
    const file = path.join(folder, name);
    const entry = onDisk(path.join(there, name));
    const link = (await lstat(entry)).isSymbolicLink() ? textOf(await readlink(entry, { encoding: 'buffer' })) : '';
    if (link.startsWith(OF_LIVE_BUILD)) own.push(name);
    else if (!isMeant(name)) odd.push(name);
    else if (await isHook(project, file, findings)) found.push({ name, file });
  }
  if (own.length > 0) findings.warnings.push(`${folder}: live-build's own hooks are not run: ${own.join(', ')}`);
  if (odd.length > 0) findings.warnings.push(`${folder}: no chroot hooks, and not run: ${odd.join(', ')}`);
  return found;
}

/** Whether a file can be run as a hook; tells `findings` why not, and what is odd about it. */
export async function isHook(project: string, file: string, { problems, warnings }: Findings): Promise<boolean> {
  const refuse = (message: string, line?: number): boolean => {
    problems.push({ file, ...(line === undefined ? {} : { line }), message });
    return false;
  };
  const found = await findInside(project, file);
  if (found.kind === 'astray') return refuse(found.why);
  const bytes = found.kind === 'there' ? await readForeign(found.path) : undefined;
  if (found.kind === 'missing' || bytes === undefined) return refuse('is not a regular file');
  if ((found.stat.mode & 0o111) === 0) warnings.push(`${file} is not executable; it is run all the same`);
  const lines = bytes
    .subarray(0, bytes.indexOf(0) < 0 ? bytes.length : bytes.indexOf(0))
    .toString('latin1')
    .split('\n');
  const first = lines[0] ?? '';
  if (first.startsWith('\xef\xbb\xbf')) return refuse('begins with a byte order mark; save it as plain UTF-8', 1);
  // What begins with neither is a program, or a script for bash.
  const isText = !bytes.subarray(0, 4096).includes(0);
  const crlf = lines.findIndex((line) => line.endsWith('\r'));
  if (isText && crlf >= 0) return refuse('has DOS line ends (CRLF), which no interpreter understands', crlf + 1);
  if (first.startsWith('#!')) {
    const [interpreter = ''] = first.slice(2).trim().split(/\s/);
    if (interpreter === '') return refuse('names no interpreter behind #!', 1);
    if (!interpreter.startsWith('/')) return refuse(`has the interpreter ${interpreter}, which is no absolute path`, 1);
  }
  return true;
}
