import { readlinkSync } from 'node:fs';
import { hasher, typeOf, type Walked, walk } from '../system/walk.ts';
import { type FileEntry, MTREE_HEAD, mtreeLine } from './mtree.ts';

/** Nanoseconds of a second. */
const NANO = 1_000_000_000n;

/**
 * The list of a tree that nobody changes meanwhile, line by line, in the order of its paths' bytes, by folders; other file
 * systems are left out, but not the places that they are mounted on. `unlisted`: inodes of files that get no digest. Synchronous: for a
 * thread of its own.
 */
export function* treeLines(root: string, unlisted: ReadonlySet<string> = new Set()): Generator<string, void> {
  const sha256 = hasher();
  yield MTREE_HEAD;
  for (const entry of walk(root)) yield mtreeLine(entryOf(entry, unlisted.has(String(entry.stat.ino)) ? undefined : sha256));
}

/** The whole list of a tree. */
export function listTree(root: string): string {
  return [...treeLines(root)].join('');
}

/** Without `sha256` there is no digest. */
function entryOf({ path, file, stat }: Walked, sha256: ((file: Buffer) => string) | undefined): FileEntry {
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
  const digest = sha256 === undefined ? {} : { sha256: sha256(file) };
  return { ...common, links: Number(stat.nlink), size: Number(stat.size), ...digest };
}

/** As makedev(3) of the GNU C library has put them together. */
function deviceText(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major},${minor}`;
}
