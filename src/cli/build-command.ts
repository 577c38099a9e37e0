import { createHash } from 'node:crypto';
import { lstat, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, type Failure, InterruptedError, LockedError, PreflightError } from '../errors.ts';
import type { BuildEvent } from '../events.ts';
import { type Sandbox, type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { makeFolder, removeEmpty, removeFile, statOrUndefined, writeWhole } from '../system/files.ts';
import { withScope } from '../system/scope.ts';
import { targets } from '../targets/all.ts';
import { confirm } from './confirm.ts';
import { lockHolder } from './lock-holder.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { CliOptions } from './options/types.ts';
import { existingResults, findPlace, makeCache, makeOutput, type Owner } from './place.ts';
import { checkTools, planTmpfs } from './preflight.ts';
import { publish, publishLog, stagingFolders } from './publish.ts';
import { createLogReporter } from './reporters/log.ts';
import type { Reporter } from './reporters/reporter.ts';
import type { Stopper } from './stopper.ts';
import type { Terminal } from './terminal.ts';

/** The file in the staging folder by which the builder is told what to do. */
const REQUEST = 'request.json';
/** Names that results can have in the output folder, the log left out. */
const resultNames: string[] = [...targets.map(({ file }) => file), 'SHA256SUMS', 'manifest.json', 'rootfs'];

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

/** The paths of the results; undefined if the user has said no. */
export async function buildCommand(options: CliOptions, around: BuildSurroundings): Promise<readonly string[] | undefined> {
  const place = await findPlace(options.config, around.cwd);
  const request = await makeRequest(options, place, around);
  await checkTools();
  const output = await makeOutput(options.directory, around.cwd, around.owner);
  const cacheFolder = checkedSetting(request, 'REALMFS_CACHE_DIR');
  const tmpfsSize = await planTmpfs(options.tmpfs, options.tmpfsSize, output);
  if (options.confirm) {
    const names = resultNames.filter((name) => name !== 'rootfs' || options.keepRootfs);
    const config = place.configName === null ? 'built-in base image' : path.join(place.project, place.configName);
    const agreed = await confirm({ config, output, tmpfsSize, replaced: await existingResults(output, names) }, around.stopper.signal);
    if (!agreed) return undefined;
  }
  around.stopper.signal.throwIfAborted();
  const cache = await makeCache(cacheFolder);
  return withScope(async (scope) => {
    const left = await stagingFolders(output);
    const { staging, stagingId } = await makeStaging(output);
    const lock = { held: false };
    // Without the lock the others belong to the build that holds it.
    scope.defer('staging folder', () => removeStaging([staging, ...(lock.held ? left : [])], stagingId, output, cache));
    const outputNames = namesOfOutput(place.project, output);
    const known = { results: await describeResults(output), output: createHash('sha256').update(output).digest('hex') };
    await writeFile(path.join(staging, REQUEST), JSON.stringify({ ...request, ...known, outputNames }), { flag: 'wx', mode: 0o600 });
    return runBuild(
      {
        output,
        staging,
        stagingId,
        cache,
        project: place.project,
        tmpfsSize,
        keyring: checkedSetting(request, 'DEBIAN_KEYRING'),
        lock,
        hasTerminal: options.shellOnFailure,
        hasLog: true,
      },
      around,
    );
  });
}

/** A shell, or one command, in the tree as it is after a step. Returns its exit code; nothing is kept. */
export async function shellCommand(
  options: Pick<CliOptions, 'config' | 'set' | 'tmpfs'> & { readonly step: string; readonly command: string | undefined },
  around: BuildSurroundings,
): Promise<number> {
  const place = await findPlace(options.config, around.cwd);
  const shell = { step: options.step, command: options.command ?? null };
  const request = await makeRequest({ ...options, targets: [], proxy: undefined, keyring: undefined, shell }, place, around);
  await checkTools();
  const cache = await makeCache(checkedSetting(request, 'REALMFS_CACHE_DIR'));
  return withScope(async (scope) => {
    // A place of its own: a shell does not keep others from building.
    const output = await makeFolder(cache, 'shell-', '');
    scope.defer('folder of the shell', async () => void (await removeEmpty(output)));
    const tmpfsSize = await planTmpfs(options.tmpfs, undefined, output);
    const { staging, stagingId } = await makeStaging(output);
    scope.defer('staging folder', () => removeStaging([staging], stagingId, output, cache));
    await writeFile(path.join(staging, REQUEST), JSON.stringify(request), { flag: 'wx', mode: 0o600 });
    const ended = { code: 0 };
    const keyring = checkedSetting(request, 'DEBIAN_KEYRING');
    const folders = { output, staging, stagingId, cache, project: place.project, tmpfsSize, keyring, lock: { held: false } };
    await runBuild({ ...folders, hasTerminal: true, hasLog: false, onShellEnd: (code) => Object.assign(ended, { code }) }, around);
    return ended.code;
  });
}

async function makeStaging(output: string): Promise<{ staging: string; stagingId: string }> {
  try {
    const staging = await makeFolder(output, '.realmfs-', '.partial');
    const { dev, ino, uid } = await lstat(staging, { bigint: true });
    if (uid !== 0n) throw new Error(`${staging} does not belong to root`);
    return { staging, stagingId: `${dev}:${ino}` };
  } catch (error) {
    throw new PreflightError(`the output folder ${output} cannot be written: ${error instanceof Error ? error.message : String(error)}`, {
      step: 'preflight',
    });
  }
}

/** Names in the project folder that the results have, or the folder that holds them. */
export function namesOfOutput(project: string, output: string): string[] {
  const below = path.relative(project, output);
  if (below === '') return resultNames;
  return below.startsWith('..') ? [] : [below.split(path.sep)[0] ?? ''];
}

/**
 * Removes this build's staging folder, and those that the builder has found and emptied. What is
 * not empty is emptied inside a sandbox: never recursively from here.
 */
async function removeStaging(folders: readonly string[], stagingId: string, output: string, cache: string): Promise<void> {
  const [staging = '', ...left] = folders;
  await removeFile(path.join(staging, REQUEST));
  if (!(await removeEmpty(staging))) {
    const { silent, release, ended } = startSandbox({
      mode: 'clean',
      output,
      staging,
      stagingId,
      cache,
      project: '',
      tmpfsSize: 0,
      onEvent: () => {},
    });
    await silent;
    release();
    // A build that has begun in the meantime holds the lock, and empties what it finds.
    if ((await ended).locked) return;
    if (!(await removeEmpty(staging))) throw new Error(`${staging} could not be emptied; the next build in ${output} does`);
  }
  for (const folder of left) if ((await statOrUndefined(folder))?.isDirectory()) await removeEmpty(folder);
}

interface BuildFolders {
  readonly output: string;
  readonly staging: string;
  readonly stagingId: string;
  readonly cache: string;
  readonly project: string;
  readonly tmpfsSize: number;
  readonly keyring: string;
  /** Told once this build holds the output folder. */
  readonly lock: { held: boolean };
  readonly hasTerminal: boolean;
  /** False: nothing is written to the output folder. */
  readonly hasLog: boolean;
  readonly onShellEnd?: (code: number) => void;
}

async function runBuild(folders: BuildFolders, around: BuildSurroundings): Promise<readonly string[]> {
  const { output, staging } = folders;
  const outcome: { ready: boolean; step: string; failure?: Failure; built?: Extract<BuildEvent, { kind: 'built' }> } = {
    ready: false,
    step: '',
  };
  let log: Reporter | undefined;
  const take = (event: BuildEvent): void => {
    if (event.kind === 'ready') {
      outcome.ready = true;
      folders.lock.held = true;
    }
    if (event.kind === 'ready' && folders.hasLog) {
      const file = path.join(output, 'realmfs-build.log');
      log = createLogReporter(file, around.owner);
      around.onLog(file);
    }
    if (event.kind === 'step-start') outcome.step = event.step;
    if (event.kind === 'failed') outcome.failure = event.failure;
    if (event.kind === 'built') outcome.built = event;
    log?.report(event);
    around.reporter.report(event);
    if (event.kind === 'shell-start') around.terminal.start();
    if (event.kind === 'shell-end') {
      around.terminal.end();
      folders.onShellEnd?.(event.code);
    }
  };
  let fault: unknown;
  const onEvent = (event: BuildEvent): void => {
    try {
      take(event);
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
  log?.close();
  // The lock is held until the results have their names: another build would empty the staging folder.
  try {
    if (fault === undefined && around.stopper.reason === undefined && outcome.built !== undefined) {
      const { files, rootfs, key, upToDate } = outcome.built;
      if (!folders.hasLog) return [];
      if (upToDate) return [...(rootfs ? ['rootfs'] : []), ...files].map((file) => path.join(output, file));
      const published = await publish({ staging, output, files, rootfs, owner: around.owner });
      await rememberResults(folders.cache, output, key);
      return published;
    }
    if (outcome.failure !== undefined)
      await publishLog(staging, output, around.owner).catch((error: unknown) => around.reporter.report(lostLog(error)));
  } finally {
    sandbox.release();
    await sandbox.ended;
  }
  const end = await sandbox.ended;
  if (fault !== undefined) {
    throw new PreflightError(`the log in ${output} cannot be written: ${fault instanceof Error ? fault.message : String(fault)}`, {
      step: 'preflight',
    });
  }
  const stopped = around.stopper.reason;
  if (stopped !== undefined)
    throw new InterruptedError(stopped.message, stopped.exitCode, outcome.failure?.step || outcome.step || 'preflight');
  if (end.locked) throw await lockedError(output);
  throw failureOf(outcome, end);
}

/** What lies under the names of results: name, size, inode and times of each; a line each. */
async function describeResults(output: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of resultNames) {
    const stat = await statOrUndefined(path.join(output, name));
    if (stat !== undefined) lines.push(`${name} ${stat.size} ${stat.ino} ${stat.mtimeMs} ${stat.ctimeMs}`);
  }
  return lines;
}

/** Remembers for the next build what these results were made of. */
async function rememberResults(cache: string, output: string, key: string): Promise<void> {
  if (key === '') return;
  const folder = path.join(cache, 'layers', 'results');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const name = createHash('sha256').update(output).digest('hex');
  await writeWhole(path.join(folder, name), JSON.stringify({ key, results: await describeResults(output) }), 0o600);
}

/** debootstrap's log is a help, not a result: without it the failure itself is still what is told. */
function lostLog(error: unknown): BuildEvent {
  return {
    kind: 'warning',
    step: 'bootstrap',
    text: `debootstrap.log could not be kept: ${error instanceof Error ? error.message : String(error)}`,
  };
}

async function lockedError(output: string): Promise<LockedError> {
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

function failureOf(outcome: { ready: boolean; step: string; failure?: Failure }, end: SandboxEnd): Error {
  if (outcome.failure !== undefined) return new ReportedError(outcome.failure);
  const details = end.noise.map((line) => `output:  ${line}`);
  if (!outcome.ready) {
    return new PreflightError(`the sandbox could not be set up: ${setUpFault(end)}`, {
      step: 'preflight',
      details,
      hint: 'a build needs root with all capabilities; containers often take them away',
    });
  }
  return new BuilderError('the builder ended without a result: was it killed, or was memory short?', { step: outcome.step, details });
}
