import { lstat, readdir, readlink, realpath, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { isFolder, makeFolders } from '../system/files.ts';
import { listHooks } from './series.ts';

/** Where make-hooks reads and writes. */
export interface MakeHooksFolders {
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
 * Links that it has made before are replaced; nothing is touched if something else is in the way.
 * @throws BuilderError
 */
export async function makeHooks(sets: readonly string[], folders: MakeHooksFolders): Promise<MakeHooksReport> {
  const hooksD = await realpath(folders.hooksD);
  const hooksDir = path.resolve(folders.hooksDir ?? path.join(path.dirname(hooksD), 'hooks'));
  const { hooks, provides } = await listHooks(hooksD, sets);
  const warnings: string[] = [];
  const digits = Math.max(DIGITS, String(hooks.length).length);
  const links = hooks.map((hook, index) => ({
    hook,
    name: `${String(index + 1).padStart(digits, '0')}-${nameOf(hook)}`,
    text: path.relative(hooksDir, path.join(hooksD, hook)).replace(/\/$/, ''),
  }));
  const there = (await isFolder(hooksDir)) ? await readdir(hooksDir) : [];
  if (there.length > 0) warnings.push('WARNING: Hooks directory exists and is not empty.');
  const old: string[] = [];
  for (const name of there) if (await isOurs(hooksDir, name, hooksD)) old.push(name);
  const taken = links.find(({ name }) => there.includes(name) && !old.includes(name));
  if (taken !== undefined) throw new BuilderError(`${path.join(hooksDir, taken.name)} is there already, and is no link of make-hooks`);
  await makeFolders(hooksDir, 0o777);
  for (const name of old) await unlink(path.join(hooksDir, name));
  const lines: string[] = [];
  for (const { hook, name, text } of links) {
    if (await isMissing(path.join(hooksD, hook))) warnings.push(`WARNING: there is no ${hook} in hooks.d.`);
    await symlink(text, path.join(hooksDir, name));
    lines.push(`[HOOK] ${name} => ${hook}`);
  }
  const files = provides.flatMap((set) => set.files);
  for (const file of files) lines.push(`[PROVIDES] ${file}`);
  await writeFile(path.join(hooksD, 'explicit_provides'), files.map((file) => `${file}\n`).join(''));
  return { lines, warnings };
}

/** The base name of a hook without a number of its own. */
function nameOf(hook: string): string {
  const name = hook.slice(hook.lastIndexOf('/') + 1);
  return name.replace(/^\p{Nd}+-(?:\p{Nd}+-)?/u, '');
}

/** Whether a name in the folder of links is one that an earlier run has made: a link with a number that leads below hooks.d. */
export async function isOurs(hooksDir: string, name: string, hooksD: string): Promise<boolean> {
  const file = path.join(hooksDir, name);
  if (!/^\d{3,}-/.test(name) || !(await lstat(file)).isSymbolicLink()) return false;
  return `${path.resolve(hooksDir, await readlink(file))}/`.startsWith(`${hooksD}/`);
}

async function isMissing(file: string): Promise<boolean> {
  return stat(file).then(
    () => false,
    () => true,
  );
}
