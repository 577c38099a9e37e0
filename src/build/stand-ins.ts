import { rename, symlink, writeFile } from 'node:fs/promises';
import { readForeign, removeFile, statOrUndefined } from '../system/files.ts';
import { inRoot } from '../system/rooted.ts';
import { paths } from './context.ts';

const POLICY = '/usr/sbin/policy-rc.d';
/** By either name of a root with a merged /usr. */
const DAEMONS = ['/usr/sbin/start-stop-daemon', '/sbin/start-stop-daemon'];
const DIVERSIONS = '/var/lib/dpkg/diversions';

/**
 * Takes out what prepare.sh has put in the place of programs, so that no daemon is started. A stand-in says of itself what it is, which no file
 * of anybody else does: what stands there instead is the user's, or a package's, and stays.
 */
export async function removeStandIns(root: string): Promise<void> {
  const policy = await inRoot(root, POLICY);
  if (policy !== undefined && (await isStandIn('policy-rc.d', policy))) {
    await removeFile(policy);
    // A package that has one by update-alternatives could not put its link there.
    const choice = '/etc/alternatives/policy-rc.d';
    const place = await inRoot(root, choice);
    if (place !== undefined && (await statOrUndefined(place)) !== undefined) await symlink(choice, policy);
  }
  for (const name of DAEMONS) {
    const [daemon, original] = [await inRoot(root, name), await inRoot(root, `${name}.realmfs`)];
    if (daemon === undefined || original === undefined) continue;
    const isThere = (await statOrUndefined(original))?.isFile() === true;
    if (await isStandIn('start-stop-daemon', daemon)) {
      if (isThere) await rename(original, daemon);
      else await removeFile(daemon);
    } else if (isThere) await removeFile(original);
    await endDiversion(root, name);
  }
}

async function isStandIn(name: string, place: string): Promise<boolean> {
  const ours = await readForeign(`${paths.library}/chroot/stand-ins/${name}`);
  return ours !== undefined && (await readForeign(place, ours.length))?.equals(ours) === true;
}

/** Makes dpkg forget the diversion: three lines in its list, of which the last names a package, or `:`. */
async function endDiversion(root: string, name: string): Promise<void> {
  const list = await inRoot(root, DIVERSIONS);
  const text = list === undefined ? undefined : (await readForeign(list))?.toString('latin1');
  if (list === undefined || text === undefined) return;
  const rest = text.replace(`${name}\n${name}.realmfs\n:\n`, '');
  if (rest !== text) await writeFile(list, rest, 'latin1');
}
