import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { FixtureMirror } from './fixture-mirror.ts';

const program = path.resolve(import.meta.dirname, '../..');
/** The tests' own package cache: kept for the next run, as that of a user is. */
export const testCache = '/var/cache/realmfs-builder-test';

/** How a run of the command ended. */
export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line on standard error. */
  readonly lastLine: string;
}

/** A run that goes on. */
export interface RunningBuild {
  readonly pid: number;
  readonly ended: Promise<Run>;
  kill(signal: NodeJS.Signals): boolean;
  /** Resolves when the step begins; rejects if the run ends first. */
  step(name: string): Promise<void>;
  /** Types a line, where standard input is open. */
  say(line: string): void;
  /** Resolves when the text stands on standard output, behind what was seen before; rejects if the run ends first. */
  sees(text: string): Promise<void>;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Run as this user, without root's rights; after `shareProgram`. */
  readonly uid?: number;
  /** A command that the command line is given to, such as `setpriv --reuid 65534`. */
  readonly via?: readonly string[];
  /** Standard input is open, for `say`. */
  readonly hasInput?: boolean;
  /** Is given each line of standard output as it comes. */
  readonly onStdout?: (line: string) => void;
}

/** What a build must leave as it was. */
export interface Snapshot {
  readonly mounts: string;
  readonly loops: string;
  readonly processes: readonly string[];
  readonly canary: string;
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** The mirror that the apt of every machine without `realDebootstrap` is set up for. */
export const mirror = await FixtureMirror.start(testCache);

/**
 * A mount namespace that looks like a Debian host booted with systemd (mounts are shared), in
 * which builds are run: a bug of ours cannot hurt the machine's own mounts. Its debootstrap gives
 * back the tree that the real one has made of the fixture archive; with `layers` it has a cache of
 * its own, without no layers are kept; with `realDebootstrap` both
 * debootstrap and the apt configuration are those of the machine underneath.
 */
export class Machine {
  readonly folder: string;
  readonly #keeper: number;
  readonly #env: Readonly<Record<string, string>>;

  constructor(options: { realDebootstrap?: boolean; layers?: boolean } = {}) {
    this.folder = mkdtempSync('/var/tmp/realmfs-test-');
    const tools = path.join(this.folder, 'tools');
    mkdirSync(tools);
    copyFileSync('/usr/sbin/debootstrap', path.join(tools, 'debootstrap.real'));
    const fakeText = readFileSync(path.join(import.meta.dirname, 'fake-debootstrap.sh'), 'utf8');
    writeFileSync(
      path.join(tools, 'debootstrap'),
      fakeText.replace('@TOOLS@', tools).replace('@CACHE@', testCache).replace('@ARCHIVE@', mirror.archive.folder),
    );
    mirror.writeKeyring(path.join(tools, 'keyring'));
    const sources = (name: string, suites: string): string =>
      `Types: deb\nURIs: http://mirror.example/${name}\nSuites: ${suites}\nComponents: main non-free-firmware\nSigned-By: ${KEYRING}\n`;
    writeFileSync(path.join(tools, 'fixture.sources'), `${sources('debian', 'trixie')}\n${sources('debian-security', 'trixie-security')}`);
    chmodSync(path.join(tools, 'debootstrap'), 0o755);
    this.#env = {
      ...(options.realDebootstrap ? {} : { http_proxy: mirror.proxy }),
      // A store of its own, or none: every step runs.
      ...(options.layers ? { REALMFS_CACHE_DIR: path.join(this.folder, 'cache') } : { LAYERS_MAX_SIZE: '0' }),
    };
    const fake = options.realDebootstrap
      ? ''
      : `mount --bind "$1/tools/debootstrap" /usr/sbin/debootstrap; mount --bind "$1/tools/keyring" ${KEYRING}
         mount -t tmpfs -o mode=0755 apt /etc/apt/sources.list.d; cp "$1/tools/fixture.sources" /etc/apt/sources.list.d
         [[ ! -e /etc/apt/sources.list ]] || mount --bind /dev/null /etc/apt/sources.list;`;
    const script = `mount --make-rshared /; ${fake} echo ready; exec sleep infinity`;
    const keeper = spawn('unshare', ['--mount', '--propagation', 'private', 'bash', '-c', script, 'keeper', this.folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (keeper.pid === undefined) throw new Error('unshare could not be started');
    this.#keeper = keeper.pid;
    keeper.unref();
    waitUntil(() => readFileSync(`/proc/${this.#keeper}/comm`, 'utf8').trim() === 'sleep');
    this.makeCanary();
    if (options.layers) this.makeCache('cache');
  }

  /**
   * Makes a package cache that has what other tests have fetched, and no layers. Its files are links of those of the tests' own
   * cache, which a program only replaces; who changes them in place says `isCopied`.
   */
  makeCache(name: string, { isCopied = false } = {}): string {
    const folder = path.join(this.folder, name);
    const script =
      'mkdir -m 700 "$2" "$2/mnt"; cp --archive $3 -- "$1/apt" "$2"; rm -f "$2/apt/fetch.lock"; find "$1" -maxdepth 1 -name "test-base-*" -exec cp --archive --link -t "$2" {} +';
    execFileSync('bash', ['--norc', '-euc', script, 'cache', testCache, folder, isCopied ? '' : '--link']);
    return folder;
  }

  /** Removes the folder, inside the namespace and never across a mount, and ends the namespace. */
  close(): void {
    if (process.env.REALMFS_TEST_KEEP === undefined) this.shell('cd /; find "$1" -xdev -delete', this.folder);
    process.kill(this.#keeper, 'SIGKILL');
  }

  /** Makes a folder for a project. */
  project(name: string, files: Readonly<Record<string, string | Buffer>> = {}): string {
    const folder = path.join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), text);
    }
    return folder;
  }

  start(args: readonly string[], options: RunOptions = {}): RunningBuild {
    const command = [
      '--target',
      String(this.#keeper),
      '--mount',
      `--wd=${options.cwd ?? this.folder}`,
      ...(options.via ?? []),
      ...(options.uid === undefined
        ? [process.execPath, path.join(program, 'dist/cli.js')]
        : [...asUser(options.uid), '/mnt/node', '/mnt/program/dist/cli.js']),
      ...args,
    ];
    const env = {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      REALMFS_CACHE_DIR: testCache,
      ...this.#env,
      ...options.env,
    };
    const child = spawn('nsenter', command, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    if (options.hasInput !== true) child.stdin.end();
    child.stdin.on('error', () => {});
    const out = { stdout: '', stderr: '' };
    const waiting = new Set<() => void>();
    if (options.onStdout !== undefined) createInterface({ input: child.stdout }).on('line', options.onStdout);
    let seen = 0;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        out[name] += chunk.toString('utf8');
        for (const check of waiting) check();
      });
    }
    const ended = new Promise<Run>((resolve) => {
      child.on('close', (code, signal) => {
        resolve({ code, signal, ...out, lastLine: out.stderr.trimEnd().split('\n').at(-1) ?? '' });
      });
    });
    const { pid } = child;
    if (pid === undefined) throw new Error('nsenter could not be started');
    return {
      pid,
      ended,
      // False if it has just ended by itself.
      kill: (signal) => child.kill(signal),
      say: (line) => void child.stdin.write(`${line}\r`),
      sees: (text) =>
        new Promise((resolve, reject) => {
          const check = (): void => {
            const at = out.stdout.indexOf(text, seen);
            if (at < 0) return;
            seen = at + text.length;
            waiting.delete(check);
            resolve();
          };
          waiting.add(check);
          check();
          void ended.then((run) => reject(new Error(`ended before ${text}: ${run.stdout}${run.stderr}`)));
        }),
      step: (name) =>
        new Promise((resolve, reject) => {
          const pattern = new RegExp(`\\] ${name}$|"step-start","step":"${name}"`, 'm');
          const check = (): void => {
            if (!pattern.test(out.stderr) && !pattern.test(out.stdout)) return;
            waiting.delete(check);
            resolve();
          };
          waiting.add(check);
          check();
          void ended.then((run) => reject(new Error(`ended before ${name}: ${run.stderr}`)));
        }),
    };
  }

  /** Shows node and the program where every user can reach them, and lets users into the folder. */
  shareProgram(): void {
    chmodSync(this.folder, 0o755);
    // Not below the folder: `close` empties it.
    this.shell(
      'mount -t tmpfs -o mode=0755 tmpfs /mnt; mkdir /mnt/program; touch /mnt/node; mount --bind "$1" /mnt/program; mount --bind "$2" /mnt/node',
      program,
      process.execPath,
    );
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    return this.start(args, options).ended;
  }

  /** Runs a command in the namespace and returns what it prints. */
  shell(script: string, ...args: string[]): string {
    return execFileSync('nsenter', ['--target', String(this.#keeper), '--mount', 'bash', '--norc', '-euc', script, 'shell', ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
  }

  makeCanary(): void {
    const canary = path.join(this.folder, 'canary');
    mkdirSync(canary);
    execFileSync('bash', [
      '--norc',
      '--norc',
      '-euc',
      'cd "$1"; mkdir -p home/user .d; echo secret >home/user/key; chmod 600 home/user/key; ln -s /etc/passwd link; mknod null c 1 3; mkfifo pipe; echo x >a; ln a b',
      'canary',
      canary,
    ]);
  }

  snapshot(): Snapshot {
    return {
      // A mount's own numbers and its options are part of it: a remount is seen.
      mounts: readFileSync(`/proc/${this.#keeper}/mountinfo`, 'utf8'),
      loops: loopDevices(path.basename(this.folder)),
      processes: buildProcesses(path.basename(this.folder)),
      canary: execFileSync(
        'bash',
        [
          '--norc',
          '-euc',
          'cd "$1"; find . /dev /etc/passwd /etc/hostname /etc/resolv.conf -xdev -printf "%p %y %m %u %g %s %l %n\\n" | sort | sha256sum; find . -type f -exec sha256sum {} + | sort; cat /proc/sys/kernel/hostname',
          'canary',
          path.join(this.folder, 'canary'),
        ],
        { encoding: 'utf8' },
      ),
    };
  }

  /** The snapshot once it equals `before`, or the last one within two seconds. */
  async settled(before: Snapshot): Promise<Snapshot> {
    const end = Date.now() + 2000;
    for (;;) {
      const now = this.snapshot();
      if (JSON.stringify(now) === JSON.stringify(before) || Date.now() > end) return now;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A command that runs another one as a user, without any group. */
export function asUser(uid: number): string[] {
  return ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'];
}

/** The loop devices of the whole machine, but for those that other tests have on files of theirs. */
function loopDevices(folder: string): string {
  const lines = execFileSync('losetup', ['--all'], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => !line.includes('/realmfs-test-') || line.includes(folder)).join('\n');
}

/** Processes in other process namespaces than ours that see a mount of this folder, zombies left out: those of its builds. */
function buildProcesses(folder: string): string[] {
  const own = readlinkSync('/proc/self/ns/pid');
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const space = readlinkSync(`/proc/${pid}/ns/pid`);
      if (space === own || /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) continue;
      if (readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(folder))
        found.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
    } catch {
      // It has ended in the meantime.
    }
  }
  return found;
}

function waitUntil(check: () => boolean): void {
  const end = Date.now() + 5000;
  while (!check()) {
    if (Date.now() > end) throw new Error('waited for 5 s in vain');
    execFileSync('sleep', ['0.02']);
  }
}

/** SHA-256 of a file as hex. */
export function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** A build.conf without the base lists: the smallest build. */
export const bare = 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\ninstall-packages() { :; }\n';
