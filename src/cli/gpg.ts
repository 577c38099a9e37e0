import { readlink } from 'node:fs/promises';
import { BuilderError, UsageError } from '../errors.ts';
import { SIGNATURE } from '../records/names.ts';
import { readForeign } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import { createRunner, type Runner } from '../system/runner.ts';

/** Variables by which gpg finds its keys, its agent and the terminal to ask at. */
const PASSED_ON = ['HOME', 'GNUPGHOME', 'GPG_TTY', 'DISPLAY', 'WAYLAND_DISPLAY', 'DBUS_SESSION_BUS_ADDRESS', 'XDG_RUNTIME_DIR', 'TERM'];

/** What gpg needs from its surroundings. */
export interface GpgSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Signs SHA256SUMS of a folder with gpg, by a key that `user` names; empty: gpg's own default. Returns the path of the signature. */
export async function signSums(where: string, user: string, around: GpgSurroundings): Promise<string> {
  const folder = await HeldFolder.open(where);
  try {
    return await signHeld(folder, user, around);
  } finally {
    await folder.close();
  }
}

async function signHeld(folder: HeldFolder, user: string, around: GpgSurroundings): Promise<string> {
  const sums = folder.shown('SHA256SUMS');
  const [stat, bytes] = [await folder.stat('SHA256SUMS'), await folder.read('SHA256SUMS')];
  if (stat === undefined || bytes === undefined)
    throw new UsageError(`${folder.path} has no SHA256SUMS: no build has left its results there`);
  if (process.getuid?.() === 0 && around.env.SUDO_UID !== undefined)
    throw new UsageError('sign --gpg: with sudo gpg would sign by a key of root', { hint: 'run it as yourself: the results are yours' });
  const key = user === '' ? [] : ['--local-user', user];
  const lines: string[] = [];
  await attempt(
    gpgRunner(around),
    {
      label: 'gpg',
      file: 'gpg',
      args: ['--batch', '--armor', '--detach-sign', ...key, '--output', '-', '--', '-'],
      input: [bytes],
      env: await passedOn(around.env),
      onLine: (line) => lines.push(line),
    },
    `${sums} could not be signed`,
    'gnupg',
  );
  const [begin, end] = [lines.indexOf('-----BEGIN PGP SIGNATURE-----'), lines.indexOf('-----END PGP SIGNATURE-----')];
  if (begin < 0 || end < begin) throw new BuilderError(`${sums} could not be signed: gpg has written no signature`);
  await folder.write(SIGNATURE, `${lines.slice(begin, end + 1).join('\n')}\n`, 0o644, process.getuid?.() === 0 ? stat : undefined);
  return folder.shown(SIGNATURE);
}

/** Checks the signature of SHA256SUMS, whose bytes are given, by the keys of a file. Returns what is said of it. */
export async function verifySignature(folder: HeldFolder, signed: Buffer, keyring: string, around: GpgSurroundings): Promise<string> {
  const [signature, sums] = [folder.shown(SIGNATURE), folder.shown('SHA256SUMS')];
  const head = (await readForeign(keyring))?.subarray(0, 15).toString('latin1');
  if (head === undefined) throw new UsageError(`${keyring}: there is no such file`);
  if (head.startsWith('-----BEGIN PGP'))
    throw new UsageError(`${keyring} is armoured`, { hint: `gpg --dearmor makes of it what gpg --export writes` });
  if ((await folder.stat(SIGNATURE)) === undefined) throw new BuilderError(`${sums} is not signed: there is no ${SIGNATURE} beside it`);
  const bytes = await folder.read(SIGNATURE);
  if (bytes === undefined) throw new BuilderError(`${signature} is no regular file`);
  const tail = await attempt(
    gpgRunner(around),
    { label: 'gpgv', file: 'gpgv', args: ['--enable-special-filenames', '--keyring', keyring, '--', '-&3', '-'], input: [signed, bytes] },
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
