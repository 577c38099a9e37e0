import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { BuildEvent } from '../messages/events.ts';
import { programRoot } from '../resources.ts';
import type { HeldFolder } from '../system/held-folder.ts';
import { LineSplitter } from '../system/lines.ts';

/** The sandbox of a build, or the one that empties what builds have left. */
interface BuildSandbox {
  readonly mode: 'build' | 'clean';
  /** Its lock is held by this process, and from now on by PID 1, too. */
  readonly output: HeldFolder;
  /** Another folder in its place is not touched. */
  readonly staging: HeldFolder;
  /** What ended builds have left in the output folder: it is emptied. */
  readonly left: readonly HeldFolder[];
  readonly cache: string;
  /** Bytes of the tmpfs; 0: on disk. */
  readonly tmpfsSize: number;
}

/** The sandbox of `plan`: no lock, no folder of the host that could be written. */
interface PlanSandbox {
  readonly mode: 'plan';
  /** The cache folder, for root; empty: it is not seen. */
  readonly cache: string;
  /** What the builder is asked, as JSON. */
  readonly request: string;
  /** Without root it begins with a user namespace. */
  readonly isRoot: boolean;
}

/** The sandbox of `inspect` and `diff`: that of `plan`, with an image or a tree in the place of the project. */
interface ReadSandbox {
  readonly mode: 'read';
  /** What the builder is asked, as JSON. */
  readonly request: string;
  /** Without root it begins with a user namespace. */
  readonly isRoot: boolean;
  /** Bytes of the tmpfs that it may unpack to. */
  readonly scratch: number;
}

/** How the launcher starts a sandbox. */
export type SandboxOptions = (BuildSandbox | PlanSandbox | ReadSandbox) & {
  /** Empty: no project. */
  readonly project: string;
  /** The file of DEBIAN_KEYRING, if it is known before build.conf is read. */
  readonly keyring?: string;
  readonly onEvent: (event: BuildEvent) => void;
  /** Whether a shell may be opened in it: then it has a terminal. */
  readonly hasTerminal?: boolean;
};

/** How a sandbox ended. */
export interface SandboxEnd {
  readonly exitCode: number | undefined;
  /** What was said outside of events: faults of the set-up. */
  readonly noise: readonly string[];
}

/** A running sandbox. */
export interface Sandbox {
  readonly pid: number | undefined;
  /** The builder has said its last word; the sandbox is still there. */
  readonly silent: Promise<void>;
  readonly ended: Promise<SandboxEnd>;
  /** What is typed for its shells, and what they write. */
  readonly terminal: { readonly input: Writable; readonly output: Readable } | undefined;
  /** Lets the sandbox end. */
  release(): void;
  /** Asks the builder to stop in good order. */
  stop(): void;
  /** Ends everything in the sandbox at once. */
  kill(): void;
}

const NOISE = 40;

/**
 * Starts PID 1 of a build in namespaces that the kernel ends together with it; it ends when its lifeline does, that is with this process.
 * Must be called from the main thread: PR_SET_PDEATHSIG belongs to the thread that spawns.
 */
export function startSandbox(options: SandboxOptions): Sandbox {
  const noise: string[] = [];
  const keep = (line: string): void => {
    noise.push(line);
    if (noise.length > NOISE) noise.shift();
  };
  const child = spawnSandbox(options, (error) => keep(error instanceof Error ? error.message : String(error)));
  if (child === undefined) return deadSandbox(noise);
  const listen = (stream: unknown, take: (line: string) => void): void => {
    if (!(stream instanceof Readable)) return;
    const splitter = new LineSplitter(take, Number.POSITIVE_INFINITY);
    stream.on('data', (chunk: Buffer) => splitter.push(chunk));
    stream.on('end', () => splitter.end());
  };
  listen(child.stdout, keep);
  listen(child.stderr, keep);
  let sayEnded = (): void => {};
  const lastWord = new Promise<void>((resolve) => {
    sayEnded = resolve;
  });
  listen(child.stdio[4], (line) => {
    if (line === '') return;
    const event = parseEvent(line);
    if (event === undefined) keep(line.slice(0, 200));
    else if (event.kind === 'ended') sayEnded();
    else options.onEvent(event);
  });
  const lifeline = child.stdio[3];
  const writable = lifeline instanceof Writable ? lifeline : undefined;
  // The other end is gone when the sandbox ends first.
  writable?.on('error', () => {});
  const ended = new Promise<SandboxEnd>((resolve) => {
    child.once('close', (code) => resolve({ exitCode: code ?? undefined, noise }));
    child.once('error', () => {
      if (child.pid === undefined) resolve({ exitCode: undefined, noise });
    });
  });
  const streams: readonly unknown[] = child.stdio;
  const [input, output] = streams.slice(5);
  const terminal = input instanceof Writable && output instanceof Readable ? { input, output } : undefined;
  terminal?.input.on('error', () => {});
  return {
    pid: child.pid,
    terminal,
    // A sandbox that is killed says nothing more.
    silent: Promise.race([lastWord, ended.then(() => {})]),
    release: () => {
      writable?.end();
    },
    ended,
    stop: () => {
      writable?.write('stop\n');
    },
    kill: () => {
      writable?.end();
      if (child.pid !== undefined) killQuietly(-child.pid);
    },
  };
}

/** The chain of programs that makes the namespaces, each in the place of the one before it. */
function sandboxCommand(options: SandboxOptions): [file: string, ...args: string[]] {
  // It looks, and writes nothing.
  const looks = options.mode === 'plan' || options.mode === 'read';
  const namespaces = ['--mount', '--pid', '--ipc', '--uts', ...(looks ? ['--net'] : [])];
  const user = looks && !options.isRoot ? ['--user', '--map-root-user'] : [];
  const ending = ['--fork', '--kill-child', '--propagation', looks ? 'private' : 'slave'];
  const init = ['bash', '--noprofile', '--norc', `${programRoot}/templates/sandbox/init.sh`];
  return ['setpriv', '--pdeathsig', 'KILL', 'unshare', ...user, ...namespaces, ...ending, '--', ...init];
}

/** Starts PID 1; `onError` is told why it cannot be started. Undefined: there is no process at all. */
function spawnSandbox(options: SandboxOptions, onError: (error: unknown) => void): ChildProcess | undefined {
  try {
    const child = spawnChain(options);
    child.on('error', onError);
    // Without descriptors left, Node gives a child without any.
    return (child.stdio as unknown) === undefined ? undefined : child;
  } catch (error) {
    onError(error);
    return undefined;
  }
}

function deadSandbox(noise: readonly string[]): Sandbox {
  // What Node says of it comes a moment later.
  const ended = new Promise<SandboxEnd>((resolve) => setImmediate(() => resolve({ exitCode: undefined, noise })));
  const nothing = (): void => {};
  return { pid: undefined, terminal: undefined, silent: ended.then(nothing), ended, release: nothing, stop: nothing, kill: nothing };
}

function spawnChain(options: SandboxOptions): ChildProcess {
  const [file, ...args] = sandboxCommand(options);
  const ends = options.hasTerminal === true ? 'pipe' : 'ignore';
  // Without execa: it is by far the largest part of a start, and a process that only waits needs nothing of it.
  const child = spawn(file, args, {
    cwd: '/',
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      RB_MODE: options.mode,
      RB_PROJECT: options.project,
      RB_KEYRING: options.keyring ?? '',
      RB_PROGRAM: programRoot,
      RB_NODE: process.execPath,
      ...environmentOf(options),
    },
    // Then its terminal, if it has one, and the output folder, with the lock.
    stdio: [
      'request' in options ? 'pipe' : 'ignore',
      ...(['pipe', 'pipe', 'pipe', 'pipe'] as const),
      ends,
      ends,
      ...('output' in options ? [options.output.descriptor] : []),
    ],
    detached: true,
  });
  if ('request' in options && child.stdin instanceof Writable) {
    // A sandbox that is refused reads nothing.
    child.stdin.on('error', () => {});
    child.stdin.end(options.request);
  }
  return child;
}

/** What the script of PID 1 is told beside what is the same for all. */
function environmentOf(options: SandboxOptions): Record<string, string> {
  if (options.mode === 'plan') return { RB_CACHE: options.cache };
  if (options.mode === 'read') return { RB_CACHE: '', RB_TMPFS: String(options.scratch) };
  return {
    RB_STAGING: options.staging.path,
    RB_STAGING_ID: options.staging.id,
    RB_OUT: options.output.path,
    // Their names are of one line each.
    RB_LEFT: options.left.map((folder) => `${folder.id} ${path.basename(folder.path)}\n`).join(''),
    RB_CACHE: options.cache,
    RB_TMPFS: options.tmpfsSize === 0 ? '' : String(options.tmpfsSize),
  };
}

/** An event, or undefined for a line that a killed builder has left unfinished. */
function parseEvent(line: string): BuildEvent | { readonly kind: 'ended' } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
