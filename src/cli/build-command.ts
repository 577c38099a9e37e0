import path from 'node:path';
import { messageOf } from '../errors.ts';
import type { BuildEvent } from '../messages/events.ts';
import type { BuildRequest } from '../messages/request.ts';
import { namedDisk } from '../system/disk-faults.ts';
import type { HeldFolder } from '../system/held-folder.ts';
import { withScope } from '../system/scope.ts';
import { confirm } from './confirm.ts';
import { describeResults, existingResults, lastResults, nameOf, namesOfOutput, replaceable, resultNames } from './known-results.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { CliOptions } from './options/types.ts';
import { openOutput } from './output-folder.ts';
import { findPlace, makeCache, type Place } from './place.ts';
import { checkCacheRoom, checkRights, checkTools, planTmpfs } from './preflight.ts';
import { type BuildSurroundings, disksOf, lockedError, runBuild } from './run-build.ts';
import { makeScratch, removeLeftScratch } from './scratch.ts';
import { leftStaging, makeStaging, removeIfEmpty, removeStaging, writeRequest } from './staging.ts';

/** The paths of the results; undefined if the user has said no. */
export async function buildCommand(options: CliOptions, around: BuildSurroundings): Promise<readonly string[] | undefined> {
  const place = await findPlace(options.config, around.cwd);
  const request = await makeRequest(options, place, around);
  await checkTools();
  await checkRights();
  return withScope(async (scope) => {
    const output = await openOutput(options.directory, around.cwd, around.owner);
    scope.defer('output folder', () => output.close());
    const cacheFolder = checkedSetting(request, 'REALMFS_CACHE_DIR');
    const tmpfsSize = await planTmpfs(options.tmpfs, options.tmpfsSize, output.path);
    if (options.confirm) {
      const config = place.configName === null ? 'built-in base image' : path.join(place.project, place.configName);
      const replaced = await existingResults(output, [...resultNames, ...(await lastResults(cacheFolder, output.path))]);
      const agreed = await confirm({ config, output: output.path, tmpfsSize, replaced }, around.stopper.signal);
      if (!agreed) return undefined;
    }
    around.stopper.signal.throwIfAborted();
    return onDisks({ output: output.path, cache: cacheFolder }, async () => {
      const cache = await makeCache(cacheFolder);
      const short = request.offline ? undefined : await checkCacheRoom(cache);
      if (short !== undefined) around.reporter.report({ kind: 'warning', step: 'preflight', text: short });
      return build({ output, cache, place, request, tmpfsSize }, options, around);
    });
  });
}

interface BuildPlaces {
  readonly output: HeldFolder;
  readonly cache: string;
  readonly place: Place;
  readonly request: BuildRequest;
  readonly tmpfsSize: number;
}

async function build(
  { output, cache, place, request, tmpfsSize }: BuildPlaces,
  options: CliOptions,
  around: BuildSurroundings,
): Promise<readonly string[]> {
  // Before there is a staging folder: whoever has the lock removes those that are there.
  if (!(await output.lock())) throw await lockedError(output);
  await removeLeftScratch(cache).catch((error: unknown) => around.reporter.report(leftWarning(error)));
  return withScope(async (scope) => {
    const left = await leftStaging(output);
    scope.defer('what earlier builds have left', () => removeLeft(left, output));
    const staging = await makeStaging(output);
    scope.defer('staging folder', () => removeStaging(staging, output, cache).finally(() => staging.close()));
    const last = await lastResults(cache, output.path);
    const known = { results: await describeResults(output, last), output: nameOf(output.path) };
    await writeRequest(staging, { ...request, ...known, outputNames: await namesOfOutput(place.project, output.path, last) });
    return runBuild(
      {
        staging,
        output,
        left,
        cache,
        project: place.project,
        tmpfsSize,
        keyring: checkedSetting(request, 'DEBIAN_KEYRING'),
        hasTerminal: options.shellOnFailure,
        hasLog: true,
        known: await replaceable(output, last),
      },
      around,
    );
  });
}

/** Names the disk if a write of the launcher itself fails. */
async function onDisks<T>(folders: { readonly output: string; readonly cache: string }, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw namedDisk(error, Object.values(disksOf(folders)));
  }
}

/** Removes what the builder has emptied. */
async function removeLeft(left: readonly HeldFolder[], output: HeldFolder): Promise<void> {
  for (const folder of left) {
    await removeIfEmpty(folder, output);
    await folder.close();
  }
}

function leftWarning(error: unknown): BuildEvent {
  const text = `what an ended command has left in the cache could not be removed: ${messageOf(error)}`;
  return { kind: 'warning', step: 'preflight', text };
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
  await checkRights();
  const cache = await makeCache(checkedSetting(request, 'REALMFS_CACHE_DIR'));
  return withScope(async (scope) => {
    // A place of its own: a shell does not keep others from building.
    const { output, staging } = await makeScratch(scope, cache, 'shell-');
    const tmpfsSize = await planTmpfs(options.tmpfs, undefined, output.path);
    await writeRequest(staging, { ...request, outputNames: await namesOfOutput(place.project, output.path) });
    const ended = { code: 0 };
    const keyring = checkedSetting(request, 'DEBIAN_KEYRING');
    const folders = { staging, output, left: [], cache, project: place.project, tmpfsSize, keyring };
    await runBuild(
      { ...folders, hasTerminal: true, hasLog: false, known: [], onShellEnd: (code) => Object.assign(ended, { code }) },
      around,
    );
    return ended.code;
  });
}
