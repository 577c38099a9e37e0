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

/** Where the first `blocks` blocks of a file lie, in order; what is between runs is zero. `map`: the 60 bytes in the inode. */
export function extBlocks(bytes: Bytes, blockSize: number, map: Buffer, hasExtents: boolean, blocks: number): Iterable<Run> {
  return hasExtents ? extents(bytes, blockSize, map, DEEPEST + 1) : indirect(bytes, blockSize, map, blocks);
}

function* extents(bytes: Bytes, blockSize: number, node: Buffer, above: number): Generator<Run> {
  const [entries, depth] = [node.readUInt16LE(2), node.readUInt16LE(6)];
  if (node.readUInt16LE(0) !== EXTENT_MAGIC || depth >= above || 12 + entries * 12 > node.length)
    throw new ImageError('is damaged: the extents of a file cannot be');
  for (let at = 12; at < 12 + entries * 12; at += 12) {
    if (depth > 0) {
      const block = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
      yield* extents(bytes, blockSize, bytes.at(block * blockSize, blockSize), depth);
    } else {
      const length = node.readUInt16LE(at + 4);
      const isWritten = length <= UNWRITTEN;
      const physical = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
      yield { logical: node.readUInt32LE(at), count: isWritten ? length : length - UNWRITTEN, physical: isWritten ? physical : undefined };
    }
  }
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
