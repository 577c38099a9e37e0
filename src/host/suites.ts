import { readdir, readFile } from 'node:fs/promises';
import { PreflightError } from '../errors.ts';

/** Where debootstrap keeps its scripts, one for each suite. */
export const SUITE_SCRIPTS = '/usr/share/debootstrap/scripts';
export const DEBOOTSTRAP = '/usr/sbin/debootstrap';
/** Debian suites that an older debootstrap has no script for. */
const NEWER: readonly string[] = ['forky', 'duke'];

/** The suites that can be built: those of the host's debootstrap, and newer ones of Debian. */
export async function knownSuites(): Promise<string[]> {
  const names = await readdir(SUITE_SCRIPTS);
  return [...names.filter((name) => !name.includes('.') && !name.endsWith('-common')), ...NEWER.filter((name) => !names.includes(name))];
}

/** The script for a suite that is newer than the host's debootstrap: Debian's are all links to that of sid. */
export async function suiteScript(release: string): Promise<string[]> {
  return (await readdir(SUITE_SCRIPTS)).includes(release) ? [] : [`${SUITE_SCRIPTS}/sid`];
}

/** The mirror that debootstrap itself would take. */
export async function defaultMirror(): Promise<string> {
  const mirror = /^DEF_MIRROR="(https?:[^"]+)"/m.exec(await readFile(DEBOOTSTRAP, 'utf8'))?.[1];
  if (mirror === undefined) throw new PreflightError('no mirror is known', { step: 'preflight', hint: 'set DEBIAN_MIRROR' });
  return mirror.replace(/\/+$/, '');
}
