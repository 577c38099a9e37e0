/** A fault of the configuration, with the place where it stands if there is one. */
export interface Problem {
  readonly file?: string;
  readonly line?: number;
  readonly message: string;
}

/** What every failure carries to the launcher; plain JSON. */
export interface Failure {
  readonly code: string;
  readonly exitCode: number;
  /** The step, with the module behind a slash: `pre/create-user`. */
  readonly step: string;
  readonly cause: string;
  /** What stands above the last line: the command, its last output, problems. */
  readonly details: readonly string[];
  readonly hint?: string;
  readonly stack?: string;
}

interface ErrorOptions {
  readonly step?: string;
  readonly hint?: string | undefined;
  readonly details?: readonly string[];
  readonly cause?: unknown;
}

/** An expected failure: shown without a stack. Exit code 1 unless a subclass says otherwise. */
export class BuilderError extends Error {
  readonly code: string = 'build';
  readonly exitCode: number = 1;
  step: string;
  readonly hint: string | undefined;
  /** Lines shown above the last line. */
  readonly details: string[];

  constructor(message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.step = options.step ?? '';
    this.hint = options.hint;
    this.details = [...(options.details ?? [])];
  }
}

/** The command line is wrong. */
export class UsageError extends BuilderError {
  override readonly code = 'usage';
  override readonly exitCode = 2;
}

/** The configuration is wrong: every problem at once. */
export class ConfigError extends BuilderError {
  override readonly code = 'config';
  override readonly exitCode = 2;

  constructor(problems: readonly Problem[]) {
    const lines = problems.map(formatProblem);
    const more = lines.length > 1 ? ` (and ${lines.length - 1} more above)` : '';
    super(`${lines[0] ?? 'the configuration is wrong'}${more}`, {
      step: 'config',
      details: lines.length > 1 ? lines : [],
    });
  }
}

/** The machine cannot do the build: not root, a tool missing, no space. */
export class PreflightError extends BuilderError {
  override readonly code = 'machine';
  override readonly exitCode = 3;
}

/** A fetch or a verification failed. */
export class FetchError extends BuilderError {
  override readonly code = 'fetch';
  override readonly exitCode = 4;
}

/** Another build holds the output folder. */
export class LockedError extends BuilderError {
  override readonly code = 'locked';
  override readonly exitCode = 5;
}

/** A program failed. */
export class CommandError extends BuilderError {
  override readonly code = 'command';
  readonly commandExitCode: number | undefined;
  readonly signal: string | undefined;
  readonly outputTail: readonly string[];

  constructor(
    message: string,
    result: { exitCode: number | undefined; signal: string | undefined; tail: readonly string[]; line: string },
    step: string,
    hint?: string,
  ) {
    super(message, { step, hint, details: [`command: ${result.line}`, ...result.tail.map((line) => `output:  ${line}`)] });
    this.commandExitCode = result.exitCode;
    this.signal = result.signal;
    this.outputTail = result.tail;
  }
}

/** The user or a time limit stopped the build. */
export class InterruptedError extends BuilderError {
  override readonly code = 'interrupted';
  override readonly exitCode: number;

  constructor(message: string, exitCode: number, step = '') {
    super(message, { step });
    this.exitCode = exitCode;
  }
}

/** `build.conf:12: DEBIAN_RELEASE: ...` */
export function formatProblem(problem: Problem): string {
  const place = problem.file === undefined ? '' : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `;
  return `${place}${problem.message}`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What to do about an error; undefined: nobody knows. */
export function hintOf(error: unknown): string | undefined {
  return error instanceof BuilderError ? error.hint : undefined;
}

/** What is said of something that went wrong and is no failure of the build: the message, and what to do. */
export function reasonOf(error: unknown): string {
  const hint = hintOf(error);
  return hint === undefined ? messageOf(error) : `${messageOf(error)}: ${hint}`;
}

/** Characters of a path that is too long to be shown whole. */
const SHOWN = 80;

/** A path that the kernel does not take is no bug: folders are made one in another, by a step or in a project. */
function tooLong(error: unknown, step: string): BuilderError | undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENAMETOOLONG')) return undefined;
  // Where the sandbox has project and tree.
  const place = ('path' in error ? String(error.path) : error.message).replace(/^\/run\/realmfs\/(?:source\/|build\/root)/, '');
  const problem = { message: `a name is longer than 255 bytes, or a path longer than 4095: ${place.slice(0, SHOWN)}...` };
  return step === 'config' ? new ConfigError([problem]) : new BuilderError(problem.message, { step, cause: error });
}

/** Turns anything thrown into what the launcher reports. Unexpected errors are our bugs: exit code 70. */
export function toFailure(thrown: unknown, step: string): Failure {
  const error = tooLong(thrown, step) ?? thrown;
  if (error instanceof BuilderError) {
    return {
      code: error.code,
      exitCode: error.exitCode,
      step: error.step || step,
      cause: error.message,
      details: error.details,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.stack === undefined ? {} : { stack: error.stack }),
    };
  }
  const bug = error instanceof Error ? error : new Error(String(error));
  return {
    code: 'bug',
    exitCode: 70,
    step,
    cause: `internal error: ${bug.message}`,
    details: [],
    hint: 'this is a bug of realmfs-builder: please report it, with the log and the output of --debug',
    ...(bug.stack === undefined ? {} : { stack: bug.stack }),
  };
}
