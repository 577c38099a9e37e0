import { statfs } from 'node:fs/promises';
import { constants } from 'node:os';
import { BuilderError, CommandError, FetchError } from '../../errors.ts';
import { hideCredentials } from '../../system/credentials.ts';
import {
  CACHE_HINT,
  type Disk,
  diskCode,
  diskCodeOf,
  diskError,
  diskInLine,
  isFull,
  namedDisk,
  OUTPUT_HINT,
} from '../../system/disk-faults.ts';
import { paths } from './context.ts';

const fetchFault =
  /^(?:E|W): (?:Failed getting release file|Invalid Release|Release signed by|Failed to fetch|Couldn't download|Failed to get|No secure|The repository|Unable to fetch|Some index files failed|Can't find component|Keyring|Wrong|Malformed|Release file|Couldn't find these debs)/;

/** What a step has said of a device node that it could not make. */
export function isDeniedDevice(line: string): boolean {
  return /\bmknod\b.*(?:Operation not permitted|Read-only file system|Permission denied)|\bMAKEDEV\b.*(?:not permitted|Read-only)/.test(
    line,
  );
}

/** The lines by which debootstrap and apt say why. */
export function errorLines(lines: readonly string[]): string[] {
  return lines.filter((line) => /^E: /.test(line)).map((line) => hideCredentials(line.slice(3)));
}

/** What to do if a server was not trusted; undefined: it was. Words of apt (GnuTLS, OpenSSL) and of wget. */
export function certificateHint(lines: readonly string[]): string | undefined {
  const isUntrusted = lines.some(
    (line) => /certificate/i.test(line) && /verif|trusted|issuer|authority|self.signed|unknown CA/i.test(line),
  );
  return isUntrusted
    ? 'if an authority of yours vouches for the server, put its certificate into overlay/usr/local/share/ca-certificates/NAME.crt: fetches and the image trust it then'
    : undefined;
}

/** The disks of a build. */
export const disks = {
  output: {
    name: "the build's output disk",
    folder: paths.staging,
    hint: OUTPUT_HINT,
  },
  cache: {
    name: 'the cache disk',
    folder: paths.cache,
    hint: CACHE_HINT,
  },
  work: {
    name: "the build's file system",
    folder: paths.work,
    hint: 'give it more with --tmpfs-size SIZE, or build on disk with --no-tmpfs',
  },
  scratch: {
    name: "the builder's /tmp",
    folder: '/tmp',
    hint: 'it is a tmpfs of 512 MiB, for small things alone: please report what has filled it',
  },
} as const satisfies Record<string, Disk>;

const all: readonly Disk[] = Object.values(disks);

/** The disk of a folder that was written. Without a folder it was a step: it leaves its files on the tmpfs, or on the output disk. */
async function diskOf(folder: string | undefined): Promise<Disk> {
  const known = all.find((disk) => disk.folder === folder);
  const [wrote, output] = await Promise.all([folder ?? paths.root, paths.staging].map((place) => statfs(place).catch(() => undefined)));
  if (wrote !== undefined && wrote.blocks === output?.blocks && wrote.files === output.files) return disks.output;
  return known ?? { ...disks.work, folder: folder ?? disks.work.folder };
}

/** Whether a signal has ended a command, or what it ran: PID 1 of a sandbox ends with 128 and the signal's number, as a shell does. */
function isEndedBy(signal: keyof typeof constants.signals, { signal: own, commandExitCode }: CommandError): boolean {
  return own === signal || commandExitCode === 128 + constants.signals[signal];
}

/** Names the cause of a failed command more closely: a disk, or a fetch. `folder`: where it wrote; without, it was a step. */
export async function explain(error: unknown, folder?: string): Promise<unknown> {
  const known = diskCode(error);
  if (!(error instanceof CommandError) && known === undefined) return error;
  const where = await diskOf(folder);
  if (!(error instanceof CommandError)) return namedDisk(error, all, where);
  const { outputTail: tail, step, details } = error;
  const said = diskCodeOf(tail);
  const code = said?.code ?? (isEndedBy('SIGXFSZ', error) ? 'EFBIG' : undefined);
  // Not every program says why it could not write all.
  if (code !== undefined || isFull(where))
    return diskError(code ?? 'ENOSPC', all, { where: diskInLine(said?.line ?? '', all) ?? where, step, details, cause: error });
  const fault = tail.findLast((line) => fetchFault.test(line));
  if (fault !== undefined)
    return new FetchError(hideCredentials(fault.slice(3)), { step, details, hint: certificateHint(tail) ?? error.hint, cause: error });
  return error;
}

/** Runs a body and throws what `explain` makes of its failure. */
export async function explained<T>(where: string | undefined, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw await explain(error, where);
  }
}

/** The package that dpkg blames, if any. */
export function guiltyPackage(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    const match = /dpkg: error processing (?:package|archive) (\S+)/.exec(line);
    if (match?.[1] !== undefined) return match[1].replace(/^.*\/([^/_]+)_[^/]*$/, '$1');
  }
  return undefined;
}

/** A BuilderError with another message and the same details. */
export function renamed(error: BuilderError, message: string): BuilderError {
  return new BuilderError(message, { step: error.step, details: error.details, hint: error.hint, cause: error });
}
