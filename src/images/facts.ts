import type { Facts } from '../messages/reading.ts';
import { COMPRESSED, decodeHeader, HASH_TREE, parseMetainfo, BLOCK as REALMFS_BLOCK } from '../targets/realmfs-format.ts';
import { type Bytes, ImageError } from './bytes.ts';
import { erofsFacts } from './erofs.ts';
import { extFacts } from './ext.ts';
import type { Kind } from './recognise.ts';

/** What the first blocks of an image say, beyond its kind. */
export function factsOf(kind: Kind, bytes: Bytes): Facts {
  return { ...(readers[kind]?.(bytes) ?? {}) };
}

const readers: Partial<Record<Kind, (bytes: Bytes) => object>> = {
  realmfs: realmfsFacts,
  ext: (bytes) => {
    const { blocks, freeBlocks, inodes, freeInodes, ...facts } = extFacts(bytes);
    const { blockSize } = facts;
    return {
      ...facts,
      fileSystemSize: blocks * blockSize,
      used: (blocks - freeBlocks) * blockSize,
      free: freeBlocks * blockSize,
      inodes,
      usedInodes: inodes - freeInodes,
    };
  },
  squashfs: squashfsFacts,
  erofs: (bytes) => {
    const { blocks, ...facts } = erofsFacts(bytes);
    return { ...facts, fileSystemSize: blocks * facts.blockSize };
  },
  qcow2: qcow2Facts,
  vmdk: vmdkFacts,
  vdi: (bytes) => ({ virtualSize: safe(bytes.at(368, 8).readBigUInt64LE(0)) }),
  vhd: (bytes) => ({ virtualSize: safe(bytes.at(48, 8).readBigUInt64BE(0)) }),
  iso: isoFacts,
  luks: (bytes) => ({ version: bytes.at(6, 2).readUInt16BE(0), uuid: bytes.at(168, 40).toString('latin1').replace(/\0.*$/s, '') }),
};

/** Numbers of 64 bits in what others have written. */
function safe(number: bigint): number {
  if (number > BigInt(Number.MAX_SAFE_INTEGER)) throw new ImageError('is damaged: it names a size that cannot be');
  return Number(number);
}

function realmfsFacts(bytes: Bytes): object {
  const header = decodeHeader(bytes.at(0, Math.min(bytes.size, REALMFS_BLOCK)));
  const { name, channel, version, timestamp, blocks, shasum, verityRoot } = parseMetainfo(header.metainfo);
  const isCompressed = (header.flags & COMPRESSED) !== 0;
  if (!isCompressed && bytes.size < (blocks + 1) * REALMFS_BLOCK)
    throw new ImageError(
      `is cut off: by its header it has ${blocks} blocks of data, ${(blocks + 1) * REALMFS_BLOCK} bytes with the header`,
    );
  return {
    name,
    channel,
    version,
    timestamp,
    dataSize: blocks * REALMFS_BLOCK,
    signed: header.signature.some((byte) => byte !== 0),
    hashTree: (header.flags & HASH_TREE) !== 0,
    compressed: isCompressed,
    shasum,
    verityRoot,
  };
}

const squashfsCompressions = ['', 'gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'];

function squashfsFacts(bytes: Bytes): object {
  const block = bytes.at(0, 96);
  const used = safe(block.readBigUInt64LE(40));
  if (used > bytes.size) throw new ImageError(`is cut off: the file system has ${used} bytes, and ${bytes.size} are there`);
  return {
    version: `${block.readUInt16LE(28)}.${block.readUInt16LE(30)}`,
    dataCompression: squashfsCompressions[block.readUInt16LE(20)] || `of number ${block.readUInt16LE(20)}`,
    blockSize: block.readUInt32LE(12),
    fileSystemSize: used,
    inodes: block.readUInt32LE(4),
    made: block.readUInt32LE(8),
  };
}

function qcow2Facts(bytes: Bytes): object {
  const header = bytes.at(0, 72);
  const [backing, length] = [safe(header.readBigUInt64BE(8)), header.readUInt32BE(16)];
  return {
    version: header.readUInt32BE(4),
    virtualSize: safe(header.readBigUInt64BE(24)),
    clusterSize: 2 ** Math.min(header.readUInt32BE(20), 31),
    ...(header.readUInt32BE(32) === 0 ? {} : { encrypted: true }),
    ...(backing === 0 || length > 1023 ? {} : { backingFile: bytes.at(backing, length).toString('utf8') }),
  };
}

function vmdkFacts(bytes: Bytes): object {
  if (bytes.at(0, 4).toString('latin1') !== 'KDMV') return {};
  return { version: bytes.at(4, 4).readUInt32LE(0), virtualSize: safe(bytes.at(12, 8).readBigUInt64LE(0)) * 512 };
}

function isoFacts(bytes: Bytes): object {
  const descriptor = bytes.at(0x8000, 2048);
  const size = descriptor.readUInt32LE(80) * descriptor.readUInt16LE(128);
  if (size > bytes.size) throw new ImageError(`is cut off: the file system has ${size} bytes, and ${bytes.size} are there`);
  return {
    label: descriptor.toString('latin1', 40, 72).trim(),
    fileSystemSize: size,
    bootable: bytes.size >= 0x9000 && bytes.at(0x8800, 39).toString('latin1', 7, 30) === 'EL TORITO SPECIFICATION',
  };
}
