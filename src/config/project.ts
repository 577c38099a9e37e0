import { cp, lstat, mkdir, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, PreflightError, type Problem } from '../errors.ts';
import { hasCode, statOrUndefined } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { formatSize } from '../system/memory.ts';
import { bytesOf, isWild, namesIn, onDisk } from '../system/names.ts';
import { assertSuccess, type Runner } from '../system/runner.ts';
import { projectEntries } from './entries.ts';
import { LARGEST_SCRIPT, namedFiles, sourcesFile } from './named-files.ts';

/** The time of everything in a project as a build sees it, in seconds since 1970: 2000-01-01. Some archives cannot go below 1980. */
export const PROJECT_TIME = 946_684_800;
/** Data that build.conf does not source; the evaluation does not see it. */
const dataFolders = new Set(['realmfs-files', 'overlay', 'packages', 'hooks', 'hooks.d']);
/** Names in a project folder that are never part of it. */
const leftOut = new Set(['node_modules', 'realmfs']);
/** Where a link of the evaluation leads that would lead out of the project. */
const NOWHERE = '/nonexistent/out-of-the-project';
/** A copy larger than this means that build.conf lies in a folder of other things. */
const LARGEST = 2 * 1024 ** 3;

/**
 * Which entries of the project folder a build sees: all but hidden ones that build.conf does not name, other builds' output
 * folders and images. Without a build.conf only the entries that the builder knows.
 */
export async function projectContents(source: string, configName: string | null, leftOutToo: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  const hidden: string[] = [];
  const all = await readable(source, source);
  for (const name of all) {
    if (leftOut.has(name) || leftOutToo.includes(name)) continue;
    if (configName === null && !projectEntries.includes(name)) continue;
    const isFolder = (await statOrUndefined(path.join(source, name)))?.isDirectory() === true;
    if (name.startsWith('.') && !isFolder) hidden.push(name);
    if (name.startsWith('.') || (isFolder && (await isOutputFolder(source, path.join(source, name))))) continue;
    names.push(name);
  }
  // What build.conf sources must be there, and a file that holds secrets is often hidden.
  if (configName !== null && hidden.length > 0) {
    const named = await namedFiles(source, configName, [...names, ...hidden]);
    names.push(...hidden.filter((name) => named.names.has(name)));
  }
  return names.sort();
}

async function isOutputFolder(source: string, folder: string): Promise<boolean> {
  return (await readable(source, folder)).includes('realmfs-build.log');
}

/** Root cannot read everything: a network file system, or another user's FUSE mount, refuses it. */
async function readable(source: string, folder: string): Promise<string[]> {
  try {
    return await namesIn(folder);
  } catch (error) {
    if (!hasCode(error, 'EACCES')) throw error;
    throw new PreflightError(`the project cannot be read whole: '${path.relative(source, folder)}': Permission denied`, { step: 'config' });
  }
}

/** The size of what lies at a name of the project, in bytes; the links of it join `links`. */
async function sizeOf(source: string, name: string, links: string[]): Promise<number> {
  const file = path.join(source, name);
  const stat = await lstat(onDisk(file));
  if (stat.isSymbolicLink()) links.push(name);
  if (!stat.isDirectory()) return stat.size;
  let size = 0;
  for (const each of await readable(source, file)) size += await sizeOf(source, path.join(name, each), links);
  return size;
}

/**
 * Copies the project into the sandbox: `project` keeps modes and links for stage two, `evaluate`
 * holds what build.conf may source, readable for nobody. Both are the same for any two checkouts: everything has the time
 * PROJECT_TIME, and was made in the order of names. With `bindData` folders of data are
 * not copied to `project` but shown there, which gives the same view. No link is followed. A link that
 * leads out of the project leads nowhere in the evaluation, which sees the host, as it does in the image.
 * @throws ConfigError if build.conf sources such a link
 */
export async function copyProject(options: {
  source: string;
  project: string;
  evaluate: string;
  names: readonly string[];
  configName: string | null;
  bindData?: boolean;
  runner: Runner;
}): Promise<void> {
  const { source, names, runner } = options;
  let size = 0;
  const links: string[] = [];
  for (const name of names) size += await sizeOf(source, name, links);
  if (size > LARGEST) {
    throw new ConfigError([
      { message: `the project folder holds ${formatSize(size)}, more than ${formatSize(LARGEST)}: give build.conf a folder of its own` },
    ]);
  }
  if (names.length === 0) return;
  const scripts: string[] = [];
  const bound: string[] = [];
  for (const name of names) {
    const stat = await lstat(onDisk(path.join(source, name)));
    if (options.bindData && stat.isDirectory() && dataFolders.has(name)) bound.push(name);
    if (stat.isDirectory() ? !dataFolders.has(name) : stat.isSymbolicLink() || (stat.isFile() && stat.size <= LARGEST_SCRIPT))
      scripts.push(name);
  }
  const whole = names.filter((name) => !bound.includes(name));
  // An argument of a program is text: a name that is none is written in octal.
  const script =
    'names=(); for name in "${@:4}"; do printf -v name %b "$name"; names+=("$name"); done; ' +
    `attributes=(--xattrs '--xattrs-include=*' --acls --numeric-owner) time=@${PROJECT_TIME}; ` +
    // In the order of names, since that of the disk is an accident, which whoever lists the copy would see. Exit code 1: a file
    // was changed meanwhile, which is as if it had been changed a moment later.
    'pack() { tar --create --file=- --sort=name --mtime="$time" --owner=:0 --group=:0 --sparse --format=posix --no-unquote ' +
    '"${attributes[@]}" -- "$@" || (($? == 1)); }; ' +
    'unpack() { tar --extract --file=- --directory="$1" --same-permissions --no-same-owner "${attributes[@]}"; }; ' +
    '(($3 == 0)) || pack "${names[@]:0:$3}" | unpack "$1"; cd "$1"; ' +
    '((${#names[@]} == $3)) || cp --archive --target-directory="$2" -- "${names[@]:$3}"; ' +
    'chmod --recursive a+rX -- "$2"; touch --date="$time" -- "$1" "$2"';
  const args = [
    '-euo',
    'pipefail',
    '-c',
    script,
    'bash',
    options.project,
    options.evaluate,
    String(whole.length),
    ...[...whole, ...scripts].map(octal),
  ];
  const command = { label: 'copying the project', file: 'bash', args, cwd: source };
  const result = await runner.attempt(command);
  const refused = result.tail.find((line) => line.endsWith(': Permission denied'));
  if (refused !== undefined)
    throw new PreflightError(`the project cannot be read whole: ${refused.replace(/^tar: (.*): Cannot (\w+)/, "cannot $2 '$1'")}`, {
      step: 'config',
    });
  assertSuccess(command, result, 'config');
  await closeLinks(links, options);
  for (const name of bound) {
    const target = path.join(options.project, name);
    await mkdir(target);
    await runner.run({ label: 'showing the project', file: 'mount', args: ['--rbind', '--', path.join(source, name), target] });
  }
}

/** A name as `printf %b` reads it. */
function octal(name: string): string {
  if (!isWild(name)) return name.replaceAll('\\', '\\\\');
  return [...bytesOf(name)].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
}

/** Has the links of the evaluation that lead out of the project lead nowhere; one that build.conf sources is refused. */
async function closeLinks(
  links: readonly string[],
  options: { project: string; evaluate: string; configName: string | null },
): Promise<void> {
  const { project, evaluate, configName } = options;
  const stray: Problem[] = [];
  for (const file of links) {
    const copy = path.join(evaluate, file);
    if ((await statOrUndefined(copy))?.isSymbolicLink() !== true) continue;
    const found = await findInside(project, file);
    if (found.kind !== 'astray') continue;
    await unlink(onDisk(copy));
    await symlink(NOWHERE, onDisk(copy));
    stray.push({ file, message: found.why });
  }
  if (stray.length === 0 || configName === null) return;
  const named = await namedFiles(project, configName, await namesIn(project));
  const problems = stray.filter(({ file = '' }) => file === configName || sourcesFile(named, file));
  if (problems.length > 0) throw new ConfigError(problems);
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
