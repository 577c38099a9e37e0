import { chmod, chown, copyFile, readdir, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { noneIfMissing, readForeign, removeFile, statOrUndefined } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';
import { paths } from '../model/context.ts';

const POLICY = '/usr/sbin/policy-rc.d';
const CHOICE = '/etc/alternatives/policy-rc.d';
/** By either name of a root with a merged /usr. */
const DAEMONS = ['/usr/sbin/start-stop-daemon', '/sbin/start-stop-daemon'];
const DIVERSIONS = '/var/lib/dpkg/diversions';

/**
 * Takes out what prepare.sh has put in the place of programs, so that no daemon is started. A stand-in says of itself what it is, which no file
 * of anybody else does: what stands there instead is the user's, or a package's, and stays.
 */
export async function removeStandIns(root: string): Promise<void> {
  for (const place of await copiesOf(root, POLICY)) {
    await removeFile(place);
    // A package that has one by update-alternatives could not put its link there.
    const choice = inRoot(root, CHOICE);
    const isChosen = choice !== undefined && (await statOrUndefined(choice)) !== undefined;
    if (isChosen && path.basename(place) === path.basename(POLICY)) await symlink(CHOICE, place);
  }
  for (const name of DAEMONS) {
    const [daemon, original] = [inRoot(root, name), inRoot(root, `${name}.realmfs`)];
    if (daemon === undefined || original === undefined) continue;
    const isThere = (await statOrUndefined(original))?.isFile() === true;
    for (const copy of await copiesOf(root, name)) {
      // Who has moved or copied the program, meant the original.
      if (isThere) await takePlace(original, copy);
      else await removeFile(copy);
    }
    if (isThere) await removeFile(original);
    await endDiversion(root, name);
  }
}

/** The stand-ins beside a path and at it, under any name that begins like it. */
async function copiesOf(root: string, name: string): Promise<string[]> {
  const folder = inRoot(root, path.dirname(name), { follow: true });
  const base = path.basename(name);
  const ours = await readForeign(`${paths.library}/chroot/stand-ins/${base}`);
  if (folder === undefined || ours === undefined) return [];
  const copies: string[] = [];
  for (const each of await readdir(folder).catch(noneIfMissing)) {
    const place = path.join(folder, each);
    if (each.startsWith(base) && (await readForeign(place, ours.length))?.equals(ours)) copies.push(place);
  }
  return copies;
}

/** Puts a copy of a program in the place of a file, with its owner, mode and times. */
async function takePlace(program: string, place: string): Promise<void> {
  const { mode, uid, gid, atime, mtime } = await stat(program);
  await removeFile(place);
  await copyFile(program, place);
  await chown(place, uid, gid);
  await chmod(place, mode & 0o7777);
  await utimes(place, atime, mtime);
}

/** Makes dpkg forget the diversion: three lines in its list, of which the last names a package, or `:`. */
async function endDiversion(root: string, name: string): Promise<void> {
  const list = inRoot(root, DIVERSIONS);
  const text = list === undefined ? undefined : (await readForeign(list))?.toString('latin1');
  if (list === undefined || text === undefined) return;
  const rest = text.replace(`${name}\n${name}.realmfs\n:\n`, '');
  if (rest !== text) await writeFile(list, rest, 'latin1');
}
