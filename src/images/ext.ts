import { type Bytes, ImageError } from './bytes.ts';
import { extBlocks, type Run } from './ext-blocks.ts';
import { checkedNames, deviceOf, type ImageTree, type Inode, type Name, timeText, typeOfMode } from './image-tree.ts';

/*
 * ext2, ext3 and ext4, read from the image itself: no loop device is needed, no root, and nothing is lost (debugfs' rdump drops
 * devices, hard links and parts of a second). The layout is that of the kernel's Documentation/filesystems/ext4.
 */

const SUPERBLOCK = { offset: 1024, length: 1024 };
const MAGIC = 0xef53;
const ROOT = 2;
/** Bytes that are handed on at once. */
const PIECE = 1024 ** 2;
const ZEROS = Buffer.alloc(PIECE);

/** Features without which the file system cannot be read. */
const INCOMPATIBLE = {
  compression: 0x1,
  needsRecovery: 0x4,
  journalDevice: 0x8,
  metaGroups: 0x10,
  extents: 0x40,
  wide: 0x80,
  inlineData: 0x8000,
} as const;
/** Those that ext3 knows, too: file types, recovery, a journal, groups of group descriptors. */
const EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x8 | 0x10;
const EXT3_READ_ONLY = 0x7;
const HAS_JOURNAL = 0x4;
const SPARSE_SUPER = 0x1;

/** Flags of an inode. */
const EXTENTS = 0x80000;
const INLINE_DATA = 0x10000000;
const ENCRYPTED = 0x800;

/** What the superblock says. */
export interface ExtFacts {
  readonly fileSystem: 'ext2' | 'ext3' | 'ext4';
  readonly uuid: string;
  readonly label: string;
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
  /** Seconds since 1970. */
  readonly made: number;
  readonly written: number;
  /** It was not unmounted: its journal has not been replayed. */
  readonly needsRecovery: boolean;
}

interface Layout {
  readonly facts: ExtFacts;
  readonly incompatible: number;
  readonly readOnly: number;
  readonly firstBlock: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  readonly descriptorSize: number;
  readonly firstMetaGroup: number;
}

/** Text in a field that zeros fill. */
export function textField(buffer: Buffer, from: number, length: number): string {
  return buffer.toString('utf8', from, from + length).replace(/\0.*$/s, '');
}

/** 16 bytes as a UUID. */
export function uuidText(buffer: Buffer): string {
  return buffer.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function layoutOf(bytes: Bytes): Layout {
  const block = bytes.at(SUPERBLOCK.offset, SUPERBLOCK.length);
  if (block.readUInt16LE(56) !== MAGIC) throw new ImageError('is no ext2/3/4 file system');
  const [compatible, incompatible, readOnly] = [block.readUInt32LE(92), block.readUInt32LE(96), block.readUInt32LE(100)];
  const isWide = (incompatible & INCOMPATIBLE.wide) !== 0;
  const wide = (low: number, high: number): number => block.readUInt32LE(low) + (isWide ? block.readUInt32LE(high) * 2 ** 32 : 0);
  const exponent = block.readUInt32LE(24);
  const isExt3 = (incompatible & ~EXT3_INCOMPATIBLE) === 0 && (readOnly & ~EXT3_READ_ONLY) === 0;
  const isOld = block.readUInt32LE(76) === 0;
  const layout = {
    facts: {
      fileSystem: isExt3 ? ((compatible & HAS_JOURNAL) !== 0 ? ('ext3' as const) : ('ext2' as const)) : ('ext4' as const),
      uuid: uuidText(block.subarray(104, 120)),
      label: textField(block, 120, 16),
      blockSize: 1024 * 2 ** exponent,
      blocks: wide(4, 336),
      freeBlocks: wide(12, 344),
      inodes: block.readUInt32LE(0),
      freeInodes: block.readUInt32LE(16),
      made: block.readUInt32LE(264),
      written: block.readUInt32LE(48),
      needsRecovery: (incompatible & INCOMPATIBLE.needsRecovery) !== 0,
    },
    incompatible,
    readOnly,
    firstBlock: block.readUInt32LE(20),
    blocksPerGroup: block.readUInt32LE(32),
    inodesPerGroup: block.readUInt32LE(40),
    inodeSize: isOld ? 128 : block.readUInt16LE(88),
    descriptorSize: isWide ? block.readUInt16LE(254) : 32,
    firstMetaGroup: (incompatible & INCOMPATIBLE.metaGroups) !== 0 ? block.readUInt32LE(260) : Number.POSITIVE_INFINITY,
  };
  const { inodeSize, descriptorSize, blocksPerGroup, inodesPerGroup, facts } = layout;
  if (exponent > 6 || inodeSize < 128 || inodeSize > facts.blockSize || blocksPerGroup === 0 || inodesPerGroup === 0 || descriptorSize < 32)
    throw new ImageError('is damaged: its superblock cannot be');
  return layout;
}

/** What the superblock says of a file system. */
export function extFacts(bytes: Bytes): ExtFacts {
  const { facts } = layoutOf(bytes);
  const size = facts.blocks * facts.blockSize;
  if (size > bytes.size) throw new ImageError(`is cut off: the file system has ${size} bytes, and ${bytes.size} are there`);
  return facts;
}

/** The feature of a file system that stands against reading its tree here; undefined: none. */
export function extObstacle(bytes: Bytes): string | undefined {
  const { incompatible } = layoutOf(bytes);
  const features = { compression: 'compressed files', journalDevice: 'it is a journal alone', inlineData: 'data in inodes' } as const;
  return (['compression', 'journalDevice', 'inlineData'] as const)
    .filter((feature) => (incompatible & INCOMPATIBLE[feature]) !== 0)
    .map((feature) => features[feature])[0];
}

/** The tree of a file system. */
export function extTree(bytes: Bytes): ImageTree {
  const layout = layoutOf(bytes);
  const { blockSize } = layout.facts;
  const raw = (number: number): Buffer => rawInode(bytes, layout, number);
  const runsOf = (inode: Buffer, size: number): Iterable<Run> =>
    extBlocks(bytes, blockSize, inode.subarray(40, 100), (inode.readUInt32LE(32) & EXTENTS) !== 0, Math.ceil(size / blockSize));
  const content = function* (number: number): Generator<Buffer> {
    const buffer = raw(number);
    const { type, size } = inodeOf(buffer);
    const flags = buffer.readUInt32LE(32);
    // A short link stands where the numbers of the blocks would.
    if (type === 'link' && size < 60 && (flags & EXTENTS) === 0) {
      yield buffer.subarray(40, 40 + size);
      return;
    }
    if ((flags & (INLINE_DATA | ENCRYPTED)) !== 0)
      throw new ImageError(
        `has files that cannot be read: ${(flags & ENCRYPTED) !== 0 ? 'they are encrypted' : 'their data is in inodes'}`,
      );
    let at = 0;
    for (const { logical, count, physical } of runsOf(buffer, size)) {
      yield* zeros(Math.min(logical * blockSize, size) - at);
      at = Math.max(at, Math.min(logical * blockSize, size));
      const end = Math.min((logical + count) * blockSize, size);
      if (physical === undefined) yield* zeros(end - at);
      else
        for (let from = at; from < end; from += PIECE)
          yield bytes.at(physical * blockSize + (from - logical * blockSize), Math.min(PIECE, end - from));
      at = Math.max(at, end);
    }
    yield* zeros(size - at);
  };
  return {
    root: ROOT,
    capacity: bytes.size,
    own: ['lost+found'],
    inode: (number) => inodeOf(raw(number)),
    content,
    names(number) {
      const { size } = inodeOf(raw(number));
      if (size > bytes.size) throw new ImageError(`is damaged: a folder has ${size} bytes`);
      return checkedNames(
        number,
        [...content(number)].flatMap((piece) => namesIn(piece, blockSize)),
      );
    },
  };
}

function* zeros(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= PIECE) yield ZEROS.subarray(0, left);
}

function namesIn(piece: Buffer, blockSize: number): Name[] {
  const found: Name[] = [];
  for (let at = 0; at + 8 <= piece.length; ) {
    const inode = piece.readUInt32LE(at);
    // In blocks of 64 KiB, their length does not fit into the field.
    const said = piece.readUInt16LE(at + 4);
    const length = said === 65535 || said === 0 ? blockSize : said;
    const nameLength = piece.readUInt8(at + 6);
    if (length < 8 || length % 4 !== 0 || at + length > piece.length || nameLength + 8 > length)
      throw new ImageError('is damaged: a folder has an entry that cannot be');
    if (inode !== 0) found.push({ name: piece.toString('latin1', at + 8, at + 8 + nameLength), inode });
    at += length;
  }
  return found;
}

function rawInode(bytes: Bytes, layout: Layout, number: number): Buffer {
  const { facts, inodesPerGroup, inodeSize, descriptorSize, incompatible } = layout;
  if (number < 1 || number > facts.inodes) throw new ImageError(`is damaged: there is no inode ${number}`);
  const group = Math.floor((number - 1) / inodesPerGroup);
  const descriptor = bytes.at(descriptorOffset(layout, group), descriptorSize);
  const isWide = (incompatible & INCOMPATIBLE.wide) !== 0 && descriptorSize >= 64;
  const table = descriptor.readUInt32LE(8) + (isWide ? descriptor.readUInt32LE(40) * 2 ** 32 : 0);
  return bytes.at(table * facts.blockSize + ((number - 1) % inodesPerGroup) * inodeSize, inodeSize);
}

/** Where the descriptor of a group stands: behind the superblock, or, with meta_bg, in the groups themselves. */
function descriptorOffset({ facts, firstBlock, blocksPerGroup, descriptorSize, firstMetaGroup, readOnly }: Layout, group: number): number {
  const { blockSize } = facts;
  const perBlock = Math.floor(blockSize / descriptorSize);
  const metaGroup = Math.floor(group / perBlock);
  const inBlock = (group % perBlock) * descriptorSize;
  if (metaGroup < firstMetaGroup) return (firstBlock + 1 + metaGroup) * blockSize + inBlock;
  const first = metaGroup * perBlock;
  const hasSuper = (readOnly & SPARSE_SUPER) === 0 || first <= 1 || [3, 5, 7].some((base) => isPower(first, base));
  return (firstBlock + first * blocksPerGroup + (hasSuper ? 1 : 0)) * blockSize + inBlock;
}

function isPower(number: number, base: number): boolean {
  let power = base;
  while (power < number) power *= base;
  return power === number;
}

function inodeOf(buffer: Buffer): Inode {
  const mode = buffer.readUInt16LE(0);
  const type = typeOfMode(mode);
  const extra = buffer.length > 128 ? buffer.readUInt16LE(128) : 0;
  const fine = extra >= 12 && buffer.length >= 140 ? buffer.readUInt32LE(136) : 0;
  const size = buffer.readUInt32LE(4) + (type === 'file' || type === 'dir' ? buffer.readUInt32LE(108) * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw new ImageError('is damaged: a file is larger than any can be');
  const [old, newer] = [buffer.readUInt32LE(40), buffer.readUInt32LE(44)];
  return {
    type,
    mode: mode & 0o7777,
    uid: buffer.readUInt16LE(2) + buffer.readUInt16LE(120) * 2 ** 16,
    gid: buffer.readUInt16LE(24) + buffer.readUInt16LE(122) * 2 ** 16,
    time: timeText(buffer.readInt32LE(16) + (fine & 3) * 2 ** 32, fine >>> 2),
    links: buffer.readUInt16LE(26),
    size,
    ...(type === 'char' || type === 'block' ? { device: old === 0 ? deviceOf(newer) : `${(old >> 8) & 0xff},${old & 0xff}` } : {}),
  };
}
