import { readFileSync, readlinkSync, realpathSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { buildCommand, shellCommand } from './cli/build-command.ts';
import { failureText, sudoCommand } from './cli/error-report.ts';
import { checkedSetting, makeRequest } from './cli/make-request.ts';
import { withValues } from './cli/options/shared.ts';
import type {
  CacheOptions,
  CliOptions,
  DiffOptions,
  DoctorOptions,
  InspectOptions,
  MakeHooksOptions,
  Parsed,
  PlanOptions,
  RebuildOptions,
  ShellOptions,
} from './cli/options/types.ts';
import { parseArguments } from './cli/options.ts';
import { findPlace, sudoOwner } from './cli/place.ts';
import type { ReadSurroundings } from './cli/read-sandbox.ts';
import { chooseReporter } from './cli/reporters/choose.ts';
import { ReportedError } from './cli/run-build.ts';
import { Stopper } from './cli/stopper.ts';
import { openTerminal } from './cli/terminal.ts';
import { jsonLine, print } from './cli/text.ts';
import { messageOf, PreflightError, toFailure, UsageError } from './errors.ts';
import { diskCode, namedDisk } from './system/disk-faults.ts';
import { hasCode } from './system/files.ts';
import { isWild, plainWord, textOf } from './system/names.ts';

/**
 * The launcher: wires the terminal, signals and the environment; alone prints an error and sets the exit code.
 * What only some commands need is loaded by them.
 */
const { env, argv } = process;
process.umask(0o022);
// Scratch folders have their places; a TMPDIR that does not exist must not stop a build.
for (const name of ['TMPDIR', 'TMP', 'TEMP']) delete env[name];
// A reader that is gone, or a closed terminal, is no reason to leave a build half-ended.
const lost: { output?: unknown } = {};
process.stdout.on('error', (error) => {
  if (diskCode(error) !== undefined) lost.output = error;
});
process.stderr.on('error', () => {});

const stopper = new Stopper(endNow);
stopper.listen();
const state: { options?: Pick<CliOptions, 'color' | 'debug'>; log?: string } = {};

try {
  checkWords();
  const parsed = parseArguments(withValues(argv.slice(2), env));
  if (parsed.kind === 'text') print(process.stdout, parsed.text);
  else if (parsed.kind === 'doctor') await doctor(parsed.options);
  else if (parsed.kind === 'cache') await cache(parsed.options);
  else if (parsed.kind === 'make-hooks') await hooks(parsed.options);
  else if (parsed.kind === 'keygen' || parsed.kind === 'sign' || parsed.kind === 'verify') await images(parsed);
  else {
    state.options = parsed.options;
    if (parsed.kind === 'plan') await plan(parsed.options);
    else if (parsed.kind === 'inspect') await inspect(parsed.options);
    else if (parsed.kind === 'diff') await diff(parsed.options);
    else if (parsed.kind === 'shell') process.exitCode = await shell(parsed.options);
    else if (parsed.kind === 'rebuild') await rebuild(parsed.options);
    else await run(parsed.options);
  }
} catch (error) {
  const failure = error instanceof ReportedError ? error.failure : toFailure(namedDisk(error), '');
  const noColor = (env.NO_COLOR ?? '') !== '';
  const color = state.options?.color === 'always' || (state.options?.color !== 'never' && process.stderr.isTTY === true && !noColor);
  process.stderr.write(failureText(failure, { log: state.log, debug: state.options?.debug === true, color }));
  process.exitCode = failure.exitCode;
}
// What looks at files alone does not end at once.
if (stopper.reason !== undefined && process.exitCode === undefined) process.exitCode = stopper.reason.exitCode;
// A reader that is slow gets all of it, the last line above all.
for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve));
// What is read from standard output is a result: half of it is none.
if (lost.output !== undefined && (process.exitCode ?? 0) === 0) {
  const failure = new PreflightError(`standard output cannot be written: ${messageOf(lost.output)}`);
  process.stderr.write(failureText(toFailure(failure, ''), { log: state.log, debug: false, color: false }));
  process.exitCode = failure.exitCode;
}
// Listeners of signals and timers that are of no more use must not keep the process.
process.exit();

/** Ends the process though a thread of it may wait for the kernel: process.exit would wait for that thread. */
function endNow(exitCode: number): void {
  writeSync(2, `realmfs-builder: error: ${stopper.reason?.message ?? 'interrupted'}; the process was ended before all was done\n`);
  const signal = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0] ?? 'SIGKILL';
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** The command line that does the same as root. */
function asRoot(): string {
  return sudoCommand(process.execPath, realpathSync(argv[1] ?? ''), argv.slice(2));
}

async function doctor(options: DoctorOptions): Promise<void> {
  const { doctorCommand, doctorFailure } = await import('./cli/doctor-command.ts');
  const { doctorText } = await import('./cli/doctor/text.ts');
  const report = await doctorCommand(options, { cwd: currentFolder(), env, owner: sudoOwner(env), signal: stopper.signal });
  print(process.stdout, options.json ? jsonLine(report) : doctorText(report));
  const failure = doctorFailure(report);
  if (failure !== undefined) throw failure;
}

async function hooks(options: MakeHooksOptions): Promise<void> {
  const { makeHooksCommand } = await import('./cli/make-hooks-command.ts');
  const { out, err } = await makeHooksCommand(options, currentFolder());
  print(process.stderr, err);
  print(process.stdout, out);
}

async function images(parsed: Extract<Parsed, { kind: 'keygen' | 'sign' | 'verify' }>): Promise<void> {
  const { keygenCommand, signCommand, verifyCommand } = await import('./cli/image-commands.ts');
  const cwd = currentFolder();
  if (parsed.kind === 'keygen') print(process.stdout, await keygenCommand(parsed.options.file, cwd));
  else if (parsed.kind === 'sign') print(process.stdout, await signCommand(parsed.options, cwd, { env, signal: stopper.signal }));
  else print(process.stdout, await verifyCommand(parsed.options, cwd, { env, signal: stopper.signal }));
}

async function cache(options: CacheOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new PreflightError('the cache is for root alone', { step: 'preflight', hint: `run: ${asRoot()}` });
  const { cacheCommand } = await import('./cli/cache-command.ts');
  const place = await findPlace(undefined, currentFolder());
  const request = await makeRequest({ set: {}, targets: [], proxy: undefined, keyring: undefined }, place, {
    cwd: currentFolder(),
    env,
    owner: sudoOwner(env),
  });
  const { text, exitCode } = await cacheCommand(options, {
    cache: checkedSetting(request, 'REALMFS_CACHE_DIR'),
    limit: request.layersMaxSize,
    keyring: checkedSetting(request, 'DEBIAN_KEYRING'),
    signal: stopper.signal,
  });
  print(process.stdout, text);
  process.exitCode = exitCode;
}

/** What `inspect` and `diff` need from their surroundings. */
async function readSurroundings(options: Pick<CliOptions, 'debug' | 'color'>): Promise<ReadSurroundings> {
  const progress = options.debug ? 'plain' : 'quiet';
  const reporter = await chooseReporter({ ...options, progress, verbose: options.debug, ci: true, noColor: true });
  return { cwd: currentFolder(), isRoot: process.getuid?.() === 0, sudo: asRoot(), reporter, stopper };
}

async function inspect(options: InspectOptions): Promise<void> {
  const { inspectCommand } = await import('./cli/inspect-command.ts');
  print(process.stdout, await inspectCommand(options, await readSurroundings(options)));
}

async function diff(options: DiffOptions): Promise<void> {
  const { diffCommand } = await import('./cli/diff-command.ts');
  const { text, exitCode } = await diffCommand(options, await readSurroundings(options));
  print(process.stdout, text);
  process.exitCode = exitCode;
}

async function plan(options: PlanOptions): Promise<void> {
  const { planCommand } = await import('./cli/plan-command.ts');
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const reporter = await chooseReporter({
    ...options,
    progress: options.debug ? 'plain' : 'quiet',
    verbose: options.debug,
    ci: true,
    noColor: true,
  });
  const text = await planCommand(options, {
    cwd: currentFolder(),
    env,
    owner: uid === 0 ? sudoOwner(env) : { uid, gid },
    isRoot: uid === 0,
    sudo: asRoot(),
    reporter,
    stopper,
  });
  print(process.stdout, text);
}

async function shell(options: ShellOptions): Promise<number> {
  if (process.getuid?.() !== 0) throw new PreflightError('a shell in the tree needs root', { step: 'preflight', hint: `run: ${asRoot()}` });
  const progress = options.debug ? 'plain' : 'quiet';
  const reporter = await chooseReporter({ ...options, progress, verbose: options.debug, ci: true, noColor: true });
  const terminal = openTerminal(process.stdin, process.stdout);
  return shellCommand(options, { cwd: currentFolder(), env, owner: sudoOwner(env), reporter, stopper, terminal, onLog: () => {} });
}

async function rebuild(options: RebuildOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new PreflightError('a build needs root', { step: 'preflight', hint: `run: ${asRoot()}` });
  const { rebuildCommand } = await import('./cli/rebuild-command.ts');
  const noColor = (env.NO_COLOR ?? '') !== '';
  const reporter = await chooseReporter({ ...options, progress: 'auto', verbose: options.debug, ci: (env.CI ?? '') !== '', noColor });
  try {
    const text = await rebuildCommand(options, { cwd: currentFolder(), env, owner: sudoOwner(env), reporter, stopper });
    reporter.close();
    print(process.stdout, text);
  } finally {
    reporter.close();
  }
}

async function run(options: CliOptions): Promise<void> {
  const owner = sudoOwner(env);
  if (options.isNew) {
    const { writeNew } = await import('./cli/new-command.ts');
    print(process.stdout, `${await writeNew(currentFolder(), owner)}\n`);
    return;
  }
  if (process.getuid?.() !== 0) {
    throw new PreflightError('a build needs root', { step: 'preflight', hint: `run: ${asRoot()}` });
  }
  if (options.timeout !== undefined) stopper.limit(options.timeout);
  const reporter = await chooseReporter({ ...options, ci: (env.CI ?? '') !== '', noColor: (env.NO_COLOR ?? '') !== '' });
  try {
    const results = await buildCommand(options, {
      cwd: currentFolder(),
      env,
      owner,
      reporter,
      stopper,
      terminal: openTerminal(process.stdin, process.stdout),
      onLog: (file) => {
        state.log = file;
      },
    });
    reporter.close();
    if (results === undefined) print(process.stderr, 'Nothing was built.\n');
    else if (options.progress !== 'json') print(process.stdout, results.map((file) => `${file}\n`).join(''));
  } finally {
    reporter.close();
  }
}

function currentFolder(): string {
  try {
    // Node makes another name of one that is not UTF-8: nothing would be found there, and build.conf be missed.
    const real = textOf(readlinkSync('/proc/self/cwd', { encoding: 'buffer' }));
    if (isWild(real)) throw new UsageError(`the path of the current folder is not UTF-8: ${plainWord(real)}; give it another name`);
    return process.cwd();
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new UsageError('the current folder has been removed; change to another one');
  }
}

/** @throws UsageError for a word that is not UTF-8: what it names could not be found. */
function checkWords(): void {
  const word = textOf(readFileSync('/proc/self/cmdline')).split('\0').find(isWild);
  if (word !== undefined) throw new UsageError(`${plainWord(word)}: is not UTF-8; give the file another name`);
}
