import { createHash, createPrivateKey, createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { crc24Armor } from './armor.ts';

/** A throw-away OpenPGP key: RSA, version 4 (RFC 9580, made by hand, so that only gpgv is needed). */
export interface SigningKey {
  /** The keyring, as gpgv takes it. */
  readonly keyring: Buffer;
  /** The text with an inline signature, as in an InRelease file. */
  clearsign(text: string): string;
  /** The signature of the text alone, as one packet; several can stand in one armor. */
  signature(text: string): Buffer;
}

/** A private key to make a SigningKey of again. */
export interface StoredKey {
  readonly pem: string;
  /** Seconds since 1970. */
  readonly made: number;
}

/** A new private key, made an hour ago, or long ago for one that has expired since. */
export function newKey(long = false): StoredKey {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    pem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    made: long ? 1_500_000_000 : Math.floor(Date.now() / 1000) - 3600,
  };
}

/** The text with inline signatures of several keys. */
export function clearsign(text: string, keys: readonly SigningKey[]): string {
  const lines = text.replace(/\n$/, '').split('\n');
  const shown = lines.map((line) => (line.startsWith('-') ? `- ${line}` : line)).join('\n');
  const packets = Buffer.concat(keys.map((key) => key.signature(text)));
  return `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${shown}\n${crc24Armor('SIGNATURE', packets)}`;
}

const number = (value: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};

/** A multiprecision integer: its length in bits, then its bytes. */
function mpi(bytes: Buffer): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  const value = bytes.subarray(start);
  return Buffer.concat([number((value.length - 1) * 8 + (32 - Math.clz32(value[0] ?? 0)), 2), value]);
}

const packet = (tag: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([0xc0 | tag, 0xff]), number(body.length, 4), body]);
const subpacket = (type: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([body.length + 1, type]), body]);

/** Makes a key; `expired` lets its certificate run out a day after it was made, long ago. */
export function makeSigningKey(name: string, options: { expired?: boolean; revoked?: boolean; stored?: StoredKey } = {}): SigningKey {
  const { pem, made } = options.stored ?? newKey(options.expired);
  const privateKey = createPrivateKey(pem);
  const { n = '', e = '' } = createPublicKey(pem).export({ format: 'jwk' });
  const body = Buffer.concat([
    Buffer.from([4]),
    number(made, 4),
    Buffer.from([1]),
    mpi(Buffer.from(n, 'base64url')),
    mpi(Buffer.from(e, 'base64url')),
  ]);
  const framed = Buffer.concat([Buffer.from([0x99]), number(body.length, 2), body]);
  const fingerprint = createHash('sha1').update(framed).digest();

  function signature(type: number, content: Buffer, time: number, more: Buffer = Buffer.alloc(0)): Buffer {
    const hashed = Buffer.concat([subpacket(2, number(time, 4)), subpacket(33, Buffer.concat([Buffer.from([4]), fingerprint])), more]);
    // Version 4, the type, RSA, SHA-256.
    const head = Buffer.concat([Buffer.from([4, type, 1, 8]), number(hashed.length, 2), hashed]);
    const signed = Buffer.concat([content, head, Buffer.from([4, 0xff]), number(head.length, 4)]);
    const unhashed = subpacket(16, fingerprint.subarray(-8));
    const digest = createHash('sha256').update(signed).digest();
    const value = createSign('sha256').update(signed).sign(privateKey);
    return packet(2, Buffer.concat([head, number(unhashed.length, 2), unhashed, digest.subarray(0, 2), mpi(value)]));
  }

  const user = Buffer.from(`${name} <${name}@key.example>`);
  const certified = Buffer.concat([framed, Buffer.from([0xb4]), number(user.length, 4), user]);
  const flags = Buffer.concat([subpacket(27, Buffer.from([3])), ...(options.expired === true ? [subpacket(9, number(86_400, 4))] : [])]);
  // RFC 9580, 5.2.3.31: the key has been compromised.
  const reason = subpacket(29, Buffer.concat([Buffer.from([2]), Buffer.from('test')]));
  const revocation = options.revoked === true ? [signature(0x20, framed, made + 60, reason)] : [];
  const key: SigningKey = {
    keyring: Buffer.concat([packet(6, body), ...revocation, packet(13, user), signature(0x13, certified, made, flags)]),
    clearsign: (text) => clearsign(text, [key]),
    signature(text) {
      const lines = text.replace(/\n$/, '').split('\n');
      const canonical = lines.map((line) => line.replace(/[ \t\r]+$/, '')).join('\r\n');
      return signature(1, Buffer.from(canonical), Math.floor(Date.now() / 1000));
    },
  };
  return key;
}
