import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { identityOf } from '../../../src/records/identity.ts';

const pem = (type: 'pkcs1' | 'pkcs8'): string =>
  generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type, format: 'pem' }).toString();
const shown = (text: string | Buffer, mode = 0o644, name = '/etc/x/some.key'): string => {
  const identity = identityOf(Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1'), mode, name);
  if (identity === undefined) return 'nothing';
  const { what, isWhole, template } = identity;
  return `${what}${isWhole ? '' : ', among other things'}${template === undefined ? '' : `: ${JSON.stringify(template.draw)}`}`;
};
const uuid = 'd4bd7ed1-3f8a-4c0b-9a3f-0c5d2f1f2b11';

const randomBytes = createHash('sha256').update('drawn').digest();
/** As PostgreSQL's pg_control: numbers at the start, a few bytes further on, and zeros. */
const header = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([20, 7, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0]), Buffer.alloc(250), bytes, Buffer.alloc(7900)]);

describe('what belongs to one machine', () => {
  test.each<[name: string, text: string | Buffer, mode: number, expected: string]>([
    ['a key of openssl', pem('pkcs8'), 0o600, 'a private key'],
    ['whoever may read it', `# made by a script\n${pem('pkcs1')}`, 0o644, 'a private key'],
    ['of ssh', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\n-----END OPENSSH PRIVATE KEY-----\n', 0o600, 'a private key'],
    ['and its certificate', `${pem('pkcs8')}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`, 0o640, 'a private key'],
    ['of GnuPG', 'Created: 20260101T000000\nKey: (private-key (ecc (curve Ed25519)\n', 0o600, 'a private key'],
    ['of GnuPG, as it was', '(11:private-key(3:ecc(5:curve7:Ed25519', 0o600, 'a private key'],
    ['in a configuration', `client\nremote vpn.example\n<key>\n${pem('pkcs8')}</key>\n`, 0o600, 'a private key, among other things'],
    ['in binary form', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }), 0o600, 'a private key'],
    ['a UUID', `${uuid}\n`, 0o644, 'a random identifier: {"kind":"uuid"}'],
    ['a name with a UUID', `nqn.2014-08.org.nvmexpress:uuid:${uuid}\n`, 0o644, 'a random identifier: {"kind":"uuid"}'],
    [
      'an initiator',
      '## DO NOT EDIT\n## Do NOT duplicate\nInitiatorName=iqn.1993-08.org.debian:01:f34d15e4ec1c\n',
      0o600,
      'a random identifier: {"kind":"hex","count":12}',
    ],
    [
      'a key of BIND',
      'key "rndc-key" {\n\talgorithm hmac-sha256;\n\tsecret "Yb4gVwzsWn3i2HvcHqoY5m9MZGGqYv2lVOlTSyIcZ1k=";\n};\n',
      0o640,
      'a secret: {"kind":"base64","count":32}',
    ],
    ['a cookie', 'QZKXJWPLMTRDVNHBYCFG\n', 0o400, 'nothing'],
    ['a mixed cookie', 'qZ7xJ2pL9mT4dV6nH8yC\n', 0o400, 'a secret: {"kind":"alphanumeric","count":20}'],
    ['a secret of hexadecimal digits', '0f3a9c5e7b1d2846f0e1d2c3b4a59687\n', 0o640, 'a secret: {"kind":"hex","count":32}'],
    [
      'random bytes',
      Buffer.from(Array.from({ length: 1024 }, (_, at) => (at * 167 + (at >> 3) * 31) % 256)),
      0o400,
      'a secret: {"kind":"bytes","count":1024}',
    ],
    [
      'a UUID among other things',
      `<network>\n<name>default</name>\n<uuid>${uuid}</uuid>\n</network>\n`,
      0o644,
      'a random identifier, among other things',
    ],
    ['a password among other things', '[client]\nhost = localhost\npassword = kq8Zt3Vn7LwX2bRy\n', 0o600, 'a secret, among other things'],
    [
      'an identifier that is called so',
      'PARTICIPATE="no"\nMY_HOSTID="0f3a9c5e7b1d2846f0e1d2c3b4a59687"\n',
      0o644,
      'a random identifier, among other things',
    ],
    ['the header of a database', header(randomBytes), 0o600, 'a random identifier, among other things'],
    ['a digest that all may read', '0f3a9c5e7b1d2846f0e1d2c3b4a59687\n', 0o644, 'a random identifier, among other things'],
  ])('%s', (_, text, mode, expected) => {
    expect(shown(text, mode)).toBe(expected);
  });

  test.each<[name: string, text: string | Buffer, mode: number]>([
    ['nothing', '', 0o600],
    ['a certificate', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', 0o644],
    ['a public key', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJzA root@web\n', 0o644],
    ['words', 'options { directory "/var/cache/bind"; };\nname = a-rather-long-word-with-dashes\n', 0o640],
    ['a long name', 'reproducible-builds-practice\n', 0o600],
    ['accounts', 'root:*:20055:0:99999:7:::\nuser:$6$5b7c1d$Qm0:20055:0:99999:7:::\n', 0o640],
    ['binary data that all may read', Buffer.from(Array.from({ length: 1024 }, (_, at) => (at * 167) % 256)), 0o644],
    ['a header without random bytes', header(Buffer.from('PostgreSQL 17, en_US.UTF-8, 1024 blocks')), 0o600],
    [
      'a page of words and lengths',
      header(Buffer.from('\r\x05\x80\x03)\x18\x0b\x0718\x1bDBMS VERSION\x1917.12.0\xb1\x02', 'latin1')),
      0o600,
    ],
    ['a header with counters', header(Buffer.from(Array.from({ length: 40 }, (_, at) => (at % 4 === 0 ? at : 1)))), 0o600],
    ['a header that all may read', header(randomBytes), 0o644],
    ['a UUID that is no random one', 'type = 6ba7b810-9dad-31d1-80b4-00c04fd430c8\nsize = 3\n', 0o644],
  ])('%s is none', (_, text, mode) => {
    expect(shown(text, mode)).toBe('nothing');
  });

  test('random bytes by their name, since databases look like them', () => {
    const bytes = Buffer.from(Array.from({ length: 52 }, (_, at) => (at * 167 + 3) % 256));
    expect(shown(bytes, 0o660, '/var/lib/mysql/aria_log_control')).toBe('nothing');
    expect(shown(bytes, 0o660, '/etc/key/data')).toBe('nothing');
    expect(shown(bytes, 0o600, '/var/lib/x/random-seed')).toContain('a secret');
    expect(shown(Buffer.concat([bytes.subarray(0, 20), Buffer.alloc(32)]), 0o600)).toBe('nothing');
  });

  test('what stands around the random part stays', () => {
    const text = '# name\nInitiatorName=iqn.1993-08.org.debian:01:f34d15e4ec1c\n# end\n';
    expect(identityOf(Buffer.from(text), 0o600, '/x')?.template).toMatchObject({
      before: '# name\nInitiatorName=iqn.1993-08.org.debian:01:',
      after: '\n# end\n',
    });
  });
});
