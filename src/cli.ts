#!/usr/bin/env node
import { realpathSync } from 'node:fs';
import { buildCommand, ReportedError } from './cli/build-command.ts';
import { failureText, sudoCommand } from './cli/error-report.ts';
import { writeNew } from './cli/new-command.ts';
import { type CliOptions, parseArguments } from './cli/options.ts';
import { sudoOwner } from './cli/place.ts';
import { chooseReporter } from './cli/reporters/choose.ts';
import { Stopper } from './cli/stopper.ts';
import { PreflightError, toFailure, UsageError } from './errors.ts';
import { hasCode } from './system/files.ts';

/** The entry: wires the terminal, signals and the environment; alone prints an error and sets the exit code. */
const { env, argv } = process;
process.umask(0o022);
// Scratch folders have their places; a TMPDIR that does not exist must not stop a build.
for (const name of ['TMPDIR', 'TMP', 'TEMP']) delete env[name];
// A reader that is gone, or a closed terminal, is no reason to leave a build half-ended.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const stopper = new Stopper();
stopper.listen();
const state: { options?: CliOptions; log?: string } = {};

try {
  const parsed = parseArguments(argv.slice(2));
  if (parsed.kind === 'text') process.stdout.write(parsed.text);
  else {
    state.options = parsed.options;
    await run(parsed.options);
  }
} catch (error) {
  const failure = error instanceof ReportedError ? error.failure : toFailure(error, '');
  const noColor = (env.NO_COLOR ?? '') !== '';
  const color = state.options?.color === 'always' || (state.options?.color !== 'never' && process.stderr.isTTY === true && !noColor);
  process.stderr.write(failureText(failure, { log: state.log, debug: state.options?.debug === true, color }));
  process.exitCode = failure.exitCode;
}
// A reader that is slow gets all of it, the last line above all.
for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write('', resolve));
// Listeners of signals and timers that are of no more use must not keep the process.
process.exit();

async function run(options: CliOptions): Promise<void> {
  const owner = sudoOwner(env);
  if (options.isNew) {
    process.stdout.write(`${await writeNew(currentFolder(), owner)}\n`);
    return;
  }
  if (process.getuid?.() !== 0) {
    const command = sudoCommand(process.execPath, realpathSync(argv[1] ?? ''), argv.slice(2));
    throw new PreflightError('a build needs root', { step: 'preflight', hint: `run: ${command}` });
  }
  if (options.timeout !== undefined) stopper.limit(options.timeout);
  const reporter = chooseReporter({ ...options, ci: (env.CI ?? '') !== '', noColor: (env.NO_COLOR ?? '') !== '' });
  try {
    const results = await buildCommand(options, {
      cwd: currentFolder(),
      env,
      owner,
      reporter,
      stopper,
      onLog: (file) => {
        state.log = file;
      },
    });
    reporter.close();
    if (results === undefined) process.stderr.write('Nothing was built.\n');
    else if (options.progress !== 'json') process.stdout.write(results.map((file) => `${file}\n`).join(''));
  } finally {
    reporter.close();
  }
}

function currentFolder(): string {
  try {
    return process.cwd();
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    throw new UsageError('the current folder has been removed; change to another one');
  }
}
