import { Writable } from 'node:stream';
import { execa } from 'execa';
import { quote } from 'shell-quote';
import { BuilderError, CommandError, InterruptedError } from '../errors.ts';
import type { Report } from '../messages/events.ts';
import { LineSplitter } from './lines.ts';

/** A program to run, as data. */
export interface Command {
  /** What it is called in messages. */
  readonly label: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Added to the runner's own small environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Exit codes that are no failure, beside 0. */
  readonly okExitCodes?: readonly number[];
  /** After this many milliseconds the command is killed. */
  readonly timeout?: number;
  /** Lines of output, as they come. */
  readonly onLine?: (line: string) => void;
  /** The command is ended as soon as this is true of a line of its output: going on would be in vain. */
  readonly stopOn?: (line: string) => boolean;
  /** What it reads from standard input, and from descriptor 3. */
  readonly input?: readonly Buffer[];
  /** Lines that the command writes to its descriptor 3. */
  readonly onStatus?: (line: string) => void;
  /** It talks to the user's terminal, on its descriptors 5 and 6. */
  readonly terminal?: boolean;
  /** Killed by SIGKILL at once: it is PID 1's parent of namespaces of its own and blocks SIGTERM. */
  readonly sandboxed?: boolean;
}

/** How a command ended. */
export interface CommandResult {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  /** The last lines of its output. */
  readonly tail: readonly string[];
}

/** The one door to other programs. */
export interface Runner {
  /** Streams the output to events; throws a CommandError on failure. */
  run(command: Command): Promise<CommandResult>;
  /** The same, but hands the failure back as data. */
  attempt(command: Command): Promise<CommandResult>;
  /** Returns standard output, at most 64 MiB; throws on failure. */
  capture(command: Command): Promise<string>;
  /** Hands standard output on as it comes; what `take` throws ends the command. Throws on failure. */
  stream(command: Command, take: (chunk: Buffer) => void): Promise<void>;
  /** Whether all is to end: nothing is started any more. */
  isStopped(): boolean;
}

/** Lines of output that are kept for an error. */
const TAIL = 40;
const CAPTURE_LIMIT = 64 * 1024 * 1024;
/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 2000;

export const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'dumb',
  LC_ALL: 'C.UTF-8',
  TMPDIR: '/tmp',
};

/** The command as one could type it. */
export function commandLine(command: Command): string {
  return quote([command.file, ...command.args]);
}

/** Makes a runner whose events carry the step that `currentStep` names. */
export function createRunner(options: { report: Report; signal: AbortSignal; currentStep: () => string }): Runner {
  const { report, signal, currentStep } = options;

  async function execute(command: Command, onLine: (line: string) => void, onStdout?: (chunk: Buffer) => unknown) {
    if (signal.aborted) throw interrupted(signal);
    report({ kind: 'command', step: currentStep(), line: commandLine(command) });
    const tail: string[] = [];
    let killer: NodeJS.Timeout | undefined;
    const keep = (line: string): void => {
      tail.push(line);
      if (tail.length > TAIL) tail.shift();
      onLine(line);
      command.onLine?.(line);
      if (command.stopOn?.(line) === true) stop();
    };
    const child = execa(command.file, [...command.args], {
      cwd: command.cwd ?? '/',
      env: { ...baseEnvironment, ...command.env },
      extendEnv: false,
      stdio: stdioOf(command),
      buffer: false,
      reject: false,
      detached: true,
      cleanup: false,
    });
    const splitters = [connect(child.stderr, keep), onStdout === undefined ? connect(child.stdout, keep) : undefined];
    child.stdout?.on('data', (chunk: Buffer) => {
      if (onStdout?.(chunk) === false) stop();
    });
    feed(child.stdio, command.input);
    const status = child.stdio[3];
    if (command.onStatus !== undefined && status !== null && status !== undefined && 'on' in status) {
      splitters.push(connect(status, command.onStatus));
    }
    let timedOut = false;
    function stop(): void {
      killGroup(child.pid, command.sandboxed === true ? 'SIGKILL' : 'SIGTERM');
      killer ??= setTimeout(() => killGroup(child.pid, 'SIGKILL'), GRACE);
    }
    const timer =
      command.timeout === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop();
          }, command.timeout);
    signal.addEventListener('abort', stop);
    try {
      const result = await child;
      for (const splitter of splitters) splitter?.end();
      if (signal.aborted) throw interrupted(signal);
      if (result.code === 'ENOENT' && result.exitCode === undefined) {
        keep(`${command.file}: program not found`);
      }
      return { exitCode: result.exitCode, signal: result.signal, timedOut, tail };
    } finally {
      signal.removeEventListener('abort', stop);
      clearTimeout(timer);
      clearTimeout(killer);
      // What has closed its output and ignores SIGTERM is still there.
      if (killer !== undefined) killGroup(child.pid, 'SIGKILL');
    }
  }

  const toEvent = (line: string): void => report({ kind: 'output', step: currentStep(), line });

  return {
    isStopped: () => signal.aborted,
    attempt: (command) => execute(command, toEvent),
    async run(command) {
      const result = await execute(command, toEvent);
      assertSuccess(command, result, currentStep());
      return result;
    },
    async capture(command) {
      const chunks: Buffer[] = [];
      let size = 0;
      const result = await execute(command, toEvent, (chunk) => {
        size += chunk.length;
        if (size <= CAPTURE_LIMIT) chunks.push(chunk);
      });
      assertSuccess(command, result, currentStep());
      if (size > CAPTURE_LIMIT) throw new BuilderError(`${command.label} prints more than ${CAPTURE_LIMIT} bytes`, { step: currentStep() });
      return Buffer.concat(chunks).toString('utf8');
    },
    async stream(command, take) {
      const faults: unknown[] = [];
      const result = await execute(command, toEvent, (chunk) => {
        try {
          if (faults.length === 0) take(chunk);
        } catch (error) {
          faults.push(error);
        }
        return faults.length === 0;
      });
      if (faults.length > 0) throw faults[0];
      assertSuccess(command, result, currentStep());
    },
  };
}

/** Throws a CommandError unless the command ended well. */
export function assertSuccess(command: Command, result: CommandResult, step: string): void {
  if (!result.timedOut && result.exitCode !== undefined && [0, ...(command.okExitCodes ?? [])].includes(result.exitCode)) return;
  throw new CommandError(`${command.label} ${howItEnded(command, result)}`, { ...result, line: commandLine(command) }, step);
}

/** `failed with exit code 1`, `was killed by SIGKILL`, ... */
export function howItEnded(command: Command, result: CommandResult): string {
  if (result.timedOut) return `did not end within ${Math.round((command.timeout ?? 0) / 1000)} s`;
  if (result.signal !== undefined) return `was killed by ${result.signal}`;
  if (result.exitCode === undefined) return 'could not be started';
  return `failed with exit code ${result.exitCode}`;
}

/** Descriptors 5 and 6 of a builder lead to the user's terminal; a command that talks to it has them, too. */
function stdioOf(command: Command): ['pipe' | 'ignore', 'pipe', 'pipe', ...('pipe' | 'ignore' | 'inherit')[]] {
  if (command.input !== undefined) return ['pipe', 'pipe', 'pipe', ...command.input.slice(1).map(() => 'pipe' as const)];
  if (command.terminal === true) return ['ignore', 'pipe', 'pipe', 'ignore', 'ignore', 'inherit', 'inherit'];
  return ['ignore', 'pipe', 'pipe', ...(command.onStatus === undefined ? [] : ['pipe' as const])];
}

/** Hands a command its input: on descriptor 0, and from 3 on. */
function feed(streams: readonly unknown[], input: readonly Buffer[] = []): void {
  for (const [at, bytes] of input.entries()) {
    const stream = streams[at === 0 ? 0 : at + 2];
    if (!(stream instanceof Writable)) continue;
    // It need not read all of it.
    stream.on('error', () => {});
    stream.end(bytes);
  }
}

function connect(stream: NodeJS.ReadableStream | null | undefined, take: (line: string) => void): LineSplitter {
  const splitter = new LineSplitter(take);
  stream?.on('data', (chunk: Buffer) => splitter.push(chunk));
  return splitter;
}

function killGroup(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function interrupted(signal: AbortSignal): unknown {
  return signal.reason instanceof Error ? signal.reason : new InterruptedError('interrupted', 130);
}
