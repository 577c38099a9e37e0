import path from 'node:path';
import { BuilderError, type Failure, hintOf, InterruptedError, LockedError, messageOf, PreflightError, reasonOf } from '../errors.ts';
import type { BuildEvent } from '../messages/events.ts';
import { SANDBOX } from '../resources.ts';
import { type Sandbox, type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { cacheDisk, type Disk, diskCodeOf, diskError, diskInLine, namedDisk, outputDisk } from '../system/disk-faults.ts';
import type { HeldFolder } from '../system/held-folder.ts';
import { rememberResults } from './known-results.ts';
import { lockHolder } from './lock-holder.ts';
import type { Owner } from './place.ts';
import { publish, publishLog } from './publish.ts';
import { createLogReporter, LOG } from './reporters/log.ts';
import type { Reporter } from './reporters/reporter.ts';
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
export interface BuildFolders {
  /** Its lock is held. */
  readonly output: HeldFolder;
  readonly staging: HeldFolder;
  /** Staging folders that ended builds have left. */
  readonly left: readonly HeldFolder[];
  readonly cache: string;
  readonly project: string;
  readonly tmpfsSize: number;
  readonly keyring: string;
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
  const { output, staging } = folders;
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
  sandbox.release();
  const end = await sandbox.ended;
  if (fault === undefined && around.stopper.reason === undefined && outcome.built !== undefined)
    return await takeResults(outcome.built, folders, around);
  if (outcome.failure !== undefined)
    await publishLog(staging, output, around.owner).catch((error: unknown) => around.reporter.report(lostLog(error)));
  if (fault !== undefined) {
    const known = namedDisk(fault, [], outputDisk(output.path));
    throw new PreflightError(`the log in ${output.path} cannot be written: ${messageOf(known)}`, {
      step: 'preflight',
      hint: hintOf(known),
    });
  }
  const stopped = around.stopper.reason;
  if (stopped !== undefined)
    throw new InterruptedError(stopped.message, stopped.exitCode, outcome.failure?.step || outcome.step || 'preflight');
  throw await failureOf(outcome, end, folders);
}

function takeEvent(
  event: BuildEvent,
  { folders, around, outcome, log }: { folders: BuildFolders; around: BuildSurroundings; outcome: Outcome; log: { reporter?: Reporter } },
): void {
  if (event.kind === 'ready') outcome.ready = true;
  if (event.kind === 'ready' && folders.hasLog) {
    log.reporter = createLogReporter(folders, around.owner, { onLost: (error) => around.reporter.report(lostLines(error, folders)) });
    around.onLog(folders.output.shown(LOG));
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
  if (!upToDate) await publish({ staging, output, files, rootfs, owner, known });
  const names = [...(rootfs ? ['rootfs'] : []), ...files];
  if (await output.isInPlace()) {
    // The results are there: what the next build would know of them is a help, and no more.
    if (!upToDate) await rememberResults(cache, output, key, files).catch((error: unknown) => reporter.report(forgotten(error, cache)));
    return names.map((name) => output.shown(name));
  }
  const place = await output.place();
  reporter.report({
    kind: 'warning',
    step: 'publish',
    text: `${output.path} was moved or replaced during the build; the results lie where the folder has gone: ${place}`,
  });
  return names.map((name) => path.join(place, name));
}

/** The disks of a build, as the user has named their folders. */
export function disksOf({ output, cache }: { readonly output: string; readonly cache: string }): {
  readonly output: Disk;
  readonly cache: Disk;
} {
  return { output: outputDisk(output), cache: cacheDisk(cache) };
}

/** The build goes on without them: its own words stand on the terminal. */
function lostLines(error: unknown, folders: BuildFolders): BuildEvent {
  const known = namedDisk(error, [], outputDisk(folders.output.path));
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
export async function lockedError(output: HeldFolder): Promise<LockedError> {
  const holder = await lockHolder(await output.own());
  return new LockedError(`another build${holder === undefined ? '' : ` (process ${holder})`} is writing to ${output.path}`, {
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

async function failureOf(outcome: Outcome, end: SandboxEnd, folders: BuildFolders): Promise<Error> {
  const { output, staging } = folders;
  if (outcome.failure !== undefined) return new ReportedError(outcome.failure);
  const details = end.noise.map((line) => `output:  ${line}`);
  const full = diskCodeOf(end.noise);
  const disks = disksOf({ output: output.path, cache: folders.cache });
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
    const said = setUpFault(end);
    const isSaid = said.includes(output.path) && /does not exist|is not the folder that it was/.test(said);
    if (isSaid || !(await output.isInPlace()) || !(await staging.isInPlace()))
      return new PreflightError(`${output.path} was moved or replaced while the build began`, {
        step: 'preflight',
        details,
        hint: 'build once more; whoever owns the folder, or one above it, can do that',
      });
    return new PreflightError(`the sandbox could not be set up: ${said}`, {
      step: 'preflight',
      details,
      hint: 'a build needs root with all capabilities; containers often take them away',
    });
  }
  return new BuilderError('the builder ended without a result: was it killed, or was memory short?', { step: outcome.step, details });
}
