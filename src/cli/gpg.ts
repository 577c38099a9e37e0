import { readlink } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, UsageError } from '../errors.ts';
import { SIGNATURE } from '../records/names.ts';
import { isMissing, readForeign, statOrUndefined, writeWhole } from '../system/files.ts';
import { createRunner, type Runner } from '../system/runner.ts';

/** Variables by which gpg finds its keys, its agent and the terminal to ask at. */
const PASSED_ON = ['HOME', 'GNUPGHOME', 'GPG_TTY', 'DISPLAY', 'WAYLAND_DISPLAY', 'DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'TERM'];

/** What gpg needs from its surroundings. */
export interface GpgSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Signs SHA256SUMS of a folder with gpg, by a key that `user` names; empty: gpg's own default. Returns the path of the signature. */
export async function signSums(folder: string, user: string, around: GpgSurroundings): Promise<string> {
  const sums = path.join(folder, 'SHA256SUMS');
  const stat = await statOrUndefined(sums);
  if (!stat?.isFile()) throw new UsageError(`${folder} has no SHA256SUMS: no build has left its results there`);
  if (process.getuid?.() === 0 && around.env.SUDO_UID !== undefined)
    throw new UsageError('sign --gpg: with sudo gpg would sign by a key of root', { hint: 'run it as yourself: the results are yours' });
  const signature = path.join(folder, SIGNATURE);
  const key = user === '' ? [] : ['--local-user', user];
  const lines: string[] = [];
  await attempt(
    gpgRunner(around),
    {
      label: 'gpg',
      file: 'gpg',
      args: ['--batch', '--armor', '--detach-sign', ...key, '--output', '-', '--', sums],
      env: await passedOn(around.env),
      onLine: (line) => lines.push(line),
    },
    `${sums} could not be signed`,
    'gnupg',
  );
  const [begin, end] = [lines.indexOf('-----BEGIN PGP SIGNATURE-----'), lines.indexOf('-----END PGP SIGNATURE-----')];
  if (begin < 0 || end < begin) throw new BuilderError(`${sums} could not be signed: gpg has written no signature`);
  await writeWhole(signature, `${lines.slice(begin, end + 1).join('\n')}\n`, 0o644, process.getuid?.() === 0 ? stat : undefined);
  return signature;
}

/** Checks the signature of SHA256SUMS by the keys of a file. Returns what is said of it. */
export async function verifySignature(folder: string, keyring: string, around: GpgSurroundings): Promise<string> {
  const [signature, sums] = [path.join(folder, SIGNATURE), path.join(folder, 'SHA256SUMS')];
  const head = (await readForeign(keyring))?.subarray(0, 15).toString('latin1');
  if (head === undefined) throw new UsageError(`${keyring}: there is no such file`);
  if (head.startsWith('-----BEGIN PGP'))
    throw new UsageError(`${keyring} is armoured`, { hint: `gpg --dearmor makes of it what gpg --export writes` });
  if (await isMissing(signature)) throw new BuilderError(`${sums} is not signed: there is no ${SIGNATURE} beside it`);
  const tail = await attempt(
    gpgRunner(around),
    { label: 'gpgv', file: 'gpgv', args: ['--keyring', keyring, '--', signature, sums] },
    `${signature} is no good signature by a key of ${keyring}`,
    'gpgv',
  );
  const by = tail.find((line) => line.includes('Good signature'))?.replace(/^.*Good signature from /, '') ?? '';
  return `${sums}: signed by ${by}\n`;
}

function gpgRunner({ signal }: GpgSurroundings): Runner {
  return createRunner({ report: () => {}, signal, currentStep: () => '' });
}

async function attempt(
  runner: Runner,
  command: Parameters<Runner['attempt']>[0],
  fault: string,
  debianPackage: string,
): Promise<readonly string[]> {
  const { exitCode, tail } = await runner.attempt(command);
  if (exitCode === 0) return tail;
  if (exitCode === undefined && tail.some((line) => line.endsWith('program not found')))
    throw new BuilderError(`${command.file} is missing`, { hint: `run: apt-get install ${debianPackage}` });
  throw new BuilderError(fault, { details: tail.map((line) => `output:  ${line}`) });
}

async function passedOn(env: GpgSurroundings['env']): Promise<Record<string, string>> {
  const terminal = process.stdin.isTTY ? await readlink('/proc/self/fd/0').catch(() => '') : '';
  const given = PASSED_ON.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  return { ...(terminal === '' ? {} : { GPG_TTY: terminal }), ...Object.fromEntries(given) };
}
