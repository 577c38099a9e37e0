import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { type FileEntry, type FileType, MTREE_HEAD, mtreeLine } from '../records/mtree.ts';
import { ImageError } from './bytes.ts';

/** An inode of a file system in an image. */
export interface Inode {
  readonly type: FileType;
  /** The permissions, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, and nine digits behind a point. */
  readonly time: string;
  readonly links: number;
  readonly size: number;
  /** `MAJOR,MINOR` of a device. */
  readonly device?: string;
}

/** A name in a folder: a character for each byte. */
export interface Name {
  readonly name: string;
  readonly inode: number;
}

/** A file system in an image, read without being mounted. */
export interface ImageTree {
  readonly root: number;
  /** Bytes of the image. */
  readonly capacity: number;
  /** What of the root is no part of the tree that was put into it. */
  readonly own: readonly string[];
  inode(number: number): Inode;
  /** The names in a folder, `.` and `..` left out. */
  names(number: number): Name[];
  /** The bytes of a file or a link, in pieces. Undefined: they are compressed in a way that is not read here. */
  content(number: number): Iterable<Buffer> | undefined;
}

/** The names in a folder without `.` and `..`. What no kernel would make, and what would lead elsewhere, is damage. */
export function checkedNames(folder: number, names: readonly Name[]): Name[] {
  const seen = new Set<string>();
  for (const { name, inode } of names) {
    if (name === '' || /[/\0]/.test(name) || (name === '.' && inode !== folder))
      throw new ImageError(`is damaged: a folder has the name ${JSON.stringify(name)}`);
    if (seen.has(name)) throw new ImageError(`is damaged: a folder has the name ${JSON.stringify(name)} twice`);
    seen.add(name);
  }
  return names.filter(({ name }) => name !== '.' && name !== '..');
}

/** Names that a tree may have; what says that there are more leads in circles. */
export const MOST_NAMES = 5_000_000;
/** Bytes of a file that is larger than its image: most of it was never written. A larger one is not read. */
const MOST_ZEROS = 4 * 1024 ** 3;
/** Bytes of all files that are read of an image beside eight times its own: sparse files may say that they have any number of them. */
const MOST_CONTENT = 16 * 1024 ** 3;
/** Entries after which others get their turn. */
const TURN = 200;
/** Pieces of a file, of at most 1 MiB, after which they do. */
const PIECES = 64;
/** Links that lead from one to the next. */
const MOST_LINKS = 8;
/** Bytes of a link. */
const LONGEST_LINK = 4096;

/** Called now and then while something long is done; throws when it is to end. */
export type Turn = () => void;

/** All entries of a tree: files with their digests, a name on each line as mtree(5) has it. */
export async function listImage(tree: ImageTree, turn: Turn): Promise<string> {
  const lines = [MTREE_HEAD];
  const digestOf = digests(tree, turn);
  for await (const found of walk(tree, turn)) {
    const { path, number, inode } = found;
    const { type, mode, uid, gid, time, links, size, device } = inode;
    const common = { path, type, mode, uid, gid, time };
    const more: Partial<FileEntry> =
      type === 'file'
        ? { links, size, ...(size > Math.max(tree.capacity, MOST_ZEROS) ? {} : { sha256: await digestOf(found) }) }
        : type === 'link'
          ? { link: linkOf(tree, number, inode) }
          : device === undefined
            ? {}
            : { device };
    lines.push(mtreeLine({ ...common, ...more }));
  }
  return lines.join('');
}

/** What a tree holds; a file with several names counts once. */
export interface Totals {
  readonly entries: number;
  readonly files: number;
  /** Of files, in bytes. */
  readonly bytes: number;
}

/** Counts the entries of a tree. */
export async function countImage(tree: ImageTree, turn: Turn): Promise<Totals> {
  const totals = { entries: 0, files: 0, bytes: 0 };
  const seen = new Set<number>();
  for await (const { number, inode } of walk(tree, turn)) {
    totals.entries += 1;
    if (inode.type !== 'file' || seen.has(number)) continue;
    if (inode.links > 1) seen.add(number);
    totals.files += 1;
    totals.bytes += inode.size;
  }
  return totals;
}

interface Found {
  readonly path: string;
  readonly number: number;
  readonly inode: Inode;
}

/** Every name of a tree, folders before what is in them. A folder has one name: so none is read twice. */
async function* walk(tree: ImageTree, turn: Turn): AsyncGenerator<Found> {
  const folders = new Set<number>();
  const stack: { path: string; number: number }[] = [{ path: '.', number: tree.root }];
  let folderBytes = 0;
  for (let count = 1; ; count += 1) {
    const next = stack.pop();
    if (next === undefined) return;
    const { path, number } = next;
    if (count % TURN === 0) {
      await setImmediate();
      turn();
    }
    const inode = tree.inode(number);
    yield { path, number, inode };
    if (inode.type !== 'dir') continue;
    if (folders.has(number)) throw new ImageError(`is damaged: the folder ${JSON.stringify(path)} has another name`);
    folders.add(number);
    folderBytes += inode.size;
    if (folderBytes > tree.capacity) throw new ImageError(`is damaged: its folders have ${folderBytes} bytes`);
    const names = tree.names(number).filter(({ name }) => path !== '.' || !tree.own.includes(name));
    if (count + stack.length + names.length > MOST_NAMES) throw new ImageError(`has more than ${MOST_NAMES} names`);
    for (const { name, inode: child } of names.sort((a, b) => (a.name < b.name ? 1 : -1)))
      stack.push({ path: `${path}/${name}`, number: child });
  }
}

/** The digests of files, each read once; all of them together are not read without end. */
function digests(tree: ImageTree, turn: Turn): (file: Found) => Promise<string> {
  const known = new Map<number, string>();
  const most = MOST_CONTENT + 8 * tree.capacity;
  let bytes = 0;
  let pieces = 0;
  return async ({ path, number, inode: { size } }) => {
    const before = known.get(number);
    if (before !== undefined) return before;
    const content = tree.content(number);
    if (content === undefined) throw new ImageError(`${path} is compressed in a way that cannot be read`);
    bytes += size;
    if (bytes > most) throw new ImageError(`cannot be compared: its files have more than ${most} bytes, far more than it has itself`);
    const hash = createHash('sha256');
    for (const piece of content) {
      hash.update(piece);
      pieces += 1;
      if (pieces % PIECES > 0) continue;
      await setImmediate();
      turn();
    }
    const digest = hash.digest('hex');
    known.set(number, digest);
    return digest;
  };
}

/** The files whose content the tree cannot read by itself: their inodes, with a path of each. */
export async function unreadable(tree: ImageTree, turn: Turn): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const { path, number, inode } of walk(tree, turn))
    if (inode.type === 'file' && tree.content(number) === undefined) found.set(number, path);
  return found;
}

function linkOf(tree: ImageTree, number: number, { size }: Inode): string {
  if (size > LONGEST_LINK) throw new ImageError(`has a link of ${size} bytes`);
  return Buffer.concat([...(tree.content(number) ?? [])]).toString('latin1');
}

/** Reads a file of a tree, and follows links as if the tree were `/`; undefined: there is none, or it is larger than `limit`. */
export function fileOfImage(tree: ImageTree, file: string, limit: number): Buffer | undefined {
  let parts = file.split('/');
  let place: number[] = [tree.root];
  // A link may lead through one folder many times.
  const known = new Map<number, Name[]>();
  for (let links = 0; parts.length > 0; ) {
    const [part = '', ...rest] = parts;
    parts = rest;
    const folder = place.at(-1) ?? tree.root;
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (place.length > 1) place.pop();
      continue;
    }
    if (tree.inode(folder).type !== 'dir') return undefined;
    const names = known.get(folder) ?? tree.names(folder);
    known.set(folder, names);
    const found = names.find(({ name }) => name === part);
    if (found === undefined) return undefined;
    const inode = tree.inode(found.inode);
    if (inode.type !== 'link') place.push(found.inode);
    else {
      links += 1;
      if (links > MOST_LINKS) return undefined;
      const link = linkOf(tree, found.inode, inode);
      if (link.startsWith('/')) place = [tree.root];
      parts = [...link.split('/'), ...parts];
    }
  }
  const number = place.at(-1) ?? tree.root;
  const { type, size } = tree.inode(number);
  if (type !== 'file' || size > limit) return undefined;
  return Buffer.concat([...(tree.content(number) ?? [])]);
}

/** The type that a mode says, as Unix has numbered them. */
export function typeOfMode(mode: number): FileType {
  const types: Readonly<Record<number, FileType>> = {
    1: 'fifo',
    2: 'char',
    4: 'dir',
    6: 'block',
    8: 'file',
    10: 'link',
    12: 'socket',
  };
  const type = types[mode >> 12];
  if (type === undefined) throw new ImageError(`is damaged: there is an inode of the mode ${mode.toString(8)}`);
  return type;
}

/** `MAJOR,MINOR` of a device number as Linux writes it in 32 bits. */
export function deviceOf(number: number): string {
  return `${(number >>> 8) & 0xfff},${(number & 0xff) | ((number >>> 12) & 0xfff00)}`;
}

/** A time as lists have it. */
export function timeText(seconds: number | bigint, nanoseconds = 0): string {
  if (nanoseconds > 999_999_999) throw new ImageError('is damaged: a time has more than a second of nanoseconds');
  return `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}
