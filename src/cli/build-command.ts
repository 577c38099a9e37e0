import path from 'node:path';
import { namedDisk } from '../system/disk-faults.ts';
import { makeFolder, removeEmpty } from '../system/files.ts';
import { withScope } from '../system/scope.ts';
import { confirm } from './confirm.ts';
import { describeResults, lastResults, nameOf, namesOfOutput, replaceable, resultNames } from './known-results.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { CliOptions } from './options/types.ts';
import { existingResults, findPlace, makeCache, makeOutput } from './place.ts';
import { checkCacheRoom, checkTools, planTmpfs } from './preflight.ts';
import { stagingFolders } from './publish.ts';
import { type BuildSurroundings, disksOf, runBuild } from './run-build.ts';
import { makeStaging, removeStaging, writeRequest } from './staging.ts';

/** The paths of the results; undefined if the user has said no. */
export async function buildCommand(options: CliOptions, around: BuildSurroundings): Promise<readonly string[] | undefined> {
  const place = await findPlace(options.config, around.cwd);
  const request = await makeRequest(options, place, around);
  await checkTools();
  const output = await makeOutput(options.directory, around.cwd, around.owner);
  const cacheFolder = checkedSetting(request, 'REALMFS_CACHE_DIR');
  const tmpfsSize = await planTmpfs(options.tmpfs, options.tmpfsSize, output);
  if (options.confirm) {
    const config = place.configName === null ? 'built-in base image' : path.join(place.project, place.configName);
    const replaced = await existingResults(output, [...resultNames, ...(await lastResults(cacheFolder, output))]);
    const agreed = await confirm({ config, output, tmpfsSize, replaced }, around.stopper.signal);
    if (!agreed) return undefined;
  }
  around.stopper.signal.throwIfAborted();
  return onDisks({ output, cache: cacheFolder }, async () => {
    const cache = await makeCache(cacheFolder);
    const short = request.offline ? undefined : await checkCacheRoom(cache);
    if (short !== undefined) around.reporter.report({ kind: 'warning', step: 'preflight', text: short });
    return build({ output, cache, place, request, tmpfsSize }, options, around);
  });
}

async function build(
  { output, cache, place, request, tmpfsSize }: BuildPlaces,
  options: CliOptions,
  around: BuildSurroundings,
): Promise<readonly string[]> {
  return withScope(async (scope) => {
    const left = await stagingFolders(output);
    const staging = await makeStaging(output);
    const lock = { held: false };
    // Without the lock the others belong to the build that holds it.
    scope.defer('staging folder', () => removeStaging(staging, lock.held ? left : [], output, cache));
    const last = await lastResults(cache, output);
    const known = { results: await describeResults(output, last), output: nameOf(output) };
    await writeRequest(staging, { ...request, ...known, outputNames: await namesOfOutput(place.project, output, last) });
    return runBuild(
      {
        ...staging,
        output,
        cache,
        project: place.project,
        tmpfsSize,
        keyring: checkedSetting(request, 'DEBIAN_KEYRING'),
        lock,
        hasTerminal: options.shellOnFailure,
        hasLog: true,
        known: await replaceable(output, last),
      },
      around,
    );
  });
}

interface BuildPlaces {
  readonly output: string;
  readonly cache: string;
  readonly place: Awaited<ReturnType<typeof findPlace>>;
  readonly request: Awaited<ReturnType<typeof makeRequest>>;
  readonly tmpfsSize: number;
}

/** Names the disk if a write of the launcher itself fails. */
async function onDisks<T>(folders: { readonly output: string; readonly cache: string }, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw namedDisk(error, Object.values(disksOf(folders)));
  }
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
    const staging = await makeStaging(output);
    scope.defer('staging folder', () => removeStaging(staging, [], output, cache));
    await writeRequest(staging, { ...request, outputNames: await namesOfOutput(place.project, output) });
    const ended = { code: 0 };
    const keyring = checkedSetting(request, 'DEBIAN_KEYRING');
    const folders = { ...staging, output, cache, project: place.project, tmpfsSize, keyring, lock: { held: false } };
    await runBuild(
      { ...folders, hasTerminal: true, hasLog: false, known: [], onShellEnd: (code) => Object.assign(ended, { code }) },
      around,
    );
    return ended.code;
  });
}
