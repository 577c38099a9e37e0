import { createHash } from 'node:crypto';
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { FetchError } from '../../errors.ts';
import { checkSignature, releaseField, type SignedRelease } from '../../store/index-file.ts';
import { hideCredentials, splitCredentials } from '../../system/credentials.ts';
import { makeFolders, statOrUndefined } from '../../system/files.ts';
import { commandLine, howItEnded } from '../../system/runner.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { certificateHint } from '../model/failures.ts';
import { authoritiesFile } from './certificates.ts';
import { notCached } from './fetch-lock.ts';

/** The Release file that a build is made from. */
export interface BaseRelease {
  /** Its name in apt's lists. */
  readonly file: string;
  readonly bytes: Buffer;
  readonly sha256: string;
  /** Its Date, seconds since 1970. */
  readonly date: number;
}

/** Seconds that the clocks of the archive and of this machine may differ, as in apt (Acquire::Max-FutureTime). */
const CLOCK_SKEW = 10;
const AUTO_PROXY = '/usr/bin/auto-apt-proxy';
/**
 * A user that neither Debian nor systemd gives to anybody (uids 65520 to 65533 of systemd's UIDS-GIDS.md). That of nobody is shared, and
 * whoever has the same uid can read the environment of a process, with the proxy's password.
 */
const FETCHER = '65533';
const AS_FETCHER: readonly string[] = ['--reuid', FETCHER, '--regid', FETCHER, '--clear-groups', '--inh-caps', '-all', '--no-new-privs'];
const WGETRC = '/tmp/wgetrc';
/** The home folder of the wget that debootstrap starts. */
const WGET_HOME = '/tmp/wget';

/**
 * The environment of wget, also of the one that debootstrap starts: three tries, time limits, the proxy, the authorities it trusts, and the
 * password of the mirror.
 */
export async function fetchEnvironment(
  limit: number,
  { proxy, authorities }: { readonly proxy: Readonly<Record<string, string>>; readonly authorities: string },
  netrc: string,
): Promise<Record<string, string>> {
  const connect = Math.ceil(limit / 2);
  const file = await authoritiesFile(authorities);
  const trusted = file === undefined ? '' : `ca_certificate = ${file}\n`;
  await writeFile(
    WGETRC,
    `${trusted}connect_timeout = ${connect}\ndns_timeout = ${connect}\nread_timeout = ${limit}\ntries = 3\nwaitretry = 2\nmax_redirect = 10\n`,
  );
  if (netrc === '') return { WGETRC, ...proxy };
  await makeFolders(WGET_HOME, 0o700);
  await writeFile(`${WGET_HOME}/.netrc`, netrc, { mode: 0o600 });
  return { WGETRC, HOME: WGET_HOME, ...proxy };
}

/** The proxy variables of the request; without any, what auto-apt-proxy finds, where it is installed. */
export async function findProxy(mirror: string, ctx: BuildContext): Promise<Readonly<Record<string, string>>> {
  const { proxy } = ctx.request;
  if (ctx.request.offline || Object.keys(proxy).length > 0 || (await statOrUndefined(AUTO_PROXY)) === undefined) return proxy;
  const text = await ctx.runner.capture({
    label: 'auto-apt-proxy',
    file: 'setpriv',
    args: [...AS_FETCHER, AUTO_PROXY, splitCredentials(mirror).address],
    timeout: 30_000,
  });
  const found = text.trim();
  return /^https?:\/\/\S+$/.test(found) ? { http_proxy: found, https_proxy: found } : {};
}

/**
 * Fetches the InRelease file of the suite, checks it and puts it where debootstrap looks for it:
 * the build is made from this one and no other. Never an older one than an earlier build has seen,
 * unless that one must not be used any more: then with a warning.
 * @throws FetchError if it cannot be fetched or must not be trusted.
 */
export async function fetchRelease(
  config: Config,
  mirror: string,
  env: Readonly<Record<string, string>>,
  ctx: BuildContext,
): Promise<BaseRelease> {
  const { url, file } = releaseOf(config, mirror);
  const [fresh, known] = [`${paths.apt}/lists/${file}`, `${paths.cache}/apt/lists/${file}`];
  await writeFile(fresh, await download(url, env, ctx));
  await chmod(fresh, 0o644);
  let release = await trusted(fresh, url, config, ctx);
  const old = (await statOrUndefined(known))?.isFile() ? await checkSignature(known, config.keyring, ctx.runner) : { fault: 'not there' };
  if ('release' in old && dateOf(old.release) > dateOf(release)) {
    const fault = await faultOf(known, url, config, ctx);
    if (fault !== undefined) {
      ctx.steps.warn(`an earlier build has seen a newer state of ${config.release}, which cannot be used now: ${fault}`);
    } else {
      ctx.steps.warn(
        `the mirror has an older state of ${config.release} (${releaseField(release.text, 'Date')}) than an earlier build has seen; the newer one is used (${releaseField(old.release.text, 'Date')})`,
      );
      await copyFile(known, fresh);
      release = await trusted(fresh, url, config, ctx);
    }
  }
  return baseRelease(fresh, file, release);
}

/**
 * The InRelease file that an earlier build has kept.
 * @throws FetchError if there is none, or it must not be trusted.
 */
export async function keptRelease(config: Config, mirror: string, ctx: BuildContext): Promise<BaseRelease> {
  const { url, file } = releaseOf(config, mirror);
  const kept = `${paths.apt}/lists/${file}`;
  if ((await statOrUndefined(kept))?.isFile() !== true) throw notCached([hideCredentials(url)], ctx.steps.current);
  return baseRelease(kept, file, await trusted(kept, url, config, ctx));
}

async function baseRelease(where: string, file: string, release: SignedRelease): Promise<BaseRelease> {
  const bytes = await readFile(where);
  return { file, bytes, sha256: createHash('sha256').update(bytes).digest('hex'), date: dateOf(release) };
}

/** Whether debootstrap has used the Release file that was checked, and still finds it good. */
export async function checkUsedRelease(config: Config, mirror: string, release: BaseRelease, ctx: BuildContext): Promise<void> {
  const file = `${paths.apt}/lists/${release.file}`;
  const used = (await statOrUndefined(file))?.isFile() ? await readFile(file) : Buffer.alloc(0);
  if (!used.equals(release.bytes))
    throw fault(`debootstrap has used another Release file of ${config.release} than the one that was checked`, ctx);
  await trusted(file, `${mirror}/dists/${config.release}/InRelease`, config, ctx);
}

/** The address of a Release file, and its name in apt's lists: its address without scheme and password, with `_` for `/` (debootstrap's apt_dest). */
function releaseOf(config: Config, mirror: string): { readonly url: string; readonly file: string } {
  const below = `dists/${config.release}/InRelease`;
  const { address } = splitCredentials(mirror);
  return { url: `${mirror}/${below}`, file: `${address}/${below}`.replace(/^[^:]+:\/\//, '').replaceAll('/', '_') };
}

async function download(url: string, env: Readonly<Record<string, string>>, ctx: BuildContext): Promise<string> {
  const out = '/tmp/InRelease';
  await writeFile(out, '', { mode: 0o666 });
  await chmod(out, 0o666);
  const command = {
    label: 'wget',
    // What comes from the network is read without any right on this machine. The address, which may hold a password, is no argument.
    file: 'setpriv',
    args: [...AS_FETCHER, 'wget', '--progress=dot:giga', '--no-hsts', `--output-document=${out}`, '--input-file=-'],
    input: [Buffer.from(`${url}\n`)],
    env,
  };
  const result = await ctx.runner.attempt(command);
  if (result.exitCode !== 0) {
    const last = result.tail.findLast((line) => /ERROR \d+|failed|error|exceeded|unable|timed out|refused|No data/i.test(line));
    const why = (last ?? `wget ${howItEnded(command, result)}`).replace(/^wget: |^\S+ \S+ (?=ERROR|\()/, '').replace(/\.$/, '');
    throw new FetchError(hideCredentials(`${url} cannot be fetched: ${why}`), {
      step: ctx.steps.current,
      details: [`command: ${commandLine(command)}`, ...result.tail.map((line) => `output:  ${line}`)].map(hideCredentials),
      hint: certificateHint(result.tail) ?? 'check DEBIAN_MIRROR, DEBIAN_RELEASE, the network and the proxy',
    });
  }
  return readFile(out, 'utf8');
}

/** The Release file, if its signature, its suite and its dates are right. */
async function trusted(file: string, url: string, config: Config, ctx: BuildContext): Promise<SignedRelease> {
  const shown = hideCredentials(url);
  const check = await checkSignature(file, config.keyring, ctx.runner);
  if ('fault' in check) {
    throw fault(
      `${shown} ${check.fault}`,
      ctx,
      `the keys that are trusted lie in ${config.keyring}; DEBIAN_KEYRING or --keyring names another file`,
    );
  }
  const { release } = check;
  const [suite, codename] = [releaseField(release.text, 'Suite'), releaseField(release.text, 'Codename')];
  if (![suite, codename].includes(config.release))
    throw fault(`${shown} is the Release file of ${codename ?? suite ?? 'no suite'}, not of ${config.release}`, ctx);
  const date = dateOf(release);
  if (Number.isNaN(date)) throw fault(`${shown} has no Date`, ctx);
  if (!config.checkDates) return release;
  const now = Date.now() / 1000;
  const hint = 'is the clock of this machine right? To build from this archive all the same: --set CHECK_DATES=off';
  if (date > now + CLOCK_SKEW) throw fault(`${shown} is dated in the future: ${releaseField(release.text, 'Date')}`, ctx, hint);
  const until = releaseField(release.text, 'Valid-Until');
  // A date that cannot be read is over, too.
  if (until !== undefined && !(Date.parse(until) / 1000 >= now))
    throw fault(`${shown} has expired: it was valid until ${until}`, ctx, hint);
  return release;
}

/** Why a file that an earlier build has kept would not be taken now; undefined: it would. */
async function faultOf(file: string, url: string, config: Config, ctx: BuildContext): Promise<string | undefined> {
  try {
    await trusted(file, url, config, ctx);
    return undefined;
  } catch (error) {
    if (!(error instanceof FetchError)) throw error;
    return error.message;
  }
}

/** Seconds since 1970; NaN without a Date. */
function dateOf(release: SignedRelease): number {
  return Math.floor(Date.parse(releaseField(release.text, 'Date') ?? '') / 1000);
}

function fault(message: string, ctx: BuildContext, hint?: string): FetchError {
  return new FetchError(message, { step: ctx.steps.current, hint });
}
