import path from 'node:path';
import { BuilderError, type Failure, hintOf, InterruptedError, LockedError, messageOf, PreflightError, reasonOf } from '../errors.ts';
import type { BuildEvent } from '../events.ts';
import { SANDBOX } from '../resources.ts';
import { type Sandbox, type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { cacheDisk, type Disk, diskCodeOf, diskError, diskInLine, namedDisk, outputDisk } from '../system/disk-faults.ts';
import { rememberResults } from './known-results.ts';
import { lockHolder } from './lock-holder.ts';
import type { Owner } from './place.ts';
import { publish, publishLog } from './publish.ts';
import { createLogReporter } from './reporters/log.ts';
import type { Reporter } from './reporters/reporter.ts';
import type { Staging } from './staging.ts';
import type { Stopper } from './stopper.ts';
import type { Terminal } from './terminal.ts';

/** What the command needs from its surroundings. */
export interface BuildSurroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly owner: Owner | undefined;
  readonly reporter: Reporter;
  readonly stopper: Stopper;
  /** For the shells that a build may open. */
  readonly terminal: Terminal;
  /** Told as soon as there is a log. */
  readonly onLog: (file: string) => void;
}

/** Where a build works, and what it may do. */
export interface BuildFolders extends Staging {
  readonly output: string;
  readonly cache: string;
  readonly project: string;
  readonly tmpfsSize: number;
  readonly keyring: string;
  /** Told once this build holds the output folder. */
  readonly lock: { held: boolean };
  readonly hasTerminal: boolean;
  /** Names in the output folder that results may take the place of. */
  readonly known: readonly string[];
  /** False: nothing is written to the output folder. */
  readonly hasLog: boolean;
  readonly onShellEnd?: (code: number) => void;
}

/** What the builder has said of itself. */
interface Outcome {
  ready: boolean;
  /** The step that runs. */
  step: string;
  failure?: Failure;
  built?: Extract<BuildEvent, { kind: 'built' }>;
}

/** Runs the builder in its sandbox; the results get their names. Returns their paths. */
export async function runBuild(folders: BuildFolders, around: BuildSurroundings): Promise<readonly string[]> {
  const { output } = folders;
  const outcome: Outcome = { ready: false, step: '' };
  const log: { reporter?: Reporter } = {};
  let fault: unknown;
  const onEvent = (event: BuildEvent): void => {
    try {
      takeEvent(event, { folders, around, outcome, log });
    } catch (error) {
      // The log cannot be written: no build without one.
      fault ??= error;
      sandbox.kill();
    }
  };
  const sandbox: Sandbox = startSandbox({ mode: 'build', ...folders, onEvent });
  around.terminal.attach(sandbox);
  const released = around.stopper.attach(sandbox);
  await sandbox.silent;
  released();
  // Whatever has ended the shell, the terminal is the user's again.
  around.terminal.end();
  log.reporter?.close();
  // The lock is held until the results have their names: another build would empty the staging folder.
  try {
    if (fault === undefined && around.stopper.reason === undefined && outcome.built !== undefined)
      return await takeResults(outcome.built, folders, around);
    if (outcome.failure !== undefined)
      await publishLog(folders.staging, output, around.owner).catch((error: unknown) => around.reporter.report(lostLog(error)));
  } finally {
    sandbox.release();
    await sandbox.ended;
  }
  const end = await sandbox.ended;
  if (fault !== undefined) {
    const known = namedDisk(fault, [], outputDisk(output));
    throw new PreflightError(`the log in ${output} cannot be written: ${messageOf(known)}`, { step: 'preflight', hint: hintOf(known) });
  }
  const stopped = around.stopper.reason;
  if (stopped !== undefined)
    throw new InterruptedError(stopped.message, stopped.exitCode, outcome.failure?.step || outcome.step || 'preflight');
  if (end.locked) throw await lockedError(output);
  throw failureOf(outcome, end, folders);
}

function takeEvent(
  event: BuildEvent,
  { folders, around, outcome, log }: { folders: BuildFolders; around: BuildSurroundings; outcome: Outcome; log: { reporter?: Reporter } },
): void {
  if (event.kind === 'ready') {
    outcome.ready = true;
    folders.lock.held = true;
  }
  if (event.kind === 'ready' && folders.hasLog) {
    const file = path.join(folders.output, 'realmfs-build.log');
    log.reporter = createLogReporter(file, around.owner, { onLost: (error) => around.reporter.report(lostLines(error, folders)) });
    around.onLog(file);
  }
  if (event.kind === 'step-start') outcome.step = event.step;
  if (event.kind === 'failed') outcome.failure = event.failure;
  if (event.kind === 'built') outcome.built = event;
  log.reporter?.report(event);
  around.reporter.report(event);
  if (event.kind === 'shell-start') around.terminal.start();
  if (event.kind === 'shell-end') {
    around.terminal.end();
    folders.onShellEnd?.(event.code);
  }
}

/** Gives the results their names, unless they are there already. */
async function takeResults(
  { files, rootfs, key, upToDate }: Extract<BuildEvent, { kind: 'built' }>,
  { hasLog, staging, output, cache, known }: BuildFolders,
  { owner, reporter }: BuildSurroundings,
): Promise<readonly string[]> {
  if (!hasLog) return [];
  if (upToDate) return [...(rootfs ? ['rootfs'] : []), ...files].map((file) => path.join(output, file));
  const published = await publish({ staging, output, files, rootfs, owner, known });
  // The results are there: what the next build would know of them is a help, and no more.
  await rememberResults(cache, output, key, files).catch((error: unknown) => reporter.report(forgotten(error, cache)));
  return published;
}

/** The disks of a build, as the user has named their folders. */
export function disksOf({ output, cache }: Pick<BuildFolders, 'output' | 'cache'>): { readonly output: Disk; readonly cache: Disk } {
  return { output: outputDisk(output), cache: cacheDisk(cache) };
}

/** The build goes on without them: its own words stand on the terminal. */
function lostLines(error: unknown, folders: BuildFolders): BuildEvent {
  const known = namedDisk(error, [], outputDisk(folders.output));
  return { kind: 'warning', step: 'log', text: `the log lacks lines: ${reasonOf(known)}` };
}

/** The next build writes the same results again. */
function forgotten(error: unknown, cache: string): BuildEvent {
  const known = namedDisk(error, [], cacheDisk(cache));
  return { kind: 'warning', step: 'publish', text: `what the results were made of is not remembered: ${reasonOf(known)}` };
}

/** debootstrap's log is a help, not a result: without it the failure itself is still what is told. */
function lostLog(error: unknown): BuildEvent {
  return {
    kind: 'warning',
    step: 'bootstrap',
    text: `debootstrap.log could not be kept: ${error instanceof Error ? error.message : String(error)}`,
  };
}

/** Why a folder cannot be had: another build has it. */
export async function lockedError(output: string): Promise<LockedError> {
  const holder = await lockHolder(output);
  return new LockedError(`another build${holder === undefined ? '' : ` (process ${holder})`} is writing to ${output}`, {
    step: 'preflight',
  });
}

/** A failure that the builder has reported, as an error of this process. */
export class ReportedError extends BuilderError {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.cause, { step: failure.step });
    this.failure = failure;
  }
}

/** Why there is no sandbox, as the last program has said it; mount points to dmesg behind its cause. */
export function setUpFault({ noise }: SandboxEnd): string {
  return noise.findLast((line) => !line.includes('dmesg(1)')) ?? 'it was killed';
}

/** Why there is no sandbox of a command that users may run without root. */
export function refusedSandbox(
  end: SandboxEnd,
  { isRoot, sudo }: { readonly isRoot: boolean; readonly sudo: string },
  step = '',
): PreflightError {
  const said = setUpFault(end);
  const details = end.noise.map((line) => `output:  ${line}`);
  return isRoot
    ? new PreflightError(`the sandbox could not be set up: ${said}`, {
        step,
        details,
        hint: 'this needs root with all capabilities; containers often take them away',
      })
    : new PreflightError(`this machine makes no sandbox for users: ${said}`, {
        step,
        details,
        hint: `user namespaces are off or restricted; run: ${sudo}`,
      });
}

function failureOf(outcome: Outcome, end: SandboxEnd, folders: BuildFolders): Error {
  if (outcome.failure !== undefined) return new ReportedError(outcome.failure);
  const details = end.noise.map((line) => `output:  ${line}`);
  const full = diskCodeOf(end.noise);
  const disks = disksOf(folders);
  const inside = [
    { ...disks.output, folder: `${SANDBOX}/staging` },
    { ...disks.cache, folder: `${SANDBOX}/cache` },
  ];
  if (full !== undefined) {
    const named = diskInLine(full.line, [...inside, ...Object.values(disks)]);
    const where = Object.values(disks).find(({ name }) => name === named?.name);
    return diskError(full.code, Object.values(disks), { where, step: outcome.step || 'preflight', details });
  }
  if (!outcome.ready) {
    return new PreflightError(`the sandbox could not be set up: ${setUpFault(end)}`, {
      step: 'preflight',
      details,
      hint: 'a build needs root with all capabilities; containers often take them away',
    });
  }
  return new BuilderError('the builder ended without a result: was it killed, or was memory short?', { step: outcome.step, details });
}
