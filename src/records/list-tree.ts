import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { type FileEntry, type FileType, MTREE_HEAD, mtreeLine } from './mtree.ts';

/** Bytes that are read at once. */
const CHUNK = 1024 ** 2;
/** Nanoseconds of a second. */
const NANO = 1_000_000_000n;

/**
 * The list of a tree that nobody changes meanwhile, line by line, in the order of its paths' bytes, by folders; other file
 * systems are left out, but not the places that they are mounted on. Synchronous: for a thread of its own.
 */
export function* treeLines(root: string): Generator<string, void> {
  const buffer = Buffer.allocUnsafe(CHUNK);
  const { dev } = lstatSync(root, { bigint: true });
  yield MTREE_HEAD;
  // Paths as a character for each byte: names need not be UTF-8. The last is next.
  const left = ['.'];
  for (let below = left.pop(); below !== undefined; below = left.pop()) {
    const file = Buffer.from(below === '.' ? root : `${root}${below.slice(1)}`, below === '.' ? 'utf8' : 'latin1');
    const stat = lstatSync(file, { bigint: true });
    yield mtreeLine(entryOf(below, file, stat, buffer));
    if (!stat.isDirectory() || stat.dev !== dev) continue;
    for (const name of readdirSync(file, 'latin1').sort().reverse()) left.push(`${below}/${name}`);
  }
}

/** The whole list of a tree. */
export function listTree(root: string): string {
  return [...treeLines(root)].join('');
}

function entryOf(path: string, file: Buffer, stat: BigIntStats, buffer: Buffer): FileEntry {
  const type = typeOf(stat);
  // Rounded towards the past, whatever the sign.
  const seconds = stat.mtimeNs >= 0n ? stat.mtimeNs / NANO : (stat.mtimeNs - NANO + 1n) / NANO;
  const common = {
    path,
    type,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    time: `${seconds}.${String(stat.mtimeNs - seconds * NANO).padStart(9, '0')}`,
  };
  if (type === 'link') return { ...common, link: readlinkSync(file, 'latin1') };
  if (type === 'char' || type === 'block') return { ...common, device: deviceText(stat.rdev) };
  if (type !== 'file') return common;
  return { ...common, links: Number(stat.nlink), size: Number(stat.size), sha256: sha256Sync(file, buffer) };
}

function typeOf(stat: BigIntStats): FileType {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'dir';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFIFO()) return 'fifo';
  if (stat.isCharacterDevice()) return 'char';
  return stat.isBlockDevice() ? 'block' : 'socket';
}

/** As makedev(3) of the GNU C library has put them together. */
function deviceText(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major},${minor}`;
}

function sha256Sync(file: Buffer, buffer: Buffer): string {
  const hash = createHash('sha256');
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (;;) {
      const count = readSync(descriptor, buffer, 0, buffer.length, null);
      if (count === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(descriptor);
  }
}
