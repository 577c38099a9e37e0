import { readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { hintOf, messageOf, PreflightError, UsageError } from '../errors.ts';
import { namedDisk, outputDisk } from '../system/disk-faults.ts';
import { hasCode } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import type { Owner } from './place.ts';

/** Links that are followed on the way to a folder, as many as the kernel follows. */
const MOST_LINKS = 40;

/**
 * Opens the output folder, and makes it and those above it that are missing; what is made belongs to the user behind sudo.
 * Each folder on the way is held while the next one is looked up, so that nobody can put another one in between.
 * @throws UsageError if it is no folder, or if somebody's link leads to a folder of somebody else.
 */
export async function openOutput(directory: string, cwd: string, owner: Owner | undefined): Promise<HeldFolder> {
  try {
    const folder = await walk(directory, cwd, owner);
    refuseRoot(folder.path);
    return folder;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (['EEXIST', 'ENOTDIR', 'ELOOP'].some((code) => hasCode(error, code)))
      throw new UsageError(`--directory: ${directory} is not a folder`);
    const known = namedDisk(error, [outputDisk(path.resolve(cwd, directory))]);
    throw new PreflightError(`the output folder ${directory} cannot be made: ${messageOf(known)}`, {
      step: 'preflight',
      hint: hintOf(known),
    });
  }
}

/** A walk along a path. */
interface Walk {
  folder: HeldFolder;
  /** The owners of the links on the way. */
  readonly linked: Set<number>;
  readonly directory: string;
  readonly owner: Owner | undefined;
}

/** Follows a path name by name. */
async function walk(directory: string, cwd: string, owner: Owner | undefined): Promise<HeldFolder> {
  const way: Walk = { folder: await HeldFolder.open('/'), linked: new Set(), directory, owner };
  let names = path.resolve(cwd, directory).split('/');
  // What a link names is not made.
  let ofLink = 0;
  try {
    for (let links = 0, name = names.shift(); name !== undefined; name = names.shift(), ofLink -= 1) {
      if (name === '' || name === '.') continue;
      const found = name === '..' ? undefined : await way.folder.stat(name);
      if (found?.isSymbolicLink() === true) {
        links += 1;
        if (links > MOST_LINKS) throw new UsageError(`--directory: ${directory} leads through more than ${MOST_LINKS} links`);
        way.linked.add(found.uid);
        const target = await readlink(way.folder.at(name));
        const more = target.split('/');
        names = [...more, ...names];
        ofLink = Math.max(ofLink, 1) + more.length;
        if (target.startsWith('/')) await go(way, await HeldFolder.open('/'));
      } else if (name === '..') await go(way, await HeldFolder.open(`${way.folder.here}/..`, path.dirname(way.folder.path)));
      else if (found !== undefined) await go(way, await way.folder.folder(name));
      else if (ofLink > 0)
        throw new UsageError(`--directory: ${directory} leads through a link to ${way.folder.shown(name)}, which is not there`);
      else await make(way, name);
    }
    await checkLinks(way);
    return way.folder;
  } catch (error) {
    await way.folder.close();
    throw error;
  }
}

async function go(way: Walk, next: HeldFolder): Promise<void> {
  await way.folder.close();
  way.folder = next;
}

/** Whoever may make links must not choose folders of others by them: what is written there would be given away. */
async function checkLinks({ folder, linked, directory }: Walk): Promise<void> {
  const { uid } = await folder.own();
  const strange = [...linked].find((each) => each !== 0 && each !== uid);
  if (strange === undefined) return;
  throw new UsageError(`--directory: a link of user ${strange} leads from ${directory} to ${folder.path}, which belongs to user ${uid}`, {
    hint: `if the results are to go there, name it: --directory ${folder.path}`,
  });
}

async function make(way: Walk, name: string): Promise<void> {
  await checkLinks(way);
  try {
    const made = await way.folder.makeNamed(name, 0o755);
    if (way.owner !== undefined) await made.giveAway(way.owner);
    await go(way, made);
  } catch (error) {
    // Somebody else was faster.
    if (!hasCode(error, 'EEXIST')) throw error;
    await go(way, await way.folder.folder(name));
  }
}

/** @throws UsageError if results would lie beside the folders of the system. */
export function refuseRoot(output: string): void {
  if (output === '/') throw new UsageError('--directory: results cannot go to /');
}

/** Where the output folder is or would be, as a real path; makes nothing. */
export async function findOutput(directory: string, cwd: string): Promise<string> {
  const wanted = path.resolve(cwd, directory);
  for (let there = wanted; ; there = path.dirname(there)) {
    try {
      const real = await realpath(there);
      if (!(await stat(real)).isDirectory()) throw new UsageError(`--directory: ${directory} is not a folder`);
      return path.join(real, path.relative(there, wanted));
    } catch (error) {
      // Of what the caller may not look into, nothing more is known.
      if (hasCode(error, 'EACCES')) return wanted;
      if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error;
    }
  }
}
