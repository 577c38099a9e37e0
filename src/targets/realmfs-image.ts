import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  BLOCK,
  COMPRESSED,
  decodeHeader,
  digestOf,
  encodeHeader,
  FormatError,
  HASH_TREE,
  parseMetainfo,
  type RealmfsHeader,
  type RealmfsMetainfo,
  superblockOf,
  VerityTree,
} from './realmfs-format.ts';

/** Bytes that are read at once. */
const CHUNK = 256 * BLOCK;
/** Digests in a block of the hash tree, and bytes of each. */
const PER_BLOCK = 128;
const DIGEST = 32;
/** What comes before the 32 bytes of a key in DER (RFC 8410). */
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** An image as its header describes it. */
export interface RealmfsImage {
  readonly header: RealmfsHeader;
  readonly info: RealmfsMetainfo;
  readonly isSigned: boolean;
  readonly isCompressed: boolean;
  readonly hasHashTree: boolean;
}

/** A new key: 32 random bytes, as hex. */
export function newSeed(): string {
  return randomBytes(32).toString('hex');
}

/** Reads a private key: a seed of 64 hex digits, or PEM. */
export function readPrivateKey(text: string): KeyObject {
  return readKey('private', text, (raw) =>
    raw === undefined
      ? createPrivateKey(text)
      : createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, raw]), format: 'der', type: 'pkcs8' }),
  );
}

/** Reads a public key: 64 hex digits, or PEM. */
export function readPublicKey(text: string): KeyObject {
  return readKey('public', text, (raw) =>
    raw === undefined ? createPublicKey(text) : createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, raw]), format: 'der', type: 'spki' }),
  );
}

function readKey(kind: string, text: string, make: (raw: Buffer | undefined) => KeyObject): KeyObject {
  const hex = /^\s*([0-9a-f]{64})\s*$/i.exec(text)?.[1];
  try {
    const key = make(hex === undefined ? undefined : Buffer.from(hex, 'hex'));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below.
  }
  throw new FormatError(`is no ${kind} Ed25519 key: 64 hex digits, or PEM`);
}

/** The public half of a key, as PEM: 64 hex digits could be taken for a private one. */
export function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString();
}

/** The public half of a key, as hex. */
export function publicHex(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length).toString('hex');
}

/** Reads the header of an image, and checks what can be checked without its data. */
async function readHeader(handle: FileHandle, canBeAlone = false): Promise<RealmfsImage> {
  const block = Buffer.alloc(BLOCK);
  const { bytesRead } = await handle.read(block, 0, BLOCK, 0);
  const header = decodeHeader(block.subarray(0, bytesRead));
  const info = parseMetainfo(header.metainfo);
  const { size } = await handle.stat();
  const isCompressed = (header.flags & COMPRESSED) !== 0;
  const hasHashTree = (header.flags & HASH_TREE) !== 0;
  if (!isCompressed && !(canBeAlone && size === BLOCK)) {
    const blocks = 1 + info.blocks + (hasHashTree ? 1 + levelSizes(info.blocks).reduce((sum, count) => sum + count, 0) : 0);
    if (size !== blocks * BLOCK) throw new FormatError(`the file has ${size} bytes, and should have ${blocks * BLOCK} by its header`);
  }
  return { header, info, isSigned: header.signature.some((byte) => byte !== 0), isCompressed, hasHashTree };
}

/** Blocks of each level of the hash tree, the top first. */
function levelSizes(blocks: number): number[] {
  const sizes: number[] = [];
  for (let count = blocks; count > 1; ) {
    count = Math.ceil(count / PER_BLOCK);
    sizes.unshift(count);
  }
  return sizes;
}

/**
 * Checks signature, checksum, data and hash tree of an image; of a compressed one its header and signature.
 * @throws FormatError that names the first bad block.
 */
export async function verifyImage(file: string, publicKey: KeyObject | undefined, signal?: AbortSignal): Promise<RealmfsImage> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const image = await readHeader(handle);
    const { header } = image;
    if (publicKey !== undefined) {
      if (!image.isSigned) throw new FormatError('the image is not signed');
      if (!verify(null, Buffer.from(header.metainfo), publicKey, header.signature))
        throw new FormatError('the signature is not that of the key');
    }
    if (!image.isCompressed) await verifyData(handle, image, signal);
    return image;
  } finally {
    await handle.close();
  }
}

async function verifyData(handle: FileHandle, { info, hasHashTree }: RealmfsImage, signal: AbortSignal | undefined): Promise<void> {
  const salt = Buffer.from(info.veritySalt, 'hex');
  const leaves = hasHashTree ? await verifyTree(handle, info, salt) : undefined;
  const tree = new VerityTree(salt, '');
  const sum = createHash('sha256');
  let at = 0;
  const stream = handle.createReadStream({ start: BLOCK, end: (info.blocks + 1) * BLOCK - 1, highWaterMark: CHUNK, autoClose: false });
  for await (const chunk of stream) {
    signal?.throwIfAborted();
    const bytes: Buffer = chunk;
    sum.update(bytes);
    if (leaves === undefined) tree.update(bytes);
    else
      for (let from = 0; from < bytes.length; from += BLOCK, at += 1) {
        const digest = digestOf(salt, bytes.subarray(from, from + BLOCK));
        if (!digest.equals(leaves.subarray(at * DIGEST, (at + 1) * DIGEST)))
          throw new FormatError(`data block ${at} of ${info.blocks} is not what the hash tree says`);
      }
  }
  if (leaves === undefined && tree.finish().root !== info.verityRoot)
    throw new FormatError('the data is not what the root of the hash tree says');
  if (sum.digest('hex') !== info.shasum) throw new FormatError('the data is not what the checksum in the header says');
}

/** Checks the hash tree from its root down; returns the digests of the data blocks. */
async function verifyTree(handle: FileHandle, info: RealmfsMetainfo, salt: Buffer): Promise<Buffer> {
  const start = (info.blocks + 1) * BLOCK;
  const block = Buffer.alloc(BLOCK);
  await handle.read(block, 0, BLOCK, start);
  const name = (at: number): string => `block ${at} of the hash tree`;
  // The UUID is in no digest.
  const expected = superblockOf(info.blocks, salt, block.subarray(16, 32));
  if (!block.equals(expected)) throw new FormatError(`${name(0)}, its superblock, is not what the header says`);
  let digests = Buffer.from(info.verityRoot, 'hex');
  let at = 1;
  for (const size of levelSizes(info.blocks)) {
    const level = Buffer.alloc(size * BLOCK);
    await handle.read(level, 0, level.length, start + at * BLOCK);
    for (let index = 0; index < size; index += 1) {
      const digest = digestOf(salt, level.subarray(index * BLOCK, (index + 1) * BLOCK));
      if (!digest.equals(digests.subarray(index * DIGEST, (index + 1) * DIGEST)))
        throw new FormatError(`${name(at + index)} is not what the one above it says`);
    }
    digests = level;
    at += size;
  }
  return digests;
}

/** Writes bytes to the beginning of a file, all of them. */
export async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  const { bytesWritten } = await handle.write(bytes, 0, bytes.length, 0);
  if (bytesWritten !== bytes.length) throw new FormatError('the header could not be written');
}

/** Opens a regular file: no link, no pipe, no device. */
async function openImage(file: string, access: number): Promise<FileHandle> {
  const handle = await open(file, access | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new FormatError('is no regular file');
}

/** Gives an image the signature of another one; it is good if their metainfo is the same. False: the other one has none. */
export async function copySignature(from: string, to: string): Promise<boolean> {
  const signed = await openImage(from, constants.O_RDONLY);
  try {
    const { header, isSigned } = await readHeader(signed);
    if (!isSigned) return false;
    const unsigned = await openImage(to, constants.O_RDWR);
    try {
      await writeAll(unsigned, encodeHeader({ ...(await readHeader(unsigned)).header, signature: header.signature }));
    } finally {
      await unsigned.close();
    }
    return true;
  } finally {
    await signed.close();
  }
}

/** Signs the metainfo of an image, or of a header alone; data is not looked at. */
export async function signImage(file: string, key: KeyObject): Promise<RealmfsImage> {
  const handle = await openImage(file, constants.O_RDWR);
  try {
    const image = await readHeader(handle, true);
    const header = { ...image.header, signature: sign(null, Buffer.from(image.header.metainfo), key) };
    await writeAll(handle, encodeHeader(header));
    await handle.sync();
    return { ...image, header, isSigned: true };
  } finally {
    await handle.close();
  }
}
