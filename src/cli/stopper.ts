import { constants } from 'node:os';
import { InterruptedError } from '../errors.ts';
import type { Sandbox } from '../sandbox/launcher.ts';

/** Milliseconds; Node runs a timer of more at once. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Milliseconds that a stopped build has to end in good order. */
const GRACE = 5000;
/** Milliseconds that all of the process has to end, clean-up included. What is left then is removed by the next build. */
const LAST = 60_000;

/** Turns signals and the time limit into the end of the running sandbox. */
export class Stopper {
  /** Why the build was stopped. */
  reason: { readonly message: string; readonly exitCode: number } | undefined;
  readonly #stopped = new AbortController();
  readonly #endProcess: (exitCode: number) => void;
  #sandbox: Sandbox | undefined;
  #timer: NodeJS.Timeout | undefined;
  #calls = 0;

  /** `endProcess` is called where nothing else ends it, such as a thread that waits for a call of the kernel. */
  constructor(endProcess: (exitCode: number) => void = () => {}) {
    this.#endProcess = endProcess;
  }

  /** Aborted when the build is to end; for what comes before the sandbox. */
  get signal(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Listens to the signals by which people and systems end programs. */
  listen(): void {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => this.stop(`interrupted by ${name}`, 128 + constants.signals[name]));
    }
  }

  /** Stops the build after a time. */
  limit(milliseconds: number): void {
    setTimeout(
      () => this.stop(`not done within the time limit of ${milliseconds / 1000} s`, 124),
      Math.min(milliseconds, LONGEST_TIMER),
    ).unref();
  }

  /** The first call asks the build to stop; a second one ends it at once, and a third one the process. */
  stop(message: string, exitCode: number): void {
    this.#calls += 1;
    this.reason ??= { message, exitCode };
    this.#stopped.abort(new InterruptedError(message, exitCode, 'preflight'));
    if (this.#calls > 2) return this.#endProcess(this.reason.exitCode);
    const { exitCode: code } = this.reason;
    setTimeout(() => this.#endProcess(code), this.#calls === 1 ? LAST : GRACE).unref();
    if (this.#sandbox === undefined) return;
    if (this.#calls === 1) this.#end(this.#sandbox);
    else this.#sandbox.kill();
  }

  /** Names the sandbox that is to be ended; call what it returns when it has ended. */
  attach(sandbox: Sandbox): () => void {
    this.#sandbox = sandbox;
    if (this.reason !== undefined) this.#end(sandbox);
    return () => {
      this.#sandbox = undefined;
      clearTimeout(this.#timer);
    };
  }

  #end(sandbox: Sandbox): void {
    sandbox.stop();
    this.#timer = setTimeout(() => sandbox.kill(), GRACE);
  }
}
