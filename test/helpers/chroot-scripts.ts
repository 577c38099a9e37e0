import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tempRoot } from './temp-root.ts';

const source = path.resolve(import.meta.dirname, '../../templates/chroot');

/** A folder that stands for /dev/realmfs, with our scripts made to believe that. */
export function chrootScripts(): string {
  const run = tempRoot({ 'out/status': '' });
  for (const name of ['project/realmfs-files', 'project/realmfs-modules', 'lib/modules', 'lib/files', 'in', 'root'])
    mkdirSync(path.join(run, name), { recursive: true });
  cpSync(source, path.join(run, 'lib/chroot'), { recursive: true });
  for (const name of readdirSync(source).filter((each) => each.endsWith('.sh'))) {
    const file = path.join(run, 'lib/chroot', name);
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('/dev/realmfs', run));
  }
  return run;
}

/** Runs a script in a bash with a small environment. */
export function bash(script: string, ...args: string[]) {
  return spawnSync('bash', ['--norc', '--noprofile', '-c', script, 'bash', ...args], {
    encoding: 'utf8',
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C.UTF-8', TERM: 'dumb' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 10_000,
  });
}

/** Sources the framework; the first argument is the folder of `chrootScripts`. */
export const load = 'run=$1; source "$run/lib/chroot/lib.sh"; source "$run/lib/chroot/base.sh"; source "$run/lib/chroot/state.sh"';

/** The records that the framework has written for the builder. */
export function records(run: string): string[][] {
  return readFileSync(path.join(run, 'out/status'), 'utf8')
    .split('\x1e')
    .filter((text) => text !== '')
    .map((text) => text.split('\x1f'));
}
