import { lstat, mkdir, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { hideCredentials } from '../build/failures.ts';
import { findSetting, isSecret, settingKeys } from '../config/settings.ts';
import { BuilderError, InterruptedError, UsageError } from '../errors.ts';
import type { BuildEvent } from '../events.ts';
import { readManifest } from '../images/beside.ts';
import type { Manifest } from '../records/manifest-schema.ts';
import { programRoot } from '../resources.ts';
import { type Locks, openLocks } from '../store/locks.ts';
import { hasCode, isMissing, makeFolder, removeEmpty } from '../system/files.ts';
import { type Command, createRunner } from '../system/runner.ts';
import { withScope } from '../system/scope.ts';
import { realmfs, realmfsXz } from '../targets/realmfs.ts';
import { FormatError } from '../targets/realmfs-format.ts';
import { copySignature } from '../targets/realmfs-image.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { RebuildOptions } from './options/types.ts';
import { findPlace, makeCache, type Owner, type Place } from './place.ts';
import { checkTools } from './preflight.ts';
import { stagingFolders } from './publish.ts';
import { compareBuilds } from './rebuild-comparison.ts';
import { renewSums } from './renew-sums.ts';
import type { Reporter } from './reporters/reporter.ts';
import { lockedError } from './run-build.ts';
import { makeStaging, removeStaging } from './staging.ts';
import type { Stopper } from './stopper.ts';
import { verifySums } from './sums.ts';

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
/** How folders of second builds begin, in the cache folder. */
const SCRATCH = 'rebuild-';
/**
 * Builds again what the manifest of an output folder says, without any cache, under another host name, user, umask, time zone,
 * language and on one processor, and compares all results. Returns what is said of them.
 * @throws BuilderError that names the first difference.
 */
export async function rebuildCommand(options: RebuildOptions, around: RebuildSurroundings): Promise<string> {
  const output = await namedFolder(path.resolve(around.cwd, options.directory));
  const place = await findPlace(options.config, around.cwd);
  const request = await makeRequest({ set: {}, targets: [], proxy: undefined, keyring: undefined }, place, around);
  await checkTools();
  const cache = await makeCache(checkedSetting(request, 'REALMFS_CACHE_DIR'));
  around.stopper.signal.throwIfAborted();
  return withScope(async (scope) => {
    const locks = openLocks(path.join(programRoot, 'templates/sandbox/locks.pl'));
    scope.defer('locks', () => locks.close());
    // Until all is compared.
    if (!(await locks.exclusive(output))) throw await lockedError(output);
    const manifest = await readManifest(output, true);
    if (manifest === undefined) throw new UsageError(`${output} has no manifest.json: no build has left its results there`);
    if (place.configName === null && manifest.inputs.config !== null)
      throw new UsageError(`${output} was made from ${manifest.inputs.config.file}: name it with --config`);
    await verifySums(path.join(output, 'SHA256SUMS'), undefined, around.stopper.signal);
    await removeLeft(cache, locks);
    const made = await makeFolder(cache, SCRATCH, '');
    scope.defer('folder of the second build', async () => void (await removeEmpty(made)));
    await locks.exclusive(made);
    const staging = await makeStaging(made);
    scope.defer('second build', async () => {
      await locks.release(made);
      await removeStaging(staging, [], made, cache);
    });
    const start = Math.floor(Date.now() / 1000);
    await buildAgain({ scratch: staging.staging, manifest, place, options }, around);
    const again = path.join(staging.staging, 'again');
    await takeSignatures(output, again, manifest);
    return compareBuilds(output, again, manifest, {
      start,
      end: Math.ceil(Date.now() / 1000),
      hostname: HOSTNAME,
      folders: [staging.staging],
      timeZone: TIME_ZONE,
      language: LANGUAGE,
    });
  });
}

async function namedFolder(folder: string): Promise<string> {
  const real = await realpath(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) throw new UsageError(`${folder}: there is no such folder; results of a build lie in one`);
    throw error;
  });
  if (real.includes('\n')) throw new UsageError(`${JSON.stringify(real)}: a folder with such a name cannot be locked`);
  return real;
}

/** Removes what a run that was killed has left in the cache folder. */
async function removeLeft(cache: string, locks: Locks): Promise<void> {
  for (const name of (await readdir(cache)).filter((each) => each.startsWith(SCRATCH))) {
    const folder = path.join(cache, name);
    // One that goes on holds it.
    if (!(await locks.exclusive(folder))) continue;
    await locks.release(folder);
    for (const staging of await stagingFolders(folder)) {
      const { dev, ino } = await lstat(staging, { bigint: true });
      await removeStaging({ staging, stagingId: `${dev}:${ino}` }, [], folder, cache);
    }
    await removeEmpty(folder);
  }
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
  const { set, env } = settingsOf(manifest, options.set, around.env);
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
    ...(config.length > 0 ? ['--', ...config] : []),
  ];
  const command: Command = {
    label: 'building again',
    // It ends with this process.
    file: 'setpriv',
    args: ['--pdeathsig', 'TERM', 'unshare', '--uts', 'bash', '--norc', '-euc', elsewhere, 'elsewhere', HOSTNAME, ...program],
    // Without a project, no build.conf must be found.
    cwd: place.project !== '' && place.configName === null ? place.project : cwd,
    env: { ...env, TZ: TIME_ZONE, LANG: LANGUAGE, LC_ALL: LANGUAGE, HOME: '/nonexistent', USER: 'somebody', LOGNAME: 'somebody' },
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

/** The settings of a build, where they came from; passwords are the caller's. */
function settingsOf(
  { inputs }: Manifest,
  given: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
): { readonly set: Record<string, string>; readonly env: Record<string, string> } {
  const set: Record<string, string> = {};
  const environment: Record<string, string> = {};
  for (const key of new Set([...inputs.overrides, ...Object.keys(inputs.settings)])) {
    // They reach programs that run as root: nothing but settings.
    if (!inputs.overrides.includes(key) && (findSetting(key)?.type ?? 'builder') === 'builder')
      throw new UsageError(`the manifest has a setting that no build can have taken from its environment: ${JSON.stringify(key)}`);
    const known = inputs.settings[key];
    const own = given[key] ?? env[key];
    const isMissing = known === undefined || known !== hideCredentials(known) || known.includes('***@');
    const value = isMissing ? own : known;
    if (value === undefined)
      throw new UsageError(`${key} was set for the build, and the manifest does not hold its value: give it with --set ${key}=...`);
    if (inputs.overrides.includes(key)) set[key] = value;
    else environment[key] = value;
  }
  // What the manifest never holds: passwords, how to fetch, and whose realmfs.env is believed.
  const own = settingKeys.filter((key) => isSecret(key) || findSetting(key)?.type === 'builder');
  for (const key of [...own, 'http_proxy', 'https_proxy', 'no_proxy', 'SUDO_UID', 'SUDO_GID']) {
    const value = env[key];
    if (value !== undefined) environment[key] = value;
  }
  return { set: { ...set, ...given }, env: environment };
}

/** Who has signed an image of the first build would sign the second one, too: the same metainfo has the same signature. */
async function takeSignatures(output: string, again: string, { artifacts }: Manifest): Promise<void> {
  for (const { target, file } of artifacts) {
    if (target !== realmfs.name && target !== realmfsXz.name) continue;
    const [from, to] = [path.join(output, file), path.join(again, file)];
    try {
      if (!(await isMissing(to)) && (await copySignature(from, to))) await renewSums(to);
    } catch (error) {
      // A hook has made something else of it: then it is compared as it is.
      if (!(error instanceof FormatError)) throw error;
    }
  }
}
