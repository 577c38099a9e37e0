import { createHash } from 'node:crypto';

/** A primary key of a keyring. Its signatures are not checked: this is for showing, gpgv decides. */
export interface KeyringKey {
  readonly fingerprint: string;
  /** The first user name on it. */
  readonly name: string;
  /** Seconds since 1970; undefined: it does not expire. */
  readonly expires: number | undefined;
  readonly revoked: boolean;
}

interface Packet {
  readonly tag: number;
  readonly body: Buffer;
}

interface Signature {
  readonly type: number;
  readonly created: number;
  /** Seconds after the key was made. */
  readonly keyExpires: number | undefined;
  /** The last 8 bytes of the signer's fingerprint as hex; undefined: it does not say. */
  readonly issuer: string | undefined;
}

/** The keys of a binary OpenPGP keyring (RFC 9580), or undefined if it is none. */
export function parseKeyring(bytes: Buffer): KeyringKey[] | undefined {
  try {
    const certificates: Packet[][] = [];
    for (const packet of packets(bytes)) {
      if (packet.tag === 6) certificates.push([packet]);
      else if (certificates.length === 0) return undefined;
      else certificates.at(-1)?.push(packet);
    }
    return certificates.map(readCertificate);
  } catch (error) {
    // A length that leads out of the file.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function* packets(bytes: Buffer): Generator<Packet> {
  for (let at = 0; at < bytes.length; ) {
    const head = bytes.readUInt8(at);
    if ((head & 0x80) === 0) throw new RangeError('no packet');
    const isNew = (head & 0x40) !== 0;
    const { length, next } = isNew ? newLength(bytes, at + 1) : oldLength(bytes, at + 1, head & 3);
    if (next + length > bytes.length) throw new RangeError('a packet is cut off');
    yield { tag: isNew ? head & 0x3f : (head >> 2) & 0x0f, body: bytes.subarray(next, next + length) };
    at = next + length;
  }
}

interface Length {
  readonly length: number;
  /** Where what it counts begins. */
  readonly next: number;
}

function oldLength(bytes: Buffer, at: number, kind: number): Length {
  if (kind === 3) return { length: bytes.length - at, next: at };
  const size = 1 << kind;
  return { length: bytes.readUIntBE(at, size), next: at + size };
}

/** First bytes of `twoBytes` and more belong to partial lengths, which keys never have; subpackets have none. */
function newLength(bytes: Buffer, at: number, twoBytes = 224): Length {
  const first = bytes.readUInt8(at);
  if (first < 192) return { length: first, next: at + 1 };
  if (first < twoBytes) return { length: ((first - 192) << 8) + bytes.readUInt8(at + 1) + 192, next: at + 2 };
  if (first < 255) throw new RangeError('a packet in parts');
  return { length: bytes.readUInt32BE(at + 1), next: at + 5 };
}

function readCertificate([key, ...rest]: readonly Packet[]): KeyringKey {
  const body = key?.body ?? Buffer.alloc(0);
  const fingerprint = fingerprintOf(body);
  const made = body.readUInt32BE(1);
  const id = body.readUInt8(0) === 6 ? fingerprint.slice(0, 16) : fingerprint.slice(-16);
  const own = rest
    .filter(({ tag }) => tag === 2)
    .map((packet) => readSignature(packet.body))
    .filter(({ issuer }) => issuer === undefined || issuer === id);
  const newest = (types: readonly number[]): Signature | undefined =>
    own.filter(({ type }) => types.includes(type)).sort((a, b) => b.created - a.created)[0];
  // A signature on the key itself counts more than one on a name.
  const after = newest([0x1f])?.keyExpires ?? newest([0x10, 0x11, 0x12, 0x13])?.keyExpires ?? 0;
  return {
    fingerprint,
    name: rest.find(({ tag }) => tag === 13)?.body.toString('utf8') ?? '',
    expires: after === 0 ? undefined : made + after,
    revoked: own.some(({ type }) => type === 0x20),
  };
}

function fingerprintOf(body: Buffer): string {
  const version = body.readUInt8(0);
  const head = version === 6 ? Buffer.alloc(5, 0x9b) : Buffer.alloc(3, 0x99);
  head.writeUIntBE(body.length, 1, head.length - 1);
  return createHash(version === 6 ? 'sha256' : 'sha1')
    .update(head)
    .update(body)
    .digest('hex')
    .toUpperCase();
}

function readSignature(body: Buffer): Signature {
  const version = body.readUInt8(0);
  if (version !== 4 && version !== 6) return { type: -1, created: 0, keyExpires: undefined, issuer: undefined };
  const size = version === 6 ? 4 : 2;
  const hashedEnd = 4 + size + body.readUIntBE(4, size);
  const hashed = subpackets(body.subarray(4 + size, hashedEnd));
  const all = new Map([...subpackets(body.subarray(hashedEnd + size, hashedEnd + size + body.readUIntBE(hashedEnd, size))), ...hashed]);
  const issuer = all.get(33);
  const fingerprint = issuer?.subarray(1).toString('hex').toUpperCase();
  return {
    type: body.readUInt8(1),
    created: hashed.get(2)?.readUInt32BE(0) ?? 0,
    keyExpires: hashed.get(9)?.readUInt32BE(0),
    issuer:
      fingerprint === undefined
        ? all.get(16)?.toString('hex').toUpperCase()
        : issuer?.[0] === 6
          ? fingerprint.slice(0, 16)
          : fingerprint.slice(-16),
  };
}

function subpackets(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const { length, next } = newLength(bytes, at, 255);
    found.set(bytes.readUInt8(next) & 0x7f, bytes.subarray(next + 1, next + length));
    at = next + length;
  }
  return found;
}
