import type { KeyObject } from 'node:crypto';
import { BuilderError, UsageError } from '../errors.ts';
import { hasCode, sha256File } from '../system/files.ts';
import { type HeldFolder, isPlainName } from '../system/held-folder.ts';
import { formatSize } from '../system/memory.ts';
import { createRunner } from '../system/runner.ts';
import { BLOCK, FormatError } from '../targets/realmfs-format.ts';
import { type RealmfsImage, verifyImage } from '../targets/realmfs-image.ts';

/** `DIGEST  NAME`, as sha256sum writes it. */
export const SUMS_LINE = /^([0-9a-f]{64}) [ *](.+)$/;

/** Bytes of SHA256SUMS: a line for each of some ten results. */
const LONGEST = 16 * 1024 ** 2;

/**
 * SHA256SUMS of a folder.
 * @throws BuilderError if it is no regular file, or too long.
 */
export async function readSumsFile(folder: HeldFolder): Promise<Buffer> {
  const file = folder.shown('SHA256SUMS');
  const bytes = await named(file, () => folder.read('SHA256SUMS', LONGEST));
  if (bytes === undefined) throw new BuilderError(`${file} is no regular file of at most ${formatSize(LONGEST)}`);
  return bytes;
}

/**
 * The files that SHA256SUMS of a folder names, with their digests.
 * @throws BuilderError if a line is none, or names something outside its folder.
 */
export function parseSums(folder: HeldFolder, bytes: Buffer): Map<string, string> {
  const file = folder.shown('SHA256SUMS');
  const text = bytes.toString('utf8');
  const sums = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, digest = '', name = ''] = SUMS_LINE.exec(line) ?? [];
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (!isPlainName(name) || /[\u0000-\u001f\u007f]/.test(name))
      throw new BuilderError(`${file} has a line that is none: ${JSON.stringify(line)}`);
    sums.set(name, digest);
  }
  if (sums.size === 0) throw new BuilderError(`${file} names nothing`);
  return sums;
}

/** Checks all that SHA256SUMS of a folder, whose bytes are given, names; with a key, the signatures of the RealmFS images among it, too. Returns what is said of it. */
export async function verifySums(folder: HeldFolder, sums: Buffer, key: KeyObject | undefined, signal: AbortSignal): Promise<string> {
  const bad: string[] = [];
  let said = '';
  let isSigned = false;
  for (const [name, digest] of parseSums(folder, sums)) {
    const image = folder.at(name);
    const is = await sha256File(image, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      return hasCode(error, 'ENOENT') ? 'missing' : 'unreadable';
    });
    if (is !== digest) bad.push(`${name}: ${is.length === 64 ? 'is not what SHA256SUMS says' : is}`);
    else if (key === undefined || !/-realmfs(?:-xz)?\.img$/.test(name)) said += `${name}: good\n`;
    else {
      const shown = folder.shown(name);
      said += describeImage(shown, await named(shown, () => verifyWhole(image, key, signal)), true);
      isSigned = true;
    }
  }
  if (bad.length > 0) throw new BuilderError(bad.join('; '));
  if (key !== undefined && !isSigned) throw new BuilderError(`${folder.shown('SHA256SUMS')} names no RealmFS image that could be signed`);
  return said;
}

/**
 * Checks all of an image, whether it is compressed or not.
 * @throws FormatError if it is not good.
 */
export async function verifyWhole(file: string, key: KeyObject | undefined, signal: AbortSignal): Promise<RealmfsImage> {
  const image = await verifyImage(file, key, signal);
  if (image.isCompressed) await verifyCompressed(file, image, signal);
  return image;
}

/** What comes from others is decompressed without any right on this machine. */
const AS_NOBODY = [
  'setpriv',
  '--pdeathsig',
  'KILL',
  '--reuid',
  '65534',
  '--regid',
  '65534',
  '--clear-groups',
  '--inh-caps',
  '-all',
  '--no-new-privs',
];

/** The exit code of a program whose output nobody wants any more: 128 and SIGPIPE. */
const BROKEN_PIPE = 141;

/** A block of zeros, then the data of the checksum. */
async function verifyCompressed(file: string, { info }: RealmfsImage, signal: AbortSignal): Promise<void> {
  const script =
    'tail --bytes="+$2" -- "$1" | "${@:5}" xz --decompress --stdout | head --bytes="$4" | { dd bs="$3" count=1 iflag=fullblock status=none | tr -d "\\0" | wc --bytes; sha256sum; }';
  const args = [
    '-euo',
    'pipefail',
    '-c',
    script,
    'bash',
    file,
    String(BLOCK + 1),
    String(BLOCK),
    // One byte more than there should be is wrong already.
    String((info.blocks + 1) * BLOCK + 1),
    ...(process.getuid?.() === 0 ? AS_NOBODY : ['env']),
  ];
  const lines: string[] = [];
  const runner = createRunner({ report: () => {}, signal, currentStep: () => '' });
  const result = await runner.attempt({ label: 'xz', file: 'bash', args, onLine: (line) => lines.push(line.trim()) });
  if (result.exitCode === BROKEN_PIPE) throw new FormatError('the data becomes more than the header says');
  if (result.exitCode !== 0) throw new FormatError(`the data cannot be decompressed: ${result.tail.at(-1) ?? 'xz was killed'}`);
  if (lines[0] !== '0') throw new FormatError('the data does not begin with a block of zeros');
  if (lines[1]?.slice(0, info.shasum.length) !== info.shasum) throw new FormatError('the data is not what the checksum in the header says');
}

/** What is said of an image that was found good. */
export function describeImage(file: string, { info, isSigned, isCompressed, hasHashTree }: RealmfsImage, isChecked: boolean): string {
  const signed = isChecked ? 'signed by the key' : isSigned ? 'signed, by whom was not asked (--key)' : 'not signed';
  return `${file}: ${info.name}, channel ${info.channel}, ${info.blocks} blocks, ${isCompressed ? 'compressed, checksum of the data' : hasHashTree ? 'data and hash tree' : 'data'} good, ${signed}\n`;
}

/** Runs something on a file; a fault of the file says which one it is. */
export async function named<T>(file: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof FormatError || error instanceof SyntaxError) throw new BuilderError(`${file}: ${error.message}`, { cause: error });
    if (error instanceof Error && 'code' in error && 'syscall' in error)
      throw new UsageError(`${file}: ${error.message.replace(/, .*$/, '')}`);
    throw error;
  }
}
