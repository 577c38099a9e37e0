import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { findSetting, isSecret, settingKeys } from '../config/settings.ts';
import { BuilderError, InterruptedError, UsageError } from '../errors.ts';
import { readManifest } from '../inspect/build-beside.ts';
import type { BuildEvent } from '../messages/events.ts';
import type { Manifest } from '../records/manifest-schema.ts';
import { programRoot } from '../resources.ts';
import { hideCredentials } from '../system/credentials.ts';
import { hasCode } from '../system/files.ts';
import { HeldFolder, isPlainName } from '../system/held-folder.ts';
import { type Command, createRunner } from '../system/runner.ts';
import { withScope } from '../system/scope.ts';
import { realmfs, realmfsXz } from '../targets/realmfs.ts';
import { FormatError } from '../targets/realmfs-format.ts';
import { copySignature } from '../targets/realmfs-image.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { RebuildOptions } from './options/types.ts';
import { findPlace, makeCache, type Owner, type Place } from './place.ts';
import { checkTools } from './preflight.ts';
import { compareBuilds } from './rebuild-comparison.ts';
import { renewSums } from './renew-sums.ts';
import type { Reporter } from './reporters/reporter.ts';
import { lockedError } from './run-build.ts';
import { makeScratch } from './scratch.ts';
import type { Stopper } from './stopper.ts';
import { readSumsFile, verifySums } from './sums.ts';

/** What the command needs from its surroundings. */
export interface RebuildSurroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly owner: Owner | undefined;
  readonly reporter: Reporter;
  readonly stopper: Stopper;
}

/** Under what the second build is made. */
const HOSTNAME = 'rebuilt-elsewhere';
const TIME_ZONE = 'Pacific/Kiritimati';
const LANGUAGE = 'tr_TR.UTF-8';
/**
 * Builds again what the manifest of an output folder says, without any cache, under another host name, user, umask, time zone,
 * language and on one processor, and compares all results. Returns what is said of them.
 * @throws BuilderError that names the first difference.
 */
export async function rebuildCommand(options: RebuildOptions, around: RebuildSurroundings): Promise<string> {
  const { cwd, stopper } = around;
  const place = await findPlace(options.config, cwd);
  return withScope(async (scope) => {
    const output = await heldFolder(path.resolve(cwd, options.directory));
    scope.defer('folder of the results', () => output.close());
    const request = await makeRequest({ set: {}, targets: [], proxy: undefined, keyring: undefined }, place, around);
    await checkTools();
    const cache = await makeCache(checkedSetting(request, 'REALMFS_CACHE_DIR'));
    stopper.signal.throwIfAborted();
    // Until all is compared.
    if (!(await output.lock())) throw await lockedError(output);
    const manifest = await readManifest(output.here, true, output.path);
    if (manifest === undefined) throw new UsageError(`${output.path} has no manifest.json: no build has left its results there`);
    checkNames(manifest, output);
    if (place.configName === null && manifest.inputs.config !== null)
      throw new UsageError(`${output.path} was made from ${JSON.stringify(manifest.inputs.config.file)}: name it with --config`);
    await verifySums(output, await readSumsFile(output), undefined, stopper.signal);
    const { staging } = await makeScratch(scope, cache, 'rebuild-');
    const start = Math.floor(Date.now() / 1000);
    await buildAgain({ scratch: staging.path, manifest, place, options }, around);
    const again = await staging.folder('again');
    scope.defer('second build', () => again.close());
    await takeSignatures(output, again, manifest);
    return compareBuilds(output, again, manifest, {
      start,
      end: Math.ceil(Date.now() / 1000),
      hostname: HOSTNAME,
      folders: [staging.path],
      timeZone: TIME_ZONE,
      language: LANGUAGE,
    });
  });
}

async function heldFolder(folder: string): Promise<HeldFolder> {
  try {
    return await HeldFolder.open(await realpath(folder));
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))
      throw new UsageError(`${folder}: there is no such folder; results of a build lie in one`);
    throw error;
  }
}

/** @throws BuilderError if a manifest, which anybody can have written, names anything outside its folder. */
function checkNames({ name, artifacts }: Manifest, output: HeldFolder): void {
  const strange = [name, ...artifacts.map(({ file }) => file)].find((each) => !isPlainName(each));
  if (strange !== undefined)
    throw new BuilderError(`${output.shown('manifest.json')} names a result that is no name of a file: ${JSON.stringify(strange)}`, {
      step: 'rebuild',
    });
}

interface Again {
  readonly scratch: string;
  readonly manifest: Manifest;
  readonly place: Place;
  readonly options: RebuildOptions;
}

/** Runs this program once more, elsewhere; its results lie in `again` below the scratch folder. */
async function buildAgain({ scratch, manifest, place, options }: Again, around: RebuildSurroundings): Promise<void> {
  const { signal } = around.stopper;
  const runner = createRunner({ report: () => {}, signal, currentStep: () => 'rebuild' });
  const cwd = path.join(scratch, 'elsewhere');
  const cache = path.join(scratch, 'cache');
  await mkdir(cwd);
  await mkdir(cache, { mode: 0o700 });
  const { set, secret, env } = settingsOf(manifest, options.set, around.env);
  const overrides = { ...set, SOURCE_DATE_EPOCH: String(manifest.sourceDateEpoch), REALMFS_CACHE_DIR: cache, LAYERS_MAX_SIZE: '0' };
  const elsewhere =
    'printf %s "$1" >/proc/sys/kernel/hostname; umask 077; own=$(taskset --cpu-list --pid $$); exec taskset --cpu-list "$(grep -o "[0-9]*" <<<"${own##*:}" | tail -n 1)" "${@:2}"';
  const config = place.configName === null ? [] : [path.join(place.project, place.configName)];
  const program = [
    process.execPath,
    path.join(programRoot, 'dist/cli.js'),
    ...['--no-confirm', '--no-cache', '--keep-rootfs', '--progress', 'json', '--directory', path.join(scratch, 'again')],
    ...(options.tmpfs ? [] : ['--no-tmpfs']),
    ...Object.entries(overrides).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
    // Of what everybody can see of a process, the environment is no part.
    ...Object.keys(secret).flatMap((key) => ['--set', key]),
    ...(config.length > 0 ? ['--', ...config] : []),
  ];
  const command: Command = {
    label: 'building again',
    // It ends with this process.
    file: 'setpriv',
    args: ['--pdeathsig', 'TERM', 'unshare', '--uts', 'bash', '--norc', '-euc', elsewhere, 'elsewhere', HOSTNAME, ...program],
    // Without a project, no build.conf must be found.
    cwd: place.project !== '' && place.configName === null ? place.project : cwd,
    env: {
      ...env,
      ...secret,
      TZ: TIME_ZONE,
      LANG: LANGUAGE,
      LC_ALL: LANGUAGE,
      HOME: '/nonexistent',
      USER: 'somebody',
      LOGNAME: 'somebody',
    },
    onLine: (line) => {
      const event = eventOf(line);
      if (event !== undefined) around.reporter.report(event);
    },
  };
  const result = await runner.attempt(command).catch((error: unknown) => {
    const stopped = around.stopper.reason;
    throw stopped === undefined ? error : new InterruptedError(stopped.message, stopped.exitCode, 'rebuild');
  });
  if (result.exitCode === 0) return;
  // Its log is gone with its folder.
  const said = result.tail.filter((line) => eventOf(line) === undefined).map((line) => line.replace(/; log: .*$/, ''));
  const cause = said.at(-1)?.replace(/^realmfs-builder: error: /, '') ?? 'it was killed';
  throw new SecondBuildError(`the second build failed: ${cause}`, result.exitCode ?? 1, said);
}

/** The second build failed: with its exit code, which says of what kind the failure is. */
class SecondBuildError extends BuilderError {
  override readonly exitCode: number;

  constructor(message: string, exitCode: number, lines: readonly string[]) {
    super(message, { step: 'rebuild', details: lines.map((line) => `output:  ${line}`) });
    this.exitCode = exitCode;
  }
}

function eventOf(line: string): BuildEvent | undefined {
  try {
    const event = line.startsWith('{') ? JSON.parse(line) : undefined;
    return typeof event?.kind === 'string' ? event : undefined;
  } catch {
    return undefined;
  }
}

/** Settings of a second build. */
interface Settings {
  /** Options, whose values the manifest holds: everybody may see them. */
  readonly set: Readonly<Record<string, string>>;
  /** Options whose values are the caller's. */
  readonly secret: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
}

/** The settings of a build, where they came from; what the manifest does not hold, such as passwords, is the caller's. */
function settingsOf(
  { inputs }: Manifest,
  given: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const set: Record<string, string> = {};
  const environment: Record<string, string> = {};
  const secret: Record<string, string> = { ...given };
  for (const key of new Set([...inputs.overrides, ...Object.keys(inputs.settings)])) {
    const isOverride = inputs.overrides.includes(key);
    // They reach programs that run as root: nothing but settings.
    if (!isOverride && (findSetting(key)?.type ?? 'builder') === 'builder')
      throw new UsageError(`the manifest has a setting that no build can have taken from its environment: ${JSON.stringify(key)}`);
    const known = inputs.settings[key];
    const isKnown = known !== undefined && known === hideCredentials(known) && !known.includes('***@') && !isSecret(key);
    const value = isKnown ? known : (given[key] ?? env[key]);
    if (value === undefined)
      throw new UsageError(`${key} was set for the build, and the manifest does not hold its value: give it with --set ${key}=...`, {
        hint: `or, since other users see command lines, in the environment: ${key}=... realmfs-builder ...`,
      });
    if (!isOverride) environment[key] = value;
    else if (key in given) continue;
    else if (isKnown) set[key] = value;
    else secret[key] = value;
  }
  // What the manifest never holds: passwords, how to fetch, and whose realmfs.env is believed.
  const own = settingKeys.filter((key) => isSecret(key) || findSetting(key)?.type === 'builder');
  for (const key of [...own, 'http_proxy', 'https_proxy', 'no_proxy', 'SUDO_UID', 'SUDO_GID']) {
    const value = env[key];
    if (value !== undefined) environment[key] = value;
  }
  return { set, secret, env: environment };
}

/** Who has signed an image of the first build would sign the second one, too: the same metainfo has the same signature. */
async function takeSignatures(output: HeldFolder, again: HeldFolder, { artifacts }: Manifest): Promise<void> {
  for (const { target, file } of artifacts) {
    if (target !== realmfs.name && target !== realmfsXz.name) continue;
    try {
      if ((await again.stat(file)) !== undefined && (await copySignature(output.at(file), again.at(file)))) await renewSums(again, file);
    } catch (error) {
      // A hook has made something else of it: then it is compared as it is.
      if (!(error instanceof FormatError)) throw output.inWords(error);
    }
  }
}
