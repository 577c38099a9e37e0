import { cp, lstat, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, PreflightError } from '../errors.ts';
import { hasCode } from '../system/files.ts';
import { formatSize } from '../system/memory.ts';
import { assertSuccess, type Runner } from '../system/runner.ts';
import { projectEntries } from './entries.ts';

/** Data that build.conf does not source; the evaluation does not see it. */
const dataFolders = new Set(['realmfs-files', 'overlay', 'packages', 'hooks', 'hooks.d']);
/** Names in a project folder that are never part of it. */
const leftOut = new Set(['node_modules', 'realmfs']);
/** Files above this are no scripts; in bytes. */
const LARGEST_SCRIPT = 4 * 1024 ** 2;
/** A copy larger than this means that build.conf lies in a folder of other things. */
const LARGEST = 2 * 1024 ** 3;

/**
 * Which entries of the project folder a build sees: all but dot files, other builds' output
 * folders and images. Without a build.conf only the entries that the builder knows.
 */
export async function projectContents(source: string, hasConfig: boolean, leftOutToo: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(source, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || leftOut.has(entry.name) || leftOutToo.includes(entry.name)) continue;
    if (!hasConfig && !projectEntries.includes(entry.name)) continue;
    if (entry.isDirectory() && (await isOutputFolder(path.join(source, entry.name)))) continue;
    names.push(entry.name);
  }
  return names.sort();
}

async function isOutputFolder(folder: string): Promise<boolean> {
  return (await namesIn(folder)).includes('realmfs-build.log');
}

/** Root cannot read everything: a network file system, or another user's FUSE mount, refuses it. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (!hasCode(error, 'EACCES')) throw error;
    throw new PreflightError(`the project cannot be read whole: '${path.basename(folder)}': Permission denied`, { step: 'config' });
  }
}

async function sizeOf(file: string): Promise<number> {
  const stat = await lstat(file);
  if (!stat.isDirectory()) return stat.size;
  let size = 0;
  for (const name of await namesIn(file)) size += await sizeOf(path.join(file, name));
  return size;
}

/**
 * Copies the project into the sandbox: `project` keeps modes and links for stage two, `evaluate`
 * holds what build.conf may source, readable for nobody. With `bindData` folders of data are
 * not copied to `project` but shown there, which gives the same view.
 */
export async function copyProject(options: {
  source: string;
  project: string;
  evaluate: string;
  names: readonly string[];
  bindData?: boolean;
  runner: Runner;
}): Promise<void> {
  const { source, names, runner } = options;
  let size = 0;
  for (const name of names) size += await sizeOf(path.join(source, name));
  if (size > LARGEST) {
    throw new ConfigError([
      { message: `the project folder holds ${formatSize(size)}, more than ${formatSize(LARGEST)}: give build.conf a folder of its own` },
    ]);
  }
  if (names.length === 0) return;
  const scripts: string[] = [];
  const bound: string[] = [];
  for (const name of names) {
    const stat = await lstat(path.join(source, name));
    if (options.bindData && stat.isDirectory() && dataFolders.has(name)) bound.push(name);
    if (stat.isDirectory() ? !dataFolders.has(name) : stat.isSymbolicLink() || (stat.isFile() && stat.size <= LARGEST_SCRIPT))
      scripts.push(name);
  }
  const whole = names.filter((name) => !bound.includes(name));
  const script =
    'copy() { local to=$1; shift; (($# == 0)) || cp --archive --no-preserve=ownership --target-directory "$to" -- "$@"; }; ' +
    'copy "$1" "${@:4:$3}"; copy "$2" "${@:4+$3}"; chmod --recursive a+rX -- "$2"';
  const args = ['-euc', script, 'bash', options.project, options.evaluate, String(whole.length), ...whole, ...scripts];
  const command = { label: 'copying the project', file: 'bash', args, cwd: source };
  const result = await runner.attempt(command);
  const refused = result.tail.find((line) => line.endsWith(': Permission denied'));
  if (refused !== undefined)
    throw new PreflightError(`the project cannot be read whole: ${refused.replace(/^cp: /, '')}`, { step: 'config' });
  assertSuccess(command, result, 'config');
  for (const name of bound) {
    const target = path.join(options.project, name);
    await mkdir(target);
    await runner.run({ label: 'showing the project', file: 'mount', args: ['--rbind', '--', path.join(source, name), target] });
  }
}

/** What of the program an image needs to build images: compiled code, modules, templates. */
export async function copyProgram(program: string, target: string): Promise<void> {
  for (const name of ['package.json', 'LICENSE', 'dist', 'realmfs-modules', 'templates']) {
    await cp(path.join(program, name), path.join(target, name), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => !file.endsWith('.map'),
    });
  }
}
