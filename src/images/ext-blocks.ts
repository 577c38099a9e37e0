import { type Bytes, ImageError } from './bytes.ts';

/** Blocks of a file that follow each other; without `physical` they were never written, and are zero. */
export interface Run {
  readonly logical: number;
  readonly count: number;
  readonly physical: number | undefined;
}

const EXTENT_MAGIC = 0xf30a;
/** Levels that a tree of extents may have. */
const DEEPEST = 5;
/** An extent that is longer than this was reserved and not written. */
const UNWRITTEN = 32768;
/** Blocks that a file can have: their numbers take 32 bits. */
const MOST_BLOCKS = 2 ** 32;

/** Where the first `blocks` blocks of a file lie, in order; what is between runs is zero. `map`: the 60 bytes in the inode. */
export function extBlocks(bytes: Bytes, blockSize: number, map: Buffer, hasExtents: boolean, blocks: number): Iterable<Run> {
  return hasExtents ? extents(bytes, blockSize, map, blocks, { from: 0, to: MOST_BLOCKS }) : indirect(bytes, blockSize, map, blocks);
}

/** The part of a file that a node of its tree may speak of: blocks from `from` to before `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * The extents of a node and of those below it. Their blocks rise, and each node keeps to its span: so no node is read twice.
 * `level`: how far it is from the leaves; undefined: it is the root, which says so itself.
 */
function* extents(bytes: Bytes, blockSize: number, node: Buffer, blocks: number, { from, to }: Span, level?: number): Generator<Run> {
  const [entries, depth] = [node.readUInt16LE(2), node.readUInt16LE(6)];
  const end = 12 + entries * 12;
  const isOfLevel = level === undefined ? depth <= DEEPEST : depth === level && entries > 0;
  if (node.readUInt16LE(0) !== EXTENT_MAGIC || !isOfLevel || end > node.length) throw cannotBe();
  let next = from;
  for (let at = 12; at < end; at += 12) {
    const logical = node.readUInt32LE(at);
    if (logical < next || logical >= to) throw cannotBe();
    if (logical >= blocks) return;
    if (depth > 0) {
      const block = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
      const span = { from: logical, to: at + 12 < end ? node.readUInt32LE(at + 12) : to };
      yield* extents(bytes, blockSize, bytes.at(block * blockSize, blockSize), blocks, span, depth - 1);
      next = logical + 1;
    } else {
      const length = node.readUInt16LE(at + 4);
      const isWritten = length <= UNWRITTEN;
      const count = isWritten ? length : length - UNWRITTEN;
      if (count === 0 || logical + count > to) throw cannotBe();
      const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
      yield { logical, count, physical: isWritten ? physical : undefined };
      next = logical + count;
    }
  }
}

function cannotBe(): ImageError {
  return new ImageError('is damaged: the extents of a file cannot be');
}

/** Twelve blocks directly, then a block of numbers, a block of blocks of numbers, and one level more. */
function* indirect(bytes: Bytes, blockSize: number, map: Buffer, blocks: number): Generator<Run> {
  const perBlock = blockSize / 4;
  const below = function* (number: number, level: number, logical: number): Generator<Run> {
    if (number === 0 || logical >= blocks) return;
    if (level === 0) {
      yield { logical, count: 1, physical: number };
      return;
    }
    const numbers = bytes.at(number * blockSize, blockSize);
    for (let index = 0; index < perBlock; index += 1)
      yield* below(numbers.readUInt32LE(index * 4), level - 1, logical + index * perBlock ** (level - 1));
  };
  for (let index = 0; index < 12; index += 1) yield* below(map.readUInt32LE(index * 4), 0, index);
  let logical = 12;
  for (const level of [1, 2, 3]) {
    yield* below(map.readUInt32LE((11 + level) * 4), level, logical);
    logical += perBlock ** level;
  }
}
