import { createHash, hash } from 'node:crypto';
import { BuilderError } from '../errors.ts';

/*
 * The RealmFS image format of citadel-tools (libcitadel/src/header.rs, verity.rs): a header block, the file system, and, if
 * a flag says so, the superblock and the tree of dm-verity behind it.
 */

/** Bytes of every block: of the header, of the data and of the hash tree. */
export const BLOCK = 4096;
const MAGIC = 'SGOS';
/** Where the metainfo begins; before it stand magic, status, flags and its length. */
const METAINFO = 8;
const SIGNATURE = 64;
/** The metainfo is shorter than this, in bytes: readers panic otherwise. */
const METAINFO_LIMIT = BLOCK - METAINFO - SIGNATURE;
/** Blocks that an image may have: 64 GiB. Its digests are held in memory. */
const MOST_BLOCKS = 2 ** 24;
/** Keys of the metainfo that are known, by the form of their values. */
const TEXTS = ['image-type', 'realmfs-name', 'channel', 'timestamp', 'shasum', 'verity-salt', 'verity-root'];
const NUMBERS = ['nblocks', 'version'];
/** Characters of a realm's image name. */
const NAME_LIMIT = 40;

/** Flags of the header. */
const PREFER_BOOT = 0x01;
export const HASH_TREE = 0x02;
export const COMPRESSED = 0x04;

/** A header that cannot be read, or must not be written. */
export class FormatError extends BuilderError {}

/** The header block. */
export interface RealmfsHeader {
  /** 0 in files: only partitions use it. */
  readonly status: number;
  readonly flags: number;
  /** TOML. */
  readonly metainfo: string;
  /** Ed25519 over the bytes of the metainfo; all zero: unsigned. */
  readonly signature: Buffer;
}

/** What the metainfo of a realm's image says. */
export interface RealmfsMetainfo {
  readonly name: string;
  readonly channel: string;
  /** Ranks images of one name. */
  readonly version: number;
  /** Seconds since 1970. */
  readonly timestamp: number;
  /** Data blocks, without header and hash tree. */
  readonly blocks: number;
  /** SHA-256 of the data blocks, as hex. */
  readonly shasum: string;
  readonly veritySalt: string;
  readonly verityRoot: string;
}

/** Whether a name can be that of a realm's image: a letter, then letters, digits and `-`, 40 characters at most. */
export function isRealmfsName(name: string): boolean {
  return name.length <= NAME_LIMIT && /^[A-Za-z][A-Za-z0-9-]*$/.test(name);
}

/** The metainfo as TOML, in the order of citadel-mkimage. */
export function metainfoText(info: RealmfsMetainfo): string {
  if (!isRealmfsName(info.name)) throw new FormatError(`'${info.name}' is no name of a realm's image`);
  return [
    'image-type = "realmfs"',
    `realmfs-name = "${info.name}"`,
    `channel = "${info.channel}"`,
    `version = ${info.version}`,
    `timestamp = "${info.timestamp}"`,
    `nblocks = ${info.blocks}`,
    `shasum = "${info.shasum}"`,
    `verity-salt = "${info.veritySalt}"`,
    `verity-root = "${info.verityRoot}"`,
    '',
  ].join('\n');
}

/** A header as the block that it is. */
export function encodeHeader({ status, flags, metainfo, signature }: RealmfsHeader): Buffer {
  const text = Buffer.from(metainfo, 'utf8');
  if (text.length === 0 || text.length >= METAINFO_LIMIT)
    throw new FormatError(`the metainfo has ${text.length} bytes, and may have 1 to ${METAINFO_LIMIT - 1}`);
  if (signature.length !== SIGNATURE) throw new FormatError(`a signature has ${SIGNATURE} bytes, not ${signature.length}`);
  const block = Buffer.alloc(BLOCK);
  block.write(MAGIC, 'latin1');
  block.writeUInt8(status, 4);
  block.writeUInt8(flags, 5);
  block.writeUInt16BE(text.length, 6);
  text.copy(block, METAINFO);
  signature.copy(block, METAINFO + text.length);
  return block;
}

/** Reads the header block of a file, and refuses what the tools of Citadel would choke on. */
export function decodeHeader(block: Buffer): RealmfsHeader {
  if (block.length < BLOCK || block.toString('latin1', 0, 4) !== MAGIC)
    throw new FormatError('is no RealmFS image: it does not begin with SGOS');
  const status = block.readUInt8(4);
  if (status !== 0) throw new FormatError(`the status in the header is ${status}, and must be 0 in a file`);
  const flags = block.readUInt8(5);
  const unknown = flags & ~(PREFER_BOOT | HASH_TREE | COMPRESSED);
  if (unknown !== 0) throw new FormatError(`the header has unknown flags: 0x${unknown.toString(16)}`);
  const length = block.readUInt16BE(6);
  if (length === 0 || length >= METAINFO_LIMIT)
    throw new FormatError(`the metainfo has ${length} bytes by the header, and may have 1 to ${METAINFO_LIMIT - 1}`);
  const end = METAINFO + length + SIGNATURE;
  if (block.subarray(end, BLOCK).some((byte) => byte !== 0)) throw new FormatError('the header is not padded with zeros');
  return {
    status,
    flags,
    metainfo: textOf(block.subarray(METAINFO, METAINFO + length)),
    signature: Buffer.from(block.subarray(METAINFO + length, end)),
  };
}

/** Reads the metainfo; keys that are not known are let be. */
export function parseMetainfo(text: string): RealmfsMetainfo {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key = '', quoted, bare] = /^([A-Za-z0-9_-]+)\s*=\s*(?:"([ !#-[\]-~]*)"|(\S+))\s*$/.exec(line) ?? [];
    if (fields.has(key)) throw new FormatError(`the metainfo has ${key} twice`);
    const isNumber = NUMBERS.includes(key);
    if (TEXTS.includes(key) ? quoted === undefined : isNumber && !/^(?:0|[1-9]\d{0,9})$/.test(bare ?? ''))
      throw new FormatError(`the metainfo has ${isNumber ? 'no number' : 'no text in quotes'} as ${key}`);
    if (key !== '') fields.set(key, quoted ?? bare ?? '');
    else if (line.trim() !== '' && !line.startsWith('#'))
      throw new FormatError(`the metainfo has a line that is none: ${JSON.stringify(line)}`);
  }
  const field = (key: string): string => fields.get(key) ?? '';
  if (field('image-type') !== 'realmfs') throw new FormatError(`the image is of the type '${field('image-type')}', not realmfs`);
  if (!isRealmfsName(field('realmfs-name'))) throw new FormatError(`'${field('realmfs-name')}' is no name of a realm's image`);
  for (const key of ['verity-root', 'verity-salt'])
    if (!/^[0-9a-f]{64}$/.test(field(key))) throw new FormatError(`the metainfo has no ${key}`);
  const blocks = Number(fields.get('nblocks') ?? 0);
  if (blocks === 0 || blocks > MOST_BLOCKS)
    throw new FormatError(`the metainfo says that there are ${blocks} blocks: 1 to ${MOST_BLOCKS} can be read`);
  if (!/^[0-9a-f]{64}$/.test(field('shasum'))) throw new FormatError('the metainfo has no shasum');
  return {
    name: field('realmfs-name'),
    channel: field('channel'),
    version: Number(fields.get('version') ?? 0),
    timestamp: Number(field('timestamp')),
    blocks,
    shasum: field('shasum'),
    veritySalt: field('verity-salt'),
    verityRoot: field('verity-root'),
  };
}

/** Text of a header; what is no UTF-8 would not be signed as it stands. */
function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError('the metainfo is no UTF-8');
  }
}

/** A digest of a block, with the salt before it. */
export function digestOf(salt: Buffer, block: Buffer): Buffer {
  return hash('sha256', Buffer.concat([salt, block]), 'buffer');
}

/** dm-verity's hash tree as `veritysetup format` makes it: format 1, SHA-256, blocks of 4096 bytes, with a superblock. */
export class VerityTree {
  readonly #salt: Buffer;
  readonly #uuid: string;
  /** The digests of the data blocks, one behind the other; room for more behind them, up to the end of a block. */
  #digests: Buffer;
  #count = 0;
  readonly #data = createHash('sha256');
  readonly #zero = Buffer.alloc(BLOCK);
  readonly #zeroDigest: Buffer;
  /** Bytes that are no whole block yet. */
  #rest = Buffer.alloc(0);
  /** The salt, and room for a block behind it. */
  readonly #salted: Buffer;

  /** `salt`: 32 bytes. `uuid`: stands in the superblock, and in no digest. `blocks`: how many are expected. */
  constructor(salt: Buffer, uuid: string, blocks = 1024) {
    this.#salt = salt;
    this.#salted = Buffer.concat([salt], salt.length + BLOCK);
    this.#digests = Buffer.alloc(Math.max(1, Math.ceil((blocks * 32) / BLOCK)) * BLOCK);
    this.#uuid = uuid;
    this.#zeroDigest = digestOf(salt, this.#zero);
  }

  /** Takes data in, in order. */
  update(chunk: Buffer): void {
    this.#data.update(chunk);
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole = bytes.length - (bytes.length % BLOCK);
    for (let at = 0; at < whole; at += BLOCK) {
      const block = bytes.subarray(at, at + BLOCK);
      if (this.#digests.length === this.#count * 32) this.#digests = Buffer.concat([this.#digests], this.#digests.length * 2);
      (block.equals(this.#zero) ? this.#zeroDigest : this.#digestOf(block)).copy(this.#digests, this.#count * 32);
      this.#count += 1;
    }
    this.#rest = Buffer.from(bytes.subarray(whole));
  }

  /** The same as `digestOf`, without new memory for each block. */
  #digestOf(block: Buffer): Buffer {
    block.copy(this.#salted, this.#salt.length);
    return hash('sha256', this.#salted, 'buffer');
  }

  /** What follows the data, and what stands in the metainfo. */
  finish(): { readonly area: Buffer; readonly root: string; readonly shasum: string; readonly blocks: number } {
    if (this.#rest.length > 0) throw new FormatError(`the data ends within a block of ${BLOCK} bytes`);
    const blocks = this.#count;
    if (blocks === 0) throw new FormatError('there is no data');
    const levels: Buffer[] = [];
    let digests: Buffer = this.#digests.subarray(0, blocks * 32);
    while (digests.length > 32) {
      const size = Math.ceil(digests.length / BLOCK) * BLOCK;
      const level = levels.length === 0 ? this.#digests.subarray(0, size) : Buffer.concat([digests], size);
      levels.unshift(level);
      digests = Buffer.alloc((level.length / BLOCK) * 32);
      for (let at = 0; at < level.length; at += BLOCK) this.#digestOf(level.subarray(at, at + BLOCK)).copy(digests, (at / BLOCK) * 32);
    }
    const root = digests.toString('hex');
    return {
      area: Buffer.concat([superblockOf(blocks, this.#salt, Buffer.from(this.#uuid.replaceAll('-', ''), 'hex')), ...levels]),
      root,
      shasum: this.#data.digest('hex'),
      blocks,
    };
  }
}

/** The superblock of a hash tree; `uuid`: 16 bytes. */
export function superblockOf(blocks: number, salt: Buffer, uuid: Buffer): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write('verity\0\0', 0, 'latin1');
  block.writeUInt32LE(1, 8);
  block.writeUInt32LE(1, 12);
  uuid.copy(block, 16);
  block.write('sha256', 32, 'latin1');
  block.writeUInt32LE(BLOCK, 64);
  block.writeUInt32LE(BLOCK, 68);
  block.writeBigUInt64LE(BigInt(blocks), 72);
  block.writeUInt16LE(salt.length, 80);
  salt.copy(block, 88);
  return block;
}
