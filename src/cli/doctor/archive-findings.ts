import { readFile } from 'node:fs/promises';
import { suggestion } from '../../config/nearest.ts';
import { CommandError } from '../../errors.ts';
import { chooseMirrors, hostRepositories, type Mirrors } from '../../host/mirrors.ts';
import { knownSuites } from '../../host/suites.ts';
import { parseKeyring } from '../../store/keyring.ts';
import { hideCredentials } from '../../system/credentials.ts';
import { hasCode } from '../../system/files.ts';
import type { Command, Runner } from '../../system/runner.ts';
import type { DoctorReport } from './report.ts';
import { lastWords, plainHome } from './tool-findings.ts';

type Keyring = DoctorReport['keyring'];

/** Milliseconds in which a mirror must answer. */
const ANSWER = 10_000;

/** Looks at the keys that must have signed the archive; `now` in seconds since 1970. */
export async function lookAtKeyring(file: string, now: number): Promise<Keyring> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR'))
      return { file, keys: [], state: 'missing', text: `there is no keyring at ${file}` };
    if (hasCode(error, 'EACCES')) return { file, keys: [], state: 'untried', text: `${file}: not tried: needs root` };
    return { file, keys: [], state: 'failed', text: `${file}: ${error instanceof Error ? error.message : String(error)}` };
  }
  return judgeKeyring(file, bytes, now);
}

/** Says which keys of a keyring are still good. */
export function judgeKeyring(file: string, bytes: Buffer, now: number): Keyring {
  if (bytes.length === 0) return { file, keys: [], state: 'failed', text: `${file} is empty` };
  if (bytes.toString('latin1').startsWith('-----BEGIN PGP')) {
    return { file, keys: [], state: 'warn', text: `${file} is armoured, and gpgv reads binary keyrings: gpg --dearmor makes one` };
  }
  const found = parseKeyring(bytes);
  if (found === undefined) return { file, keys: [], state: 'warn', text: `${file} is there; its keys cannot be listed` };
  const keys = found.map(({ fingerprint, name, expires, revoked }) => ({
    fingerprint,
    name,
    expires: expires ?? null,
    state: revoked ? ('revoked' as const) : expires !== undefined && expires <= now ? ('expired' as const) : ('valid' as const),
  }));
  const valid = keys.filter((key) => key.state === 'valid').length;
  if (valid === 0) return { file, keys, state: 'failed', text: `${file}: none of its ${keys.length} keys is valid` };
  const others = valid === keys.length ? '' : `, ${keys.length - valid} expired or revoked`;
  return { file, keys, state: 'ok', text: `${file}: ${valid} valid keys${others}` };
}

/** Whether debootstrap knows the suite. */
export async function lookAtSuites(release: string, list = knownSuites): Promise<DoctorReport['suites']> {
  let known: string[];
  try {
    known = (await list()).sort();
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    return { release, known: [], state: 'untried', text: 'not tried: needs debootstrap' };
  }
  return known.includes(release)
    ? { release, known, state: 'ok', text: `debootstrap knows ${release} and ${known.length - 1} others` }
    : { release, known, state: 'failed', text: `debootstrap knows no suite ${release}${suggestion(release, known)}` };
}

/** Finds the mirror as a build does, and asks it for the suite's InRelease file. */
export async function askMirror(
  options: {
    readonly wanted: Mirrors;
    readonly release: string;
    /** Proxy variables of the caller. */
    readonly proxy: Readonly<Record<string, string>>;
    readonly isThere: (tool: string) => boolean;
  },
  runner: Runner,
): Promise<DoctorReport['mirror']> {
  const { wanted, release, proxy, isThere } = options;
  const none = { main: hideCredentials(wanted.main), security: hideCredentials(wanted.security), asked: null };
  if (!isThere('apt-get')) return { ...none, state: 'untried', text: 'not tried: needs apt-get' };
  let mirrors: Mirrors;
  try {
    mirrors = chooseMirrors(wanted, await hostRepositories(runner));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return {
      ...none,
      state: 'failed',
      text: `the apt sources of the host cannot be read: ${hideCredentials(error.outputTail.at(-1) ?? error.message)}`,
    };
  }
  const shown = { main: hideCredentials(mirrors.main), security: hideCredentials(mirrors.security), asked: null };
  if (mirrors.main === '')
    return {
      ...shown,
      state: 'warn',
      text: "the host's apt names no Debian repository: debootstrap's own default is used, and was not asked",
    };
  const address = `${mirrors.main.replace(/\/+$/, '')}/dists/${release}/InRelease`;
  const asked = hideCredentials(address);
  if (!isThere('wget')) return { ...shown, state: 'untried', text: `${shown.main}: not tried: needs wget` };
  const command: Command = {
    label: `the mirror`,
    file: 'wget',
    args: ['--spider', '--no-verbose', '--no-hsts', '--tries=1', `--timeout=${ANSWER / 1000}`, '--input-file=-'],
    // It may hold a password, and arguments are seen by everybody.
    input: [Buffer.from(`${address}\n`)],
    env: { ...plainHome, ...proxy },
    timeout: ANSWER,
  };
  const result = await runner.attempt(command);
  if (result.exitCode === 0 && !result.timedOut) return { ...shown, asked, state: 'ok', text: `${shown.main} answers` };
  const why = result.timedOut ? `no answer within ${ANSWER / 1000} s` : lastWords(command, result);
  return { ...shown, asked, state: 'failed', text: `${asked}: ${why}` };
}
