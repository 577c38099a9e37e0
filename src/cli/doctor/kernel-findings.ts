import { readFile } from 'node:fs/promises';
import type { Command, Runner } from '../../system/runner.ts';
import { lackingRights } from '../preflight.ts';
import type { DoctorReport } from './report.ts';
import { lastWords, plainHome } from './tool-findings.ts';

type KernelFinding = DoctorReport['kernel'][number];

/** Something that a build asks of the kernel, and the command that tries it. */
export interface Feature {
  readonly name: string;
  readonly command: readonly string[];
  /** The programs without which it cannot be tried. */
  readonly needs: readonly string[];
}

const TIME_LIMIT = 10_000;

const inNamespace = (...flags: string[]): string[] => ['unshare', ...flags, '--', 'true'];

/** A feature that bash tries on a small tmpfs, in a mount namespace that ends with it. */
function onTmpfs(name: string, script: string, ...needs: string[]): Feature {
  const start = 'mount -t tmpfs -o size=1m,mode=0755 realmfs-doctor /tmp; ';
  return inMounts(name, start + script, 'mount', ...needs);
}

function inMounts(name: string, script: string, ...needs: string[]): Feature {
  const command = ['unshare', '--mount', '--propagation', 'private', '--', 'bash', '--noprofile', '--norc', '-euc', script];
  return { name, command, needs: ['unshare', 'bash', ...needs] };
}

/** What a build does with the kernel, each in namespaces of its own: nothing is left of it. */
export const features: readonly Feature[] = [
  { name: 'mount namespace', command: inNamespace('--mount', '--propagation', 'private'), needs: ['unshare'] },
  { name: 'pid namespace', command: inNamespace('--pid', '--fork', '--kill-child'), needs: ['unshare'] },
  { name: 'ipc namespace', command: inNamespace('--ipc'), needs: ['unshare'] },
  { name: 'uts namespace', command: inNamespace('--uts'), needs: ['unshare'] },
  { name: 'net namespace', command: inNamespace('--net'), needs: ['unshare'] },
  {
    name: 'proc',
    command: [
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private', '--'],
      ...['mount', '-t', 'proc', '-o', 'nosuid,nodev,noexec', 'proc', '/proc'],
    ],
    needs: ['unshare', 'mount'],
  },
  {
    name: 'sysfs',
    command: [
      ...['unshare', '--mount', '--net', '--propagation', 'private', '--'],
      ...['mount', '-t', 'sysfs', '-o', 'ro,nosuid,nodev,noexec', 'sysfs', '/sys'],
    ],
    needs: ['unshare', 'mount'],
  },
  onTmpfs('tmpfs', 'true'),
  onTmpfs(
    'overlay',
    'mkdir /tmp/lower /tmp/upper /tmp/work /tmp/all; mount -t overlay -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work realmfs-doctor /tmp/all',
    'mkdir',
  ),
  onTmpfs(
    'devpts',
    'mkdir /tmp/pts; mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666,nosuid,noexec devpts /tmp/pts; : >/tmp/pts/ptmx',
    'mkdir',
  ),
  onTmpfs('device nodes', 'mknod -m 0666 /tmp/null c 1 3; : >/tmp/null', 'mknod'),
  inMounts('pivot_root', 'mount --rbind / /tmp; cd /tmp; pivot_root . .', 'mount', 'pivot_root'),
  {
    name: 'fewer capabilities',
    command: ['setpriv', '--pdeathsig', 'KILL', '--inh-caps', '-all', '--bounding-set', '-all,+chown', '--', 'true'],
    needs: ['setpriv'],
  },
];

/** Tries every feature. `isThere` says which programs there are. */
export function tryFeatures(isRoot: boolean, isThere: (tool: string) => boolean, runner: Runner): Promise<KernelFinding[]> {
  return Promise.all(features.map((feature) => tryFeature(feature, isRoot, isThere, runner)));
}

async function tryFeature(
  { name, command, needs }: Feature,
  isRoot: boolean,
  isThere: (tool: string) => boolean,
  runner: Runner,
): Promise<KernelFinding> {
  if (!isRoot) return { name, state: 'untried', text: 'not tried: needs root' };
  const missing = needs.filter((tool) => !isThere(tool));
  if (missing.length > 0) return { name, state: 'untried', text: `not tried: needs ${missing.join(', ')}` };
  const [file = '', ...args] = command;
  const trial: Command = { label: name, file, args, env: plainHome, timeout: TIME_LIMIT, sandboxed: true };
  const result = await runner.attempt(trial);
  if (result.exitCode === 0 && !result.timedOut) return { name, state: 'ok', text: 'works' };
  return { name, state: 'failed', text: `refused: ${lastWords(trial, result)}` };
}

/** Whether root has all the rights here that steps must be able to have. */
export async function rightsOfRoot(isRoot: boolean): Promise<KernelFinding> {
  const name = 'rights of root';
  if (!isRoot) return { name, state: 'untried', text: 'not tried: needs root' };
  const lacking = lackingRights(await readFile('/proc/self/status', 'utf8'));
  return lacking === undefined ? { name, state: 'ok', text: 'all that a build needs' } : { name, state: 'failed', text: lacking };
}

/** Whether modules have a network of their own here. */
export function networkOfModules(isRoot: boolean, isThere: (tool: string) => boolean): KernelFinding {
  const name = 'network of modules';
  if (!isRoot) return { name, state: 'untried', text: 'not tried: needs root' };
  const way = ['pasta', 'slirp4netns'].find(isThere);
  return way === undefined
    ? { name, state: 'warn', text: 'that of this machine, its loopback included: install passt or slirp4netns' }
    : { name, state: 'ok', text: `without the loopback of this machine, by ${way}` };
}

/** Whether programs of the wanted architecture run here; nothing to find out where it is the host's. */
export async function tryArchitecture(
  arch: string,
  isThere: (tool: string) => boolean,
  runner: Runner,
): Promise<KernelFinding | undefined> {
  if (arch === '' || !isThere('dpkg')) return undefined;
  const lines: string[] = [];
  const ask: Command = { label: 'dpkg', file: 'dpkg', args: ['--print-architecture'], timeout: TIME_LIMIT };
  await runner.attempt({ ...ask, onLine: (line) => lines.push(line) });
  if (lines[0] === arch) return undefined;
  const name = `programs for ${arch}`;
  if (!isThere('arch-test')) return { name, state: 'untried', text: 'not tried: needs arch-test' };
  const test: Command = { label: 'arch-test', file: 'arch-test', args: [arch], timeout: TIME_LIMIT };
  const result = await runner.attempt(test);
  return result.exitCode === 0
    ? { name, state: 'ok', text: 'run here' }
    : {
        name,
        state: 'failed',
        text: `do not run here: ${lastWords(test, result)}; a foreign architecture needs qemu-user-static and binfmt-support`,
      };
}
