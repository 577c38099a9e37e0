import { expect, test } from 'vitest';
import { parseKeyring } from '../../../src/store/keyring.ts';
import { makeSigningKey } from '../../helpers/signing.ts';

const good = makeSigningKey('good').keyring;
const expired = makeSigningKey('old', { expired: true }).keyring;

/** A packet of the old format with a length of two bytes, as older keyrings have them. */
const oldPacket = (tag: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x80 | (tag << 2) | 1, body.length >> 8, body.length & 0xff]), body]);

/** A key with the signatures that are given as type, time and days until the key expires. */
function key(...signatures: [type: number, time: number, days?: number, issuer?: string][]): Buffer {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const body = Buffer.concat([Buffer.from([4]), number(1_000_000), Buffer.from([1, 0, 1, 1, 0, 1, 1])]);
  const parts = signatures.map(([type, time, days, issuer]) => {
    const hashed = Buffer.concat([
      Buffer.concat([Buffer.from([5, 2]), number(time)]),
      days === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([5, 9]), number(days * 86_400)]),
    ]);
    const unhashed = issuer === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([9, 16]), Buffer.from(issuer, 'hex')]);
    return oldPacket(
      2,
      Buffer.concat([Buffer.from([4, type, 1, 8, 0, hashed.length]), hashed, Buffer.from([0, unhashed.length]), unhashed, Buffer.alloc(6)]),
    );
  });
  return Buffer.concat([oldPacket(6, body), oldPacket(13, Buffer.from('Somebody')), ...parts]);
}

const expires = (...signatures: Parameters<typeof key>): number | undefined => parseKeyring(key(...signatures))?.[0]?.expires;

test('all keys of a keyring: fingerprint, name, end', () => {
  expect(parseKeyring(Buffer.concat([good, expired]))).toEqual([
    { fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/), name: 'good <good@key.example>', expires: undefined, revoked: false },
    {
      fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
      name: 'old <old@key.example>',
      expires: 1_500_000_000 + 86_400,
      revoked: false,
    },
  ]);
});

test('the newest signature of the key itself says when it ends; one on the key counts more than one on a name', () => {
  const day = (count: number): number => 1_000_000 + count * 86_400;
  expect(expires([0x13, 2_000_000, 5])).toBe(day(5));
  expect(expires([0x13, 3_000_000, 7], [0x13, 2_000_000, 5])).toBe(day(7));
  expect(expires([0x13, 2_000_000, 5], [0x13, 3_000_000])).toBeUndefined();
  expect(expires([0x13, 3_000_000, 7], [0x1f, 2_000_000, 9])).toBe(day(9));
  expect(expires([0x13, 2_000_000, 5], [0x13, 3_000_000, 9, '0123456789abcdef'])).toBe(day(5));
  // A signature on a subkey.
  expect(expires([0x13, 2_000_000, 5], [0x18, 3_000_000, 9])).toBe(day(5));
});

test('a revoked key', () => {
  expect(parseKeyring(key([0x13, 2_000_000], [0x20, 3_000_000]))).toMatchObject([{ name: 'Somebody', revoked: true }]);
});

test.each<[string, Buffer]>([
  ['text', Buffer.from('no keyring')],
  ['a keybox', Buffer.concat([Buffer.alloc(8), Buffer.from('KBXf')])],
  ['a signature without a key', good.subarray(good.length - 300)],
  ['a name first', oldPacket(13, Buffer.from('Somebody'))],
  ['a cut key', good.subarray(0, 40)],
  ['a cut length', Buffer.from([0xc6, 0xff, 0])],
  ['a key in parts', Buffer.from([0xc6, 0xe1, 1, 2])],
  ['an empty key', oldPacket(6, Buffer.alloc(0))],
])('%s is no keyring', (_name, bytes) => {
  expect(parseKeyring(bytes)).toBeUndefined();
});

test('a file without a packet holds no key', () => {
  expect(parseKeyring(Buffer.alloc(0))).toEqual([]);
});
