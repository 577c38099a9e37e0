import { createHash, randomUUID } from 'node:crypto';
import { closeSync, constants, createReadStream, createWriteStream, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { chown, type FileHandle, mkdir, open, rename, rmdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { naming } from './disk-faults.ts';
import { onDisk } from './names.ts';

/** True if nothing stands at the path; a dangling link counts as something. */
export async function isMissing(file: string): Promise<boolean> {
  return (await statOrUndefined(file)) === undefined;
}

/*
 * What looks at one entry, or reads one small file, does so at once: a build does it thousands of times, and the way to another thread
 * and back takes longer than the call.
 */

/** lstat, or undefined where nothing is. Other errors are thrown. */
export async function statOrUndefined(file: string) {
  try {
    return lstatSync(onDisk(file), { throwIfNoEntry: false });
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Whether a name is that of a folder, or of a link to one. */
export async function isFolder(name: string): Promise<boolean> {
  return stat(name).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** For a folder that need not be there: what it holds then. Other errors are thrown. */
export function noneIfMissing(error: unknown): never[] {
  if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
  throw error;
}

/** True if the error carries this `code` (`ENOENT`, ...). */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Bytes up to which a file is read at once. */
const AT_ONCE = 1024 ** 2;

/** Reads a file from a place to its end; `size`: how much that should be. The pieces lie in the same memory, one after the other: a stream takes new memory for each. */
export async function readInPieces(
  handle: FileHandle,
  start: number,
  take: (piece: Buffer) => void,
  size = Number.POSITIVE_INFINITY,
): Promise<void> {
  // One byte more than there should be: then its end is seen by the same call.
  const buffer = Buffer.allocUnsafe(Math.min(AT_ONCE, size + 1));
  for (let at = start; ; ) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    take(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/** SHA-256 of a regular file as hex; a link is not followed. `signal` ends it, and its reason is thrown. */
export async function sha256File(file: string, signal?: AbortSignal): Promise<string> {
  const small = readForeignNow(file, AT_ONCE);
  const hash = createHash('sha256');
  if (small !== undefined && small.bytes.length === small.stat.size) return hash.update(small.bytes).digest('hex');
  // A pipe would wait for somebody who writes.
  const handle = await open(onDisk(file), FOREIGN);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error(`${file} is no regular file`);
    let left = stat.size;
    await readInPieces(
      handle,
      0,
      (piece) => {
        signal?.throwIfAborted();
        left -= piece.length;
        if (left < 0) throw new Error(`${file} grows while it is read`);
        hash.update(piece);
      },
      stat.size,
    );
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}

/** Milliseconds between two looks whether a file has grown. */
const LOOK_AGAIN = 5;

/** The SHA-256 of a file that is written from its beginning to its end meanwhile, until `written` is settled. */
export async function sha256WhileWritten(file: string, written: Promise<unknown>): Promise<string> {
  const state = { isWritten: false };
  const end = written.then(
    () => Object.assign(state, { isWritten: true }),
    () => Object.assign(state, { isWritten: true }),
  );
  const pause = (): Promise<unknown> => Promise.race([end, new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN))]);
  while (!state.isWritten && (await isMissing(file))) await pause();
  const hash = createHash('sha256');
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.allocUnsafe(AT_ONCE);
    for (;;) {
      const wasWritten = state.isWritten;
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead > 0) hash.update(buffer.subarray(0, bytesRead));
      else if (wasWritten) return hash.digest('hex');
      else await pause();
    }
  } finally {
    await handle.close();
  }
}

/**
 * Reads a file that somebody else could have put there: no link, no pipe, no device, and no more than
 * `limit` bytes. Undefined if it is anything else, or nothing.
 */
export async function readForeign(file: string, limit = 64 * 1024 ** 2): Promise<Buffer | undefined> {
  return readForeignNow(file, limit)?.bytes;
}

/** The same at once, and what is known of the file. */
export function readForeignNow(file: string, limit: number): { readonly bytes: Buffer; readonly stat: Stats } | undefined {
  let handle: number;
  try {
    handle = openSync(onDisk(file), FOREIGN);
  } catch (error) {
    return notOpened(error);
  }
  try {
    const found = fstatSync(handle);
    const bytes = found.isFile() && found.size <= limit ? readBounded(handle, found.size, limit) : undefined;
    return bytes === undefined ? undefined : { bytes, stat: found };
  } finally {
    closeSync(handle);
  }
}

/** Reads a file to its end, which may be further away by now than it was; undefined if that is more than `limit` bytes. */
function readBounded(handle: number, size: number, limit: number): Buffer | undefined {
  let buffer = Buffer.allocUnsafe(size + 1);
  for (let length = 0; ; ) {
    const bytesRead = readSync(handle, buffer, length, buffer.length - length, length);
    length += bytesRead;
    if (length > limit) return undefined;
    if (bytesRead === 0) return buffer.subarray(0, length);
    if (length === buffer.length) buffer = Buffer.concat([buffer], Math.min(2 * length, limit + 1));
  }
}

/** How a file is opened that somebody else could have put there. */
const FOREIGN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** For a place where nothing is, or a link, or a pipe or socket without another end. Other errors are thrown. */
function notOpened(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].some((code) => hasCode(error, code))) throw error;
}

/** Copies a file that somebody else could have put there: no link, no pipe, no device. False: it is anything else, or nothing. */
export async function copyForeign(from: string, to: string): Promise<boolean> {
  const copied = await withForeign(from, async (handle) => {
    await naming(to, pipeline(handle.createReadStream({ highWaterMark: AT_ONCE, autoClose: false }), createWriteStream(to)));
    return true;
  });
  return copied === true;
}

/** Opens a regular file that somebody else could have put there, and nothing else; undefined if it is anything else, or nothing. */
export async function withForeign<T>(file: string, body: (handle: FileHandle) => Promise<T>): Promise<T | undefined> {
  const handle = await open(onDisk(file), FOREIGN).catch(notOpened);
  if (handle === undefined) return undefined;
  try {
    return (await handle.stat()).isFile() ? await body(handle) : undefined;
  } finally {
    await handle.close();
  }
}

/** Whether one of the texts stands anywhere in a file. */
export async function holds(file: string, texts: readonly string[]): Promise<boolean> {
  const small = readForeignNow(file, AT_ONCE)?.bytes;
  if (small !== undefined) return texts.some((wanted) => small.includes(wanted));
  const overlap = Math.max(...texts.map((text) => text.length));
  let before = '';
  for await (const chunk of createReadStream(onDisk(file), { encoding: 'latin1', highWaterMark: AT_ONCE })) {
    const text = before + String(chunk);
    if (texts.some((wanted) => text.includes(wanted))) return true;
    before = text.slice(-overlap);
  }
  return false;
}

/** Brings a file or folder to the disk. */
export async function syncPath(file: string): Promise<void> {
  const handle = await open(file, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a whole file so that its name never stands for a part of it. It belongs to `owner` before it has its name. */
export async function writeWhole(file: string, text: string | Buffer, mode = 0o644, owner?: { uid: number; gid: number }): Promise<void> {
  const part = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}.part`);
  try {
    const handle = await open(part, 'wx', mode);
    try {
      await naming(part, handle.writeFile(text));
      if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
      await naming(part, handle.sync());
    } finally {
      await handle.close();
    }
    await rename(part, file);
  } catch (error) {
    // On a full disk a part would take what little is left.
    await removeFile(part).catch(() => {});
    throw error;
  }
}

/** Gives a regular file to the user, and nothing else: no link, no pipe. */
export async function giveTo(file: string, owner: { uid: number; gid: number } | undefined): Promise<void> {
  if (owner === undefined) return;
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!(await handle.stat()).isFile()) throw new Error(`${file} is no regular file`);
    await handle.chown(owner.uid, owner.gid);
  } finally {
    await handle.close();
  }
}

/** Makes an empty folder with a random name below `parent`, mode 0700. Who made it removes it. */
export async function makeFolder(parent: string, prefix: string, postfix: string): Promise<string> {
  // Loaded here: at its import it looks at TMPDIR, and throws where that names no folder.
  const { default: tmp } = await import('tmp-promise');
  const { path: made } = await tmp.dir({ tmpdir: parent, prefix, postfix, mode: 0o700, keep: true, unsafeCleanup: false });
  await chown(made, 0, 0);
  return made;
}

/**
 * Makes a folder and those above it that are missing. Returns the first that it has made, if any. Node's own way of doing it
 * never ends where the kernel says of a name below an existing folder that there is no such thing, as in /proc, and speaks of a missing
 * folder where the disk is full.
 */
export async function makeFolders(folder: string, mode: number): Promise<string | undefined> {
  const missing: string[] = [];
  for (let at = folder; (await statOrUndefined(at)) === undefined; at = path.dirname(at)) missing.unshift(at);
  for (const each of missing) {
    try {
      await mkdir(each, mode);
    } catch (error) {
      // Somebody else was faster.
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
  return missing[0];
}

/** Removes a folder if it is empty. True if it is gone. */
export async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, 'ENOTEMPTY') || hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Removes a file; it is no fault if there is none. */
export async function removeFile(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}
