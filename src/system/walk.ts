import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync, readSync } from 'node:fs';

/** Bytes that are read at once. */
const CHUNK = 1024 ** 2;

/** An entry of a tree that is walked. */
export interface Walked {
  /** `.` is the root, all others begin with `./`; a character for each byte (latin1): names need not be UTF-8. */
  readonly path: string;
  /** The same as the system takes it. */
  readonly file: Buffer;
  readonly stat: BigIntStats;
}

/**
 * All entries of a tree, in the order of their paths' bytes, by folders. Other file systems are left out, but not the places
 * that they are mounted on. No link is followed. Synchronous: for a thread of its own.
 */
export function* walk(root: string): Generator<Walked, void> {
  const { dev } = lstatSync(root, { bigint: true });
  // The last is next.
  const left = ['.'];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const file = Buffer.from(path === '.' ? root : `${root}${path.slice(1)}`, path === '.' ? 'utf8' : 'latin1');
    const stat = lstatSync(file, { bigint: true });
    yield { path, file, stat };
    if (!stat.isDirectory() || stat.dev !== dev) continue;
    for (const name of readdirSync(file, 'latin1').sort().reverse()) left.push(`${path}/${name}`);
  }
}

/** SHA-256 of files, one after the other, which nobody changes meanwhile; a link is not followed. */
export function hasher(): (file: string | Buffer) => string {
  const buffer = Buffer.allocUnsafe(CHUNK);
  return (file) => {
    const hash = createHash('sha256');
    // What has become a pipe would wait for somebody who writes.
    const descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      for (;;) {
        const count = readSync(descriptor, buffer, 0, buffer.length, null);
        if (count === 0) return hash.digest('hex');
        hash.update(buffer.subarray(0, count));
      }
    } finally {
      closeSync(descriptor);
    }
  };
}

/** What an entry is, by the word that mtree(5) has for it. */
export function typeOf(stat: BigIntStats): 'file' | 'dir' | 'link' | 'fifo' | 'char' | 'block' | 'socket' {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'dir';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isCharacterDevice()) return 'char';
  return stat.isBlockDevice() ? 'block' : 'socket';
}
