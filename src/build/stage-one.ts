import { chmod, copyFile, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { CommandError, FetchError, PreflightError } from '../errors.ts';
import { sandboxed } from '../sandbox/namespaces.ts';
import { readSigned, releaseField } from '../store/index-file.ts';
import { PackageHarvest } from '../store/packages.ts';
import { statOrUndefined, writeWhole } from '../system/files.ts';
import type { Command } from '../system/runner.ts';
import { type BuildContext, paths } from './context.ts';
import { errorLines, explained, guiltyPackage, renamed } from './failures.ts';
import type { Mirrors } from './mirror.ts';
import { BootstrapProgress } from './progress.ts';

const SUITE_SCRIPTS = '/usr/share/debootstrap/scripts';
const SEED = '/tmp/bootstrap.tgz';
const WGETRC = '/tmp/wgetrc';

/** What stage one leaves for the steps after it. */
export interface Bootstrap {
  /** The mirror that was used; debootstrap's own default is read back from the image. */
  readonly mirror: string;
  /** The Date of the suite's Release, seconds since 1970. */
  readonly releaseDate: number;
}

/** The suites that the host's debootstrap knows. */
export async function knownSuites(): Promise<string[]> {
  return (await readdir(SUITE_SCRIPTS)).filter((name) => !name.includes('.') && !name.endsWith('-common'));
}

/** Refuses a keyring that is not there: debootstrap would go on without one. */
export async function checkKeyring(config: Config): Promise<void> {
  const keyring = await statOrUndefined(config.keyring);
  if (keyring === undefined || (keyring.isFile() && keyring.size === 0)) {
    throw new PreflightError(`there is no keyring at ${config.keyring}`, {
      step: 'preflight',
      hint: 'install it (apt-get install debian-archive-keyring) or name another one in DEBIAN_KEYRING',
    });
  }
}

/** The command line of debootstrap; `seed` is --make-tarball or --unpack-tarball. */
export function debootstrapArguments(config: Config, components: readonly string[], mirror: string, seed: readonly string[]): string[] {
  return [
    ...seed,
    '--verbose',
    '--merged-usr',
    '--variant=minbase',
    `--arch=${config.arch}`,
    `--components=${components.join(',')}`,
    '--include=systemd-sysv,locales',
    `--keyring=${config.keyring}`,
    '--force-check-gpg',
    config.release,
    paths.root,
    ...(mirror === '' ? [] : [mirror]),
  ];
}

/**
 * Bootstraps the root in two calls of debootstrap: the first fetches and checks everything, with
 * the network; the second unpacks and configures, without it. In between and while the first one
 * runs, what was fetched is taken into the cache.
 */
export async function stageOne(config: Config, mirrors: Mirrors, ctx: BuildContext): Promise<Bootstrap> {
  const harvest = new PackageHarvest({ cache: `${paths.cache}/apt`, view: paths.apt }, config.keyring, ctx.runner);
  await mkdir(paths.root, { recursive: true });
  await chmod(paths.root, 0o755);
  await forgetRelease(config.release);
  await writeWhole(WGETRC, 'connect_timeout = 30\nread_timeout = 60\ndns_timeout = 30\ntries = 3\n');
  await explained(paths.work, async () => {
    const progress = new BootstrapProgress();
    await harvest.during(() => bootstrap(config, mirrors.main, true, progress, ctx));
    await harvest.harvestLists();
    const missing = (await readdir(`${paths.apt}/lists`)).every((name) => !name.endsWith('_InRelease') && !name.endsWith('_Release'));
    if (missing) throw new FetchError('debootstrap has left no Release file', { step: ctx.steps.current });
    await bootstrap(config, mirrors.main, false, progress, ctx);
  });
  return { mirror: mirrors.main || (await usedMirror()), releaseDate: await releaseDate(config, ctx) };
}

/** debootstrap takes an InRelease that lies there for current: it must not see that of an earlier build. */
async function forgetRelease(release: string): Promise<void> {
  for (const name of await readdir(`${paths.apt}/lists`)) {
    if (/_(?:In)?Release(?:\.gpg)?$/.test(name) && name.includes(`_dists_${release}_`)) await rm(`${paths.apt}/lists/${name}`);
  }
}

async function bootstrap(config: Config, mirror: string, fetch: boolean, progress: BootstrapProgress, ctx: BuildContext): Promise<void> {
  // When it unpacks, debootstrap names no source at all if it is told of more than one component;
  // prepare.sh adds the others.
  const components = fetch ? config.components : config.components.slice(0, 1);
  const seed = fetch ? [`--make-tarball=${SEED}`, '--keep-debootstrap-dir'] : [`--unpack-tarball=${SEED}`];
  const command: Command = sandboxed({
    label: 'debootstrap',
    script: 'bootstrap.sh',
    args: debootstrapArguments(config, components, mirror, seed),
    network: fetch,
    onLine: (line) => {
      const at = progress.take(line);
      if (at !== undefined) ctx.steps.progress(at.percent, at.text);
    },
    env: {
      RB_ROOT: paths.root,
      WGETRC,
      DEBIAN_FRONTEND: 'noninteractive',
      ...(fetch ? { ...ctx.request.proxy, TAR_OPTIONS: '--exclude=var' } : {}),
    },
  });
  try {
    await ctx.runner.run(command);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const log = await keepLog();
    const said = errorLines(error.outputTail).at(-1);
    const guilty = guiltyPackage([...log, ...error.outputTail]);
    error.details.push(...log.slice(-20).map((line) => `log:     ${line}`));
    if (guilty !== undefined) throw renamed(error, `debootstrap failed at the package ${guilty}`);
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

async function usedMirror(): Promise<string> {
  const text = await readFile(`${paths.root}/etc/apt/sources.list`, 'utf8');
  const mirror = /^deb (?:\[[^\]]*\] )?(\S+)/m.exec(text)?.[1];
  if (mirror === undefined)
    throw new FetchError('debootstrap has named no mirror in sources.list; set DEBIAN_MIRROR', { step: 'bootstrap' });
  return mirror.replace(/\/+$/, '');
}

async function releaseDate(config: Config, ctx: BuildContext): Promise<number> {
  const lists = `${paths.apt}/lists`;
  for (const name of await readdir(lists)) {
    if (!name.endsWith(`_dists_${config.release}_InRelease`)) continue;
    const signed = await readSigned(path.join(lists, name), config.keyring, ctx.runner);
    const date = Date.parse(releaseField(signed?.text ?? '', 'Date') ?? '');
    if (!Number.isNaN(date)) return Math.floor(date / 1000);
  }
  throw new FetchError(`the Release file of ${config.release} is not signed by a valid key of ${config.keyring}, or has no Date`, {
    step: ctx.steps.current,
  });
}
