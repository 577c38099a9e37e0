import { chmod, lstat, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { projectEntries } from '../config/entries.ts';
import { hintOf, messageOf, PreflightError, UsageError } from '../errors.ts';
import { cacheDisk, namedDisk } from '../system/disk-faults.ts';
import { hasCode, isMissing, makeFolders, statOrUndefined } from '../system/files.ts';
import { unknownWord } from './options.ts';

/** Who the results belong to: the user behind sudo. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Where a build's configuration lies. */
export interface Place {
  /** Empty: no project. */
  readonly project: string;
  /** The name of the configuration in the project folder; null: the built-in base image. */
  readonly configName: string | null;
}

/** The user behind sudo, if there is one. */
export function sudoOwner(env: Readonly<Record<string, string | undefined>>): Owner | undefined {
  const [uid, gid] = [Number(env.SUDO_UID), Number(env.SUDO_GID)];
  return env.SUDO_UID !== undefined && Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}

/** Finds the configuration: the file that was named, else ./build.conf, else none. */
export async function findPlace(config: string | undefined, cwd: string): Promise<Place> {
  const file = path.resolve(cwd, config ?? 'build.conf');
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(file);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR'))
      throw new UsageError(`${config ?? 'build.conf'}: ${error instanceof Error ? error.message : String(error)}`);
    if (config !== undefined) throw unknownWord(config);
    const known = await Promise.all(projectEntries.map((name) => isMissing(path.join(cwd, name))));
    return { project: known.every(Boolean) ? '' : await realpath(cwd), configName: null };
  }
  if (!found.isFile()) throw new UsageError(`${config ?? 'build.conf'}: is not a regular file`);
  const name = path.basename(file);
  if (name.startsWith('.') || name.includes('\n')) throw new UsageError(`${name}: a configuration must not have such a name`);
  return { project: await realpath(path.dirname(file)), configName: name };
}

/** Folders of a cache that every build opens by their names. */
const cacheFolders = ['mnt', 'apt', 'apt/archives', 'apt/archives/partial', 'apt/lists', 'apt/lists/partial', 'layers'];

/**
 * False if the folder is empty: it can become a cache.
 * @throws PreflightError if it holds other things, if it is not root's alone, or if something else stands in the place of one of its folders.
 */
export async function checkCache(folder: string): Promise<boolean> {
  const fail = (why: string): PreflightError => new PreflightError(`the cache folder ${folder} ${why}`, { step: 'preflight' });
  const real = await realpath(folder);
  const found = await lstat(real);
  if (!found.isDirectory()) throw fail('is not a folder');
  const names = await readdir(real);
  // Another folder would be closed to everybody else, filled, and cleared of what is not a cache's.
  if (names.length > 0 && !(names.includes('apt') && names.includes('mnt'))) throw fail('is not empty, and no cache of realmfs-builder');
  if (found.uid !== 0 || (found.mode & 0o022) !== 0) throw fail('must belong to root and be writable by root alone');
  for (const name of cacheFolders) {
    const there = await statOrUndefined(path.join(folder, name));
    if (there !== undefined && !there.isDirectory()) throw fail(`is damaged: ${name} in it is not a folder; remove it, and build again`);
  }
  return names.length > 0;
}

/** Makes the cache folder, 0700 and root's: what lies in it is installed as root. */
export async function makeCache(folder: string): Promise<string> {
  const fail = (why: string, hint?: string): PreflightError =>
    new PreflightError(`the cache folder ${folder} ${why}`, { step: 'preflight', hint });
  try {
    await makeFolders(folder, 0o700);
    const real = await realpath(folder);
    await checkCache(real);
    await chmod(real, 0o700);
    for (const name of cacheFolders) await makeFolders(path.join(real, name), 0o755);
    return real;
  } catch (error) {
    if (error instanceof PreflightError) throw error;
    const known = namedDisk(error, [cacheDisk(folder)]);
    throw fail(`cannot be made: ${messageOf(known)}`, hintOf(known));
  }
}
