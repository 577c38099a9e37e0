import { type Bytes, ImageError } from './bytes.ts';
import { textField, uuidText } from './ext.ts';
import { checkedNames, deviceOf, type ImageTree, type Inode, type Name, timeText, typeOfMode } from './image-tree.ts';

/*
 * EROFS, read from the image itself: all of its structure, and files that are not compressed. The layout is that of the
 * kernel's Documentation/filesystems/erofs.
 */

const SUPERBLOCK = { offset: 1024, length: 128 };
const MAGIC = 0xe0f5e1e2;
const SLOT = 32;
/** Bytes that are handed on at once. */
const PIECE = 1024 ** 2;

/** How the data of an inode lies. */
const LAYOUT = { plain: 0, compressedFull: 1, inline: 2, compressed: 3, chunks: 4 } as const;
const CHUNK_INDEXES = 0x20;
const HOLE = 0xffffffff;

/** What the superblock says. */
export interface ErofsFacts {
  readonly uuid: string;
  readonly label: string;
  readonly blockSize: number;
  readonly blocks: number;
  readonly inodes: number;
  /** Seconds since 1970. */
  readonly made: number;
}

interface Superblock {
  readonly facts: ErofsFacts;
  readonly root: number;
  readonly metaBlock: number;
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

function superblockOf(bytes: Bytes): Superblock {
  const block = bytes.at(SUPERBLOCK.offset, SUPERBLOCK.length);
  if (block.readUInt32LE(0) !== MAGIC) throw new ImageError('is no EROFS file system');
  const bits = block.readUInt8(12);
  if (bits < 9 || bits > 16) throw new ImageError('is damaged: its superblock cannot be');
  const seconds = block.readBigUInt64LE(24);
  return {
    facts: {
      uuid: uuidText(block.subarray(48, 64)),
      label: textField(block, 64, 16),
      blockSize: 2 ** bits,
      blocks: block.readUInt32LE(36),
      inodes: Number(block.readBigUInt64LE(16)),
      made: Number(seconds),
    },
    root: block.readUInt16LE(14),
    metaBlock: block.readUInt32LE(40),
    seconds,
    nanoseconds: block.readUInt32LE(32),
  };
}

/** What the superblock says of a file system. */
export function erofsFacts(bytes: Bytes): ErofsFacts {
  const { facts } = superblockOf(bytes);
  const size = facts.blocks * facts.blockSize;
  if (size > bytes.size) throw new ImageError(`is cut off: the file system has ${size} bytes, and ${bytes.size} are there`);
  return facts;
}

/** Features that change how compressed data lies, or nothing that is read here. */
const KNOWN_FEATURES = 0x77;

/** What stands against reading the tree of a file system here; undefined: nothing. */
export function erofsObstacle(bytes: Bytes): string | undefined {
  const features = bytes.at(SUPERBLOCK.offset, SUPERBLOCK.length).readUInt32LE(80);
  const unknown = (features & ~KNOWN_FEATURES) >>> 0;
  return unknown === 0 ? undefined : `features 0x${unknown.toString(16)}`;
}

interface RawInode extends Inode {
  readonly layout: number;
  /** The first block, or what stands in its place. */
  readonly place: number;
  /** Where data lies that is kept with the inode. */
  readonly behind: number;
}

/** The tree of a file system. */
export function erofsTree(bytes: Bytes): ImageTree {
  const superblock = superblockOf(bytes);
  const { blockSize } = superblock.facts;
  const read = (number: number): RawInode => inodeOf(bytes, superblock, number);
  const content = (number: number): Iterable<Buffer> | undefined => {
    const inode = read(number);
    const { layout, size, place, behind } = inode;
    if (size === 0) return [];
    if (layout === LAYOUT.compressed || layout === LAYOUT.compressedFull) return undefined;
    if (size > bytes.size && layout !== LAYOUT.chunks) throw new ImageError(`is damaged: a file has ${size} bytes`);
    if (layout === LAYOUT.chunks) return chunks(bytes, inode, blockSize);
    const inBlocks = layout === LAYOUT.inline ? Math.floor(size / blockSize) * blockSize : size;
    return concat(pieces(bytes, place * blockSize, inBlocks), pieces(bytes, behind, size - inBlocks));
  };
  return {
    root: superblock.root,
    capacity: bytes.size,
    own: [],
    inode: read,
    content,
    names(number) {
      const { size } = read(number);
      if (size > bytes.size) throw new ImageError(`is damaged: a folder has ${size} bytes`);
      const data = Buffer.concat([...(content(number) ?? [])]);
      const found: Name[] = [];
      for (let at = 0; at < data.length; at += blockSize) found.push(...namesIn(data.subarray(at, at + blockSize)));
      return checkedNames(number, found);
    },
  };
}

/** A block of a folder: entries of 12 bytes, then their names. */
function namesIn(block: Buffer): Name[] {
  const count = block.readUInt16LE(8) / 12;
  if (!Number.isInteger(count) || count === 0) throw new ImageError('is damaged: a folder has an entry that cannot be');
  const start = (index: number): number => (index < count ? block.readUInt16LE(index * 12 + 8) : block.length);
  return Array.from({ length: count }, (_, index) => {
    const name = block.toString('latin1', start(index), start(index + 1));
    // Behind the last one, the block is filled with zeros.
    return { name: index === count - 1 ? name.replace(/\0.*$/s, '') : name, inode: Number(block.readBigUInt64LE(index * 12)) };
  });
}

function* pieces(bytes: Bytes, from: number, length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += PIECE) yield bytes.at(from + at, Math.min(PIECE, length - at));
}

function* concat(...parts: readonly Iterable<Buffer>[]): Generator<Buffer> {
  for (const one of parts) yield* one;
}

/** Data in chunks: a number of its block for each, or a structure of 8 bytes. */
function* chunks(bytes: Bytes, { size, place, behind }: RawInode, blockSize: number): Generator<Buffer> {
  const chunk = blockSize * 2 ** (place & 0x1f);
  const isWide = (place & CHUNK_INDEXES) !== 0;
  const width = isWide ? 8 : 4;
  const start = Math.ceil(behind / width) * width;
  for (let index = 0; index * chunk < size; index += 1) {
    const block = bytes.at(start + index * width, width).readUInt32LE(isWide ? 4 : 0);
    const length = Math.min(chunk, size - index * chunk);
    if (block !== HOLE) yield* pieces(bytes, block * blockSize, length);
    else for (let left = length; left > 0; left -= PIECE) yield Buffer.alloc(Math.min(PIECE, left));
  }
}

/** An inode: 32 bytes that hold no time, or 64. */
function inodeOf(bytes: Bytes, { facts, metaBlock, seconds, nanoseconds }: Superblock, number: number): RawInode {
  const offset = metaBlock * facts.blockSize + number * SLOT;
  const format = bytes.at(offset, 2).readUInt16LE(0);
  const isLong = (format & 1) !== 0;
  const buffer = bytes.at(offset, isLong ? 64 : 32);
  const mode = buffer.readUInt16LE(4);
  const type = typeOfMode(mode);
  const attributes = buffer.readUInt16LE(2);
  const place = buffer.readUInt32LE(16);
  const size = isLong ? Number(buffer.readBigUInt64LE(8)) : buffer.readUInt32LE(8);
  if (!Number.isSafeInteger(size)) throw new ImageError('is damaged: a file is larger than any can be');
  return {
    type,
    mode: mode & 0o7777,
    uid: isLong ? buffer.readUInt32LE(24) : buffer.readUInt16LE(24),
    gid: isLong ? buffer.readUInt32LE(28) : buffer.readUInt16LE(26),
    time: isLong ? timeText(buffer.readBigInt64LE(32), buffer.readUInt32LE(40)) : timeText(seconds, nanoseconds),
    links: isLong ? buffer.readUInt32LE(44) : buffer.readUInt16LE(6),
    size,
    ...(type === 'char' || type === 'block' ? { device: deviceOf(place) } : {}),
    layout: (format >> 1) & 7,
    place,
    behind: offset + (isLong ? 64 : 32) + (attributes === 0 ? 0 : 12 + (attributes - 1) * 4),
  };
}
