import { type Bytes, ImageError, part } from './bytes.ts';

/** A partition of a disk image, in bytes. */
export interface Slice {
  readonly number: number;
  /** A GUID, or a byte in hex: `0x83`. */
  readonly type: string;
  readonly label: string;
  readonly start: number;
  readonly size: number;
}

/** A partition table. */
export interface Table {
  readonly table: 'gpt' | 'mbr';
  readonly id: string;
  readonly slices: readonly Slice[];
}

const SECTORS = [512, 4096];
/** Entries of a GPT, and logical partitions of an MBR. */
const MOST = 1024;
/** Types of an MBR that hold further partitions. */
const EXTENDED = [0x05, 0x0f, 0x85];

/** Reads the partition table of a disk image: that of a GPT, or of an MBR without one. */
export function partitionTable(bytes: Bytes): Table {
  for (const sector of SECTORS)
    if (bytes.size >= sector * 2 && bytes.at(sector, 8).toString('latin1') === 'EFI PART') return gpt(bytes, sector);
  return mbr(bytes);
}

function gpt(bytes: Bytes, sector: number): Table {
  const header = bytes.at(sector, 92);
  const [count, size] = [header.readUInt32LE(80), header.readUInt32LE(84)];
  if (count > MOST || size < 128 || size > 4096) throw new ImageError('is damaged: its partition table cannot be');
  const entries = part(bytes, Number(header.readBigUInt64LE(72)) * sector, count * size);
  const slices = Array.from({ length: count }, (_, index): Slice | undefined => {
    const entry = entries.at(index * size, 128);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) return undefined;
    const [first, last] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    if (last < first) throw new ImageError(`is damaged: partition ${index + 1} ends before it begins`);
    const label = entry.toString('utf16le', 56, 128).replace(/\0.*$/s, '');
    return { number: index + 1, type: guid(entry.subarray(0, 16)), label, start: first * sector, size: (last - first + 1) * sector };
  });
  return { table: 'gpt', id: guid(header.subarray(56, 72)), slices: slices.filter((slice) => slice !== undefined) };
}

/** The first three fields of a GUID are written with their last byte first. */
function guid(bytes: Buffer): string {
  const hex = [
    bytes.readUInt32LE(0).toString(16).padStart(8, '0'),
    ...[4, 6].map((at) => bytes.readUInt16LE(at).toString(16).padStart(4, '0')),
  ];
  return [...hex, bytes.toString('hex', 8, 10), bytes.toString('hex', 10, 16)].join('-');
}

function mbr(bytes: Bytes): Table {
  const slices: Slice[] = [];
  const block = bytes.at(0, 512);
  const id = `0x${block.readUInt32LE(440).toString(16).padStart(8, '0')}`;
  for (const [index, { type, first, count }] of entriesOf(block).entries()) {
    if (type === 0) continue;
    slices.push(sliceOf(index + 1, type, first, count));
    if (EXTENDED.includes(type)) slices.push(...logical(bytes, first));
  }
  return { table: 'mbr', id, slices: slices.sort((a, b) => a.number - b.number) };
}

/** Logical partitions: a chain of tables, each with a partition and the place of the next one. */
function logical(bytes: Bytes, start: number): Slice[] {
  const found: Slice[] = [];
  for (let table = start; found.length < MOST; ) {
    if (table * 512 + 512 > bytes.size) return found;
    const [own, next] = entriesOf(bytes.at(table * 512, 512));
    if (own === undefined || next === undefined || own.type === 0) return found;
    found.push(sliceOf(5 + found.length, own.type, table + own.first, own.count));
    // Each lies behind the one before it.
    if (next.type === 0 || start + next.first <= table) return found;
    table = start + next.first;
  }
  return found;
}

function entriesOf(block: Buffer): { type: number; first: number; count: number }[] {
  return [446, 462, 478, 494].map((at) => ({
    type: block.readUInt8(at + 4),
    first: block.readUInt32LE(at + 8),
    count: block.readUInt32LE(at + 12),
  }));
}

function sliceOf(number: number, type: number, first: number, count: number): Slice {
  return { number, type: `0x${type.toString(16).padStart(2, '0')}`, label: '', start: first * 512, size: count * 512 };
}
