import { chmod, copyFile, readdir, readFile, realpath, rm } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { CommandError, FetchError } from '../../errors.ts';
import { DEBOOTSTRAP, SUITE_SCRIPTS, suiteScript } from '../../host/suites.ts';
import { sandboxed } from '../../sandbox/namespaces.ts';
import { PackageHarvest } from '../../store/packages.ts';
import { hideCredentials, splitCredentials } from '../../system/credentials.ts';
import { makeFolders, sha256File, statOrUndefined } from '../../system/files.ts';
import type { Command } from '../../system/runner.ts';
import { aptLists } from '../archive/answers.ts';
import { fetching, notCached } from '../archive/fetch-lock.ts';
import { type BaseRelease, checkUsedRelease, fetchEnvironment, fetchRelease, keptRelease } from '../archive/release.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { errorLines, explained, guiltyPackage, renamed } from '../model/failures.ts';
import { leaveLists } from './apt-folders.ts';
import { BootstrapProgress } from './progress.ts';

const SEED = '/tmp/bootstrap.tgz';

/** What a bootstrap is made from beside the configuration. */
export interface Origin {
  readonly mirror: string;
  /** Packages beside the usual ones. */
  readonly packages: readonly string[];
}

/** Proxy variables, and authorities of https servers that the project brings, as PEM. */
export interface Access {
  readonly proxy: Readonly<Record<string, string>>;
  readonly authorities: string;
}

/** The command line of debootstrap; `seed` is --make-tarball or --unpack-tarball. */
export function debootstrapArguments(
  config: Config,
  components: readonly string[],
  { mirror, packages }: Origin,
  seed: readonly string[],
): string[] {
  return [
    ...seed,
    '--verbose',
    '--merged-usr',
    '--variant=minbase',
    `--arch=${config.arch}`,
    `--components=${components.join(',')}`,
    `--include=${['systemd-sysv', 'locales', ...packages].join(',')}`,
    `--keyring=${config.keyring}`,
    '--force-check-gpg',
    config.release,
    paths.root,
    mirror,
  ];
}

/**
 * Bootstraps the root in two calls of debootstrap: the first fetches and checks everything, with
 * the network; the second unpacks and configures, without it. The Release file comes before both.
 * In between and while the first one runs, what was fetched is taken into the cache. Returns the
 * Release file.
 */
export async function stageOne(config: Config, origin: Origin, access: Access, ctx: BuildContext): Promise<BaseRelease> {
  const { mirror } = origin;
  const harvest = new PackageHarvest({ cache: `${paths.cache}/apt`, view: paths.apt }, config.keyring, ctx.runner);
  await makeFolders(paths.root, 0o755);
  await chmod(paths.root, 0o755);
  const { netrc } = splitCredentials(mirror);
  const env = await fetchEnvironment(ctx.request.fetchTimeout, access, netrc);
  const plain = plainOrigin(origin);
  return explained(undefined, async () => {
    const progress = new BootstrapProgress();
    const { release, settings } = await fetching(config.keyring, ctx, async () => {
      const found = await currentRelease(config, mirror, env, ctx);
      const steady = { env, epoch: config.sourceDateEpoch ?? found.date, progress };
      await harvest.during(() => bootstrap(config, plain, true, steady, ctx));
      await harvest.harvestLists();
      return { release: found, settings: steady };
    });
    await checkUsedRelease(config, mirror, release, ctx);
    await bootstrap(config, plain, false, settings, ctx);
    await leaveLists(paths.root, aptLists, listsOf(config, release));
    return release;
  });
}

/** The names of apt's lists from which debootstrap has taken the packages. */
function listsOf({ arch, components }: Config, { file }: BaseRelease): string[] {
  const prefix = file.slice(0, -'InRelease'.length);
  return [file, ...components.map((component) => `${prefix}${component.replaceAll('/', '_')}_binary-${arch}_Packages`)];
}

/** Fetches and checks the Release file of the suite, and nothing else. */
export async function askArchive(config: Config, mirror: string, access: Access, ctx: BuildContext): Promise<BaseRelease> {
  return explained(undefined, async () => {
    // Its own wget is told by the address.
    const env = await fetchEnvironment(ctx.request.fetchTimeout, access, '');
    return fetching(config.keyring, ctx, () => currentRelease(config, mirror, env, ctx));
  });
}

/** The Release file of the archive as it is now; with --offline, the one that an earlier build has kept. */
async function currentRelease(
  config: Config,
  mirror: string,
  env: Readonly<Record<string, string>>,
  ctx: BuildContext,
): Promise<BaseRelease> {
  if (ctx.request.offline) return keptRelease(config, mirror, ctx);
  await forgetRelease(config.release);
  return fetchRelease(config, mirror, env, ctx);
}

/** Without the password of the mirror, which stands in no argument. */
function plainOrigin(origin: Origin): Origin {
  return { ...origin, mirror: splitCredentials(origin.mirror).address };
}

/** All that decides what debootstrap makes, beside the archive. */
export async function bootstrapInputs(config: Config, origin: Origin): Promise<Record<string, string>> {
  const scripts = (await readdir(SUITE_SCRIPTS)).includes(config.release) ? config.release : 'sid';
  const tools = [DEBOOTSTRAP, '/usr/share/debootstrap/functions', `${SUITE_SCRIPTS}/${scripts}`, `${SUITE_SCRIPTS}/debian-common`];
  const there: string[] = [];
  for (const file of tools) if ((await statOrUndefined(file)) !== undefined) there.push(await sha256File(await realpath(file)));
  return {
    debootstrap: there.join(' '),
    'the command line of debootstrap': debootstrapArguments(config, config.components, plainOrigin(origin), []).join(' '),
    'the keyring': await sha256File(await realpath(config.keyring)),
    'setting SOURCE_DATE_EPOCH': config.sourceDateEpoch === undefined ? '' : String(config.sourceDateEpoch),
    'setting CHECK_DATES': String(config.checkDates),
  };
}

/** debootstrap takes a Release file that lies there for current: it must not see that of an earlier build. */
async function forgetRelease(release: string): Promise<void> {
  for (const name of await readdir(`${paths.apt}/lists`)) {
    if (/_(?:In)?Release(?:\.gpg)?$/.test(name) && name.includes(`_dists_${release}_`)) await rm(`${paths.apt}/lists/${name}`);
  }
}

/** What debootstrap says it could not get. */
function missingFile(line: string): string | undefined {
  const [, name, version, arch] = /^W: Couldn't download package (\S+) \(ver (\S+) arch (\S+)\)/.exec(line) ?? [];
  return name === undefined
    ? /^E: Couldn't download ((?:https?|file):\S+)$/.exec(line)?.[1]
    : `${name}_${version?.replace(':', '%3a')}_${arch}.deb`;
}

/** Counts what a fetch of debootstrap could not get; true as soon as trying on is in vain. */
function hopeless(): (line: string) => boolean {
  let retries = 0;
  return (line) => {
    if (/^W: Retrying failed download/.test(line)) retries += 1;
    return retries >= 3 || /^W: Couldn't download package/.test(line);
  };
}

async function bootstrap(
  config: Config,
  origin: Origin,
  fetch: boolean,
  settings: { env: Readonly<Record<string, string>>; epoch: number; progress: BootstrapProgress },
  ctx: BuildContext,
): Promise<void> {
  // When it unpacks, debootstrap names no source at all if it is told of more than one component;
  // prepare.sh adds the others.
  const components = fetch ? config.components : config.components.slice(0, 1);
  const seed = fetch ? [`--make-tarball=${SEED}`, '--keep-debootstrap-dir'] : [`--unpack-tarball=${SEED}`];
  const { offline } = ctx.request;
  const missing: string[] = [];
  const command: Command = sandboxed({
    label: 'debootstrap',
    script: 'bootstrap.sh',
    args: [...debootstrapArguments(config, components, origin, seed), ...(await suiteScript(config.release))],
    network: fetch && !offline ? 'host' : 'none',
    onLine: (line) => {
      const lost = missingFile(line);
      if (lost !== undefined) missing.push(lost);
      const at = settings.progress.take(line);
      if (at !== undefined) ctx.steps.progress(at.percent, at.text);
    },
    ...(fetch && !offline ? { stopOn: hopeless() } : {}),
    env: {
      RB_ROOT: paths.root,
      DEBIAN_FRONTEND: 'noninteractive',
      SOURCE_DATE_EPOCH: String(settings.epoch),
      ...(fetch ? { ...settings.env, TAR_OPTIONS: '--exclude=var' } : {}),
    },
  });
  try {
    await ctx.runner.run(command);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (offline && missing.length > 0) throw notCached(missing, error.step);
    const log = await keepLog();
    const said = errorLines(error.outputTail).at(-1);
    const guilty = guiltyPackage([...log, ...error.outputTail]);
    const lost = error.outputTail.findLast((line) => /^W: (?:Couldn't download|Retrying failed)/.test(line));
    error.details.push(...log.slice(-20).map((line) => `log:     ${line}`));
    if (guilty !== undefined) throw renamed(error, `debootstrap failed at the package ${guilty}`);
    if (fetch && lost !== undefined && error.signal !== undefined)
      throw new FetchError(hideCredentials(lost.slice(3)), { step: error.step, details: error.details, cause: error });
    if (said !== undefined && fetch) throw new FetchError(said, { step: error.step, details: error.details, cause: error });
    if (said !== undefined) throw renamed(error, `debootstrap: ${said}`);
    throw error;
  }
}

/** Copies debootstrap's own log to the results, and returns its lines. */
async function keepLog(): Promise<string[]> {
  for (const file of [`${paths.root}/debootstrap/debootstrap.log`, `${paths.root}/var/log/bootstrap.log`]) {
    if (!(await statOrUndefined(file))?.isFile()) continue;
    await copyFile(file, `${paths.staging}/debootstrap.log`);
    return (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  }
  return [];
}
