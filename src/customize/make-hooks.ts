import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { makeFolders, statOrUndefined, writeWhole } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { isWild, namesIn, onDisk, textOf } from '../system/names.ts';
import { listHooks } from './series.ts';

/** Where make-hooks reads and writes. */
export interface MakeHooksFolders {
  /** The folder that links of the project must not lead out of; by default that of hooks.d. */
  readonly project?: string;
  /** hooks.d: `chroot/`, `base/`, `extra/`. */
  readonly hooksD: string;
  /** Where the links go; by default `hooks` beside hooks.d. */
  readonly hooksDir?: string | undefined;
}

/** What make-hooks says. */
export interface MakeHooksReport {
  /** Lines of standard output. */
  readonly lines: readonly string[];
  /** Lines of standard error. */
  readonly warnings: readonly string[];
}

/** The digits of the number that a link begins with; more where there are more links. */
const DIGITS = 3;

/**
 * Makes numbered links to the hooks of sets, and `explicit_provides` in hooks.d, as livecd-rootfs' make-hooks does.
 * Links that it has made before are replaced; nothing is touched if something else is in the way. Nothing is read or
 * written through a link that leads out of the project.
 * @throws BuilderError
 */
export async function makeHooks(sets: readonly string[], folders: MakeHooksFolders): Promise<MakeHooksReport> {
  const hooksD = await realpath(folders.hooksD);
  const project = await realpath(folders.project ?? path.dirname(hooksD));
  const hooksDir = await placeOf(path.resolve(folders.hooksDir ?? path.join(path.dirname(hooksD), 'hooks')), project);
  const { hooks, provides } = await listHooks({ project, folder: path.relative(project, hooksD) }, sets);
  const warnings: string[] = [];
  const digits = Math.max(DIGITS, String(hooks.length).length);
  const links = hooks.map((hook, index) => ({
    hook,
    name: `${String(index + 1).padStart(digits, '0')}-${nameOf(hook)}`,
    text: path.relative(hooksDir, path.join(hooksD, hook)).replace(/\/$/, ''),
  }));
  const there = (await statOrUndefined(hooksDir))?.isDirectory() ? await namesIn(hooksDir) : [];
  if (there.length > 0) warnings.push('WARNING: Hooks directory exists and is not empty.');
  const old: string[] = [];
  for (const name of there) if (await isOurs(hooksDir, name, hooksD)) old.push(name);
  const taken = links.find(({ name }) => there.includes(name) && !old.includes(name));
  if (taken !== undefined) throw new BuilderError(`${path.join(hooksDir, taken.name)} is there already, and is no link of make-hooks`);
  for (const { hook } of links) {
    const found = await findInside(project, path.join(path.relative(project, hooksD), hook));
    if (found.kind === 'missing') warnings.push(`WARNING: there is no ${hook} in hooks.d.`);
    if (found.kind === 'astray') warnings.push(`WARNING: ${hook} ${found.why}.`);
  }
  await makeFolders(hooksDir, 0o777);
  await within(hooksDir, async (folder) => {
    for (const name of old) await unlink(`${folder}/${name}`);
    for (const { name, text } of links) await symlink(onDisk(text), onDisk(`${folder}/${name}`));
  });
  const files = provides.flatMap((set) => set.files);
  await within(hooksD, (folder) => writeProvides(`${folder}/explicit_provides`, files));
  const lines = [...links.map(({ name, hook }) => `[HOOK] ${name} => ${hook}`), ...files.map((file) => `[PROVIDES] ${file}`)];
  return { lines, warnings };
}

/** A folder that was named; one below the project leads to a place in it. */
async function placeOf(folder: string, project: string): Promise<string> {
  const name = path.relative(project, folder);
  if (name.split('/')[0] === '..') return realpath(folder).catch(() => folder);
  const found = await findInside(project, name);
  if (found.kind === 'astray') throw new BuilderError(`${folder} ${found.why}`);
  return found.kind === 'there' ? found.path : folder;
}

/** Runs what works in a folder with a path that leads to this very folder, whatever takes its name meanwhile. */
async function within<T>(folder: string, body: (folder: string) => Promise<T>): Promise<T> {
  const handle: FileHandle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const path = `/proc/self/fd/${handle.fd}`;
    if ((await readlink(path)) !== folder) throw new BuilderError(`${folder} is not the folder that it was`);
    return await body(path);
  } finally {
    await handle.close();
  }
}

/** A new file takes the name: what stood there, a link above all, is not written to. The owner stays. */
async function writeProvides(file: string, lines: readonly string[]): Promise<void> {
  const before = await statOrUndefined(file);
  const owner = before?.isFile() && process.getuid?.() === 0 ? { uid: before.uid, gid: before.gid } : undefined;
  await writeWhole(file, lines.map((line) => `${line}\n`).join(''), 0o666 & ~process.umask(), owner);
}

/** The base name of a hook without a number of its own. */
function nameOf(hook: string): string {
  const name = hook.slice(hook.lastIndexOf('/') + 1);
  return name.replace(/^\p{Nd}+-(?:\p{Nd}+-)?/u, '');
}

/** Whether a name in the folder of links is one that an earlier run has made: a link with a number that leads below hooks.d. */
export async function isOurs(hooksDir: string, name: string, hooksD: string): Promise<boolean> {
  const file = onDisk(path.join(hooksDir, name));
  if (!/^\d{3,}-/.test(name) || isWild(name) || !(await lstat(file)).isSymbolicLink()) return false;
  return `${path.resolve(hooksDir, textOf(await readlink(file, { encoding: 'buffer' })))}/`.startsWith(`${hooksD}/`);
}
