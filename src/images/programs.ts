import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { chmod, readFile, stat, statfs } from 'node:fs/promises';
import { CommandError, PreflightError } from '../errors.ts';
import { allTools, findProgram, installCommand } from '../host/tools.ts';
import type { Reading, ReadRequest } from '../messages/reading.ts';
import { SANDBOX } from '../resources.ts';
import { sandboxed } from '../sandbox/namespaces.ts';
import { makeFolders } from '../system/files.ts';
import { formatSize } from '../system/memory.ts';
import type { Command, Runner } from '../system/runner.ts';
import { boundOf, LONGEST_RUN } from './bounds.ts';
import { ImageError } from './bytes.ts';
import type { Turn } from './image-tree.ts';
import { PseudoFileReader } from './pseudo-file.ts';
import type { Compression } from './recognise.ts';
import { SquashfsListing } from './squashfs-listing.ts';
import { DPKG_STATUS, LONGEST, OS_RELEASE } from './system-files.ts';
import { TarReader } from './tar.ts';

/** The folders of the sandbox of `inspect` and `diff`. */
export const READER = { source: `${SANDBOX}/source`, work: `${SANDBOX}/build`, scratch: `${SANDBOX}/build/scratch` } as const;

/** What reading an image needs. */
export interface ReadContext {
  readonly runner: Runner;
  readonly turn: Turn;
}

/** A file that may be compressed as a whole, without its first bytes. */
interface Source {
  readonly file: string;
  readonly skip: number;
  readonly compression: Compression | undefined;
}

/** How each is decompressed, from standard input to standard output. */
const decompressors: Readonly<Record<Compression, string>> = {
  gzip: 'gzip --decompress --stdout',
  xz: 'xz --decompress --stdout',
  // Made with long windows, too.
  zstd: 'zstd --decompress --stdout --quiet --long=31',
  bzip2: 'bzip2 --decompress --stdout',
  lz4: 'lz4 -d -c -q',
};

/** @throws PreflightError if a program is not there; it names the package that has it. */
async function needProgram(name: string): Promise<void> {
  if ((await findProgram(name)) !== undefined) return;
  const tool = allTools.find((one) => one.name === name);
  throw new PreflightError(`missing: ${name}`, { hint: installCommand([tool?.package ?? name]) });
}

/** A command in namespaces of its own: of the host it sees programs, of everything else the image and the folder to unpack to. */
function reader(label: string, args: readonly string[], rights: 'read' | 'unpack' = 'read'): Command {
  return sandboxed({ label, script: 'reader.sh', args, network: 'none', env: { RB_RIGHTS: rights }, timeout: LONGEST_RUN });
}

/** Makes the folder in which every command may put files. */
async function makeScratch(): Promise<void> {
  await makeFolders(READER.scratch, 0o755);
  await chmod(READER.scratch, 0o1777);
}

/** The command that hands the bytes of a source to standard output; `then`: a shell command that takes them instead. */
function bytesOfSource({ file, skip, compression }: Source, then?: { readonly command: string; readonly to: string }): Command {
  const script = `tail --bytes="+$2" -- "$1" | ${compression === undefined ? 'cat' : decompressors[compression]}`;
  const whole = `set -o pipefail; ${script}${then === undefined ? '' : ` ${then.command}`}`;
  return reader(compression ?? 'cat', ['bash', '-uc', whole, 'read', file, String(skip + 1), then?.to ?? '']);
}

async function needDecompressor({ compression }: Source): Promise<void> {
  if (compression !== undefined) await needProgram(decompressors[compression].split(' ')[0] ?? '');
}

/** A failure of a program that has read an image is that of the image. */
async function told<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const { bavail, bsize, blocks } = await statfs(READER.work);
    if (error instanceof CommandError && bavail * bsize < 1024 ** 2)
      throw new PreflightError(`does not fit into the ${formatSize(blocks * bsize)} of memory that are free`, { details: error.details });
    if (error instanceof CommandError)
      throw new ImageError(`cannot be read, it may be damaged: ${error.message}`, { details: error.details });
    throw error;
  }
}

/** Decompresses a file to the tmpfs; what is zero takes no memory. Returns the path. */
export async function expand(source: Source, { runner }: ReadContext): Promise<string> {
  await needDecompressor(source);
  await makeScratch();
  const to = `${READER.scratch}/image`;
  const bound = await boundOf(source.file);
  // head ends the program before its time, if there is more: that is said below.
  const command = `| head --bytes=${bound.bytes + 1} | dd bs=1M iflag=fullblock conv=sparse status=none of="$3" || (($(stat --format=%s "$3") > ${bound.bytes}))`;
  await told(() => runner.run(bytesOfSource(source, { command, to })));
  bound.take((await stat(to)).size);
  return to;
}

/** The first bytes of what is compressed, as many as there are. */
export async function beginOf(source: Source, length: number, { runner }: ReadContext): Promise<Buffer> {
  await needDecompressor(source);
  await makeScratch();
  const to = `${READER.scratch}/begin`;
  // The end of head ends the program before its time: that is no failure. Without a byte, there was another one.
  const command = `2>/dev/null | head --bytes=${length} >"$3" || [[ -s $3 ]]`;
  await told(() => runner.run(bytesOfSource(source, { command, to })));
  return readFile(to);
}

/** Reads a tarball in one go. */
export async function readTarball(source: Source, { wantsFiles }: ReadRequest, { runner }: ReadContext): Promise<Partial<Reading>> {
  await needDecompressor(source);
  const wanted = new Map([[DPKG_STATUS, LONGEST.dpkgStatus], ...OS_RELEASE.map((name): [string, number] => [name, LONGEST.osRelease])]);
  const tar = new TarReader({ hashes: wantsFiles, wanted });
  const bound = source.compression === undefined ? undefined : await boundOf(source.file);
  await told(() =>
    runner.stream(bytesOfSource(source), (chunk) => {
      bound?.take(chunk.length);
      tar.push(chunk);
    }),
  );
  tar.end();
  const contentOf = (names: readonly string[]): string | null =>
    names.map((name) => tar.contents.get(name)?.toString('utf8')).find((text) => text !== undefined) ?? null;
  return {
    osRelease: contentOf(OS_RELEASE),
    dpkgStatus: contentOf([DPKG_STATUS]),
    totals: tar.totals(),
    files: wantsFiles ? tar.list() : null,
    notes: [
      ...(tar.entries.has('./oci-layout') || tar.entries.has('./repositories')
        ? ['it is an image of a container: its layers are not looked at']
        : []),
      ...(wantsFiles && tar.sparse > 0 ? [`the content of ${tar.sparse} sparse files is not compared`] : []),
    ],
  };
}

/** Reads a squashfs by unsquashfs. */
export async function readSquashfs(
  file: string,
  offset: number,
  { wantsFiles }: ReadRequest,
  { runner }: ReadContext,
): Promise<Pick<Reading, 'osRelease' | 'dpkgStatus' | 'totals' | 'files' | 'notes'>> {
  await needProgram('unsquashfs');
  const at = ['-offset', String(offset)];
  const text = async (names: readonly string[], limit: number): Promise<string | null> => {
    for (const name of names) {
      // It ends with 2 if there is no such file.
      const command = { ...reader('unsquashfs', ['unsquashfs', ...at, '-cat', file, name]), okExitCodes: [2] };
      const found: Buffer[] = [];
      let size = 0;
      await told(() =>
        runner.stream(command, (chunk) => {
          size += chunk.length;
          if (size > limit) throw new ImageError(`is damaged: ${name} has more than ${limit} bytes`);
          found.push(chunk);
        }),
      );
      if (size > 0) return Buffer.concat(found).toString('utf8');
    }
    return null;
  };
  const listing = new SquashfsListing();
  // It reads all of the structure.
  const listed = ['unsquashfs', ...at, '-quiet', '-no-progress', '-llnumeric', file];
  await told(() => runner.stream(reader('unsquashfs', listed), (chunk) => listing.push(chunk)));
  const list = new PseudoFileReader();
  // What is opened by a name must not be a socket.
  const script = 'set -o pipefail; unsquashfs "$@" | cat';
  const args = ['bash', '-c', script, 'read', ...at, '-quiet', '-no-progress', '-no-xattrs', '-pf', '/dev/stdout', file];
  const bound = await boundOf(file);
  if (wantsFiles)
    await told(() =>
      runner.stream(reader('unsquashfs', args), (chunk) => {
        bound.take(chunk.length);
        list.push(chunk);
      }),
    );
  const files = wantsFiles ? list.list() : null;
  if (wantsFiles) listing.check(list.entries);
  return {
    osRelease: await text(OS_RELEASE, LONGEST.osRelease),
    dpkgStatus: await text([DPKG_STATUS], LONGEST.dpkgStatus),
    totals: listing.totals,
    files,
    notes: [],
  };
}

/** Unpacks an EROFS; returns the folder. */
export async function unpackErofs(file: string, { isRoot }: ReadRequest, { runner }: ReadContext): Promise<string> {
  await needProgram('fsck.erofs');
  await makeScratch();
  const folder = `${READER.scratch}/erofs`;
  try {
    await told(() => runner.run(reader('fsck.erofs', ['fsck.erofs', `--extract=${folder}`, '--no-preserve', file], 'unpack')));
  } catch (error) {
    if (isRoot || !(error instanceof ImageError)) throw error;
    // It stops at the first device.
    throw new PreflightError('is a compressed EROFS: to unpack its devices takes root', { details: error.details });
  }
  return folder;
}

/** The content of a file that was unpacked. No name leads out of the folder, and none to anything but a file. */
export function* piecesOf(folder: string, path: string): Generator<Buffer> {
  const name = Buffer.concat([Buffer.from(folder), Buffer.from(path.slice(1), 'latin1')]);
  const descriptor = openUnpacked(name);
  try {
    if (descriptor === undefined || !fstatSync(descriptor).isFile())
      throw new ImageError(`is damaged: ${JSON.stringify(path)} was not unpacked as a file`);
    for (;;) {
      const buffer = Buffer.allocUnsafe(1024 ** 2);
      const count = readSync(descriptor, buffer, 0, buffer.length, null);
      if (count === 0) return;
      yield buffer.subarray(0, count);
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Opens what has this very name, without a link in it; undefined: nothing has. A pipe is not waited for. */
function openUnpacked(name: Buffer): number | undefined {
  try {
    if (!realpathSync.native(name, 'buffer').equals(name)) return undefined;
    return openSync(name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}
