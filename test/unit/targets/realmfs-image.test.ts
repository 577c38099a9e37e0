import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { keygenCommand, signCommand, verifyCommand } from '../../../src/cli/image-commands.ts';
import { BLOCK, COMPRESSED, encodeHeader, HASH_TREE, metainfoText, VerityTree } from '../../../src/targets/realmfs-format.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const salt = createHash('sha256').update('salt').digest();

const around = { env: {}, signal: new AbortController().signal };
const sign = (options: { file: string; key: string }, cwd: string): Promise<string> => signCommand({ user: '', ...options }, cwd, around);
const verifyAll = (options: { files: string[]; key: string | undefined }, cwd: string): Promise<string> =>
  verifyCommand({ keyring: undefined, ...options }, cwd, around);

/** An image of some blocks. */
function makeImage(folder: string, blocks: number, options: { name?: string; tree?: boolean } = {}): string {
  const data = Buffer.alloc(blocks * BLOCK);
  for (let at = 0; at < blocks; at += 1) data.writeUInt32LE(at + 1, at * BLOCK);
  const tree = new VerityTree(salt, '01234567-89ab-8def-a123-456789abcdef');
  tree.update(data);
  const { area, root, shasum } = tree.finish();
  const info = {
    name: 'base',
    channel: 'dev',
    version: 1,
    timestamp: 7,
    blocks,
    shasum,
    veritySalt: salt.toString('hex'),
    verityRoot: root,
  };
  const metainfo = metainfoText(info).replace('"base"', `"${options.name ?? 'base'}"`);
  const hasTree = options.tree !== false;
  const header = encodeHeader({ status: 0, flags: hasTree ? HASH_TREE : 0, metainfo, signature: Buffer.alloc(64) });
  const file = path.join(folder, 'base-realmfs.img');
  writeFileSync(file, Buffer.concat([header, data, hasTree ? area : Buffer.alloc(0)]));
  return file;
}

/** A key pair and a signed image. */
async function signed(blocks = 300): Promise<{ folder: string; image: string; check: () => Promise<string> }> {
  const folder = tempRoot();
  await keygenCommand('key', folder);
  const image = makeImage(folder, blocks);
  await sign({ file: image, key: 'key' }, folder);
  return { folder, image, check: () => verifyAll({ files: [image], key: 'key.pub' }, folder) };
}

function flip(file: string, at: number, bit = 0): void {
  const bytes = readFileSync(file);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
  writeFileSync(file, bytes);
}

describe('keys and signatures', () => {
  test('openssl agrees', async () => {
    const { folder, image } = await signed();
    expect(statSync(path.join(folder, 'key')).mode & 0o777).toBe(0o600);
    const header = readFileSync(image).subarray(0, BLOCK);
    const length = header.readUInt16BE(6);
    const write = (name: string, bytes: Buffer): string => {
      writeFileSync(path.join(folder, name), bytes);
      return path.join(folder, name);
    };
    const args = ['pkeyutl', '-verify', '-pubin', '-inkey', path.join(folder, 'key.pub'), '-rawin'];
    const files = [
      '-in',
      write('metainfo', header.subarray(8, 8 + length)),
      '-sigfile',
      write('signature', header.subarray(8 + length, 72 + length)),
    ];
    expect(execFileSync('openssl', [...args, ...files], { encoding: 'utf8' })).toContain('Signature Verified Successfully');
  });

  test('a key in PEM, another key, no key', async () => {
    const { folder, image, check } = await signed();
    expect(await check()).toContain('base, channel dev, 300 blocks, data and hash tree good, signed by the key');
    expect(await verifyAll({ files: [image], key: undefined }, folder)).toContain('signed, by whom was not asked');
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    writeFileSync(path.join(folder, 'pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
    writeFileSync(path.join(folder, 'pem.pub'), publicKey.export({ format: 'pem', type: 'spki' }));
    await sign({ file: image, key: 'pem' }, folder);
    await expect(check()).rejects.toThrow('the signature is not that of the key');
    expect(await verifyAll({ files: [image], key: 'pem.pub' }, folder)).toContain('signed by the key');
    await expect(sign({ file: image, key: 'pem.pub' }, folder)).rejects.toThrow('is no private Ed25519 key');
    await expect(sign({ file: image, key: 'key.pub' }, folder)).rejects.toThrow('is no private Ed25519 key');
    await expect(keygenCommand('key', folder)).rejects.toMatchObject({ message: expect.stringContaining('EEXIST'), exitCode: 2 });
  });
});

describe('every bit that is flipped is found', () => {
  test.each([
    ['the magic', 0, 'does not begin with SGOS'],
    ['the status', 4, 'the status in the header is 1'],
    ['the flags', 'flags', 'unknown flags: 0x8'],
    ['the length of the metainfo', 7, /signature|metainfo|padded/],
    ['the metainfo', 12, /image-type|line that is none|type/],
    ['the channel', 'channel = "', 'the signature is not that of the key'],
    ['the signature', 'signature', 'the signature is not that of the key'],
    ['the padding', 4095, 'the header is not padded with zeros'],
    ['the first block of data', BLOCK, 'data block 0 of 300 is not'],
    ['a block of data', BLOCK + 123 * BLOCK + 4095, 'data block 123 of 300 is not'],
    ['the last block of data', 301 * BLOCK - 1, 'data block 299 of 300 is not'],
    ['the superblock of the tree', 301 * BLOCK + 8, 'block 0 of the hash tree'],
    ['the top of the tree', 302 * BLOCK + 1, 'block 1 of the hash tree'],
    ['a leaf of the tree', 304 * BLOCK + 17, 'block 3 of the hash tree'],
    ['the end of the tree', 306 * BLOCK - 1, 'block 4 of the hash tree'],
  ])('%s', async (_, at, message) => {
    const { image, check } = await signed();
    const bytes = readFileSync(image);
    const end = 8 + bytes.readUInt16BE(6);
    if (at === 'flags') flip(image, 5, 3);
    else flip(image, typeof at === 'number' ? at : at === 'signature' ? end + 63 : bytes.indexOf(at) + at.length);
    await expect(check()).rejects.toThrow(message);
  });

  test('a file that is too long, too short, empty, or something else', async () => {
    const { folder, image, check } = await signed(2);
    const whole = readFileSync(image);
    for (const bytes of [Buffer.concat([whole, Buffer.alloc(BLOCK)]), whole.subarray(0, -BLOCK), whole.subarray(0, 100)]) {
      writeFileSync(image, bytes);
      await expect(check()).rejects.toThrow(/should have|does not begin/);
    }
    await expect(verifyAll({ files: ['/etc/passwd'], key: undefined }, folder)).rejects.toThrow('does not begin with SGOS');
    await expect(verifyAll({ files: ['none'], key: undefined }, folder)).rejects.toMatchObject({ exitCode: 2 });
  });

  test.each([
    ['a'.repeat(41), 'is no name of a realm'],
    ['1a', 'is no name of a realm'],
  ])('the name %s', async (name, message) => {
    await expect(verifyAll({ files: [makeImage(tempRoot(), 2, { name })], key: undefined }, '/')).rejects.toThrow(message);
  });

  test.each([0, 4024])('a length of %i of the metainfo', async (length) => {
    const image = makeImage(tempRoot(), 2);
    const bytes = readFileSync(image);
    bytes.writeUInt16BE(length, 6);
    writeFileSync(image, bytes);
    await expect(verifyAll({ files: [image], key: undefined }, '/')).rejects.toThrow(`the metainfo has ${length} bytes`);
  });
});

test('without a hash tree the root is compared; one block has no tree', async () => {
  for (const blocks of [1, 2, 129]) {
    const image = makeImage(tempRoot(), blocks, { tree: false });
    expect(await verifyAll({ files: [image], key: undefined }, '/')).toContain('data good, not signed');
    flip(image, BLOCK + 5);
    await expect(verifyAll({ files: [image], key: undefined }, '/')).rejects.toThrow('is not what the root of the hash tree says');
  }
});

describe('the compressed form', () => {
  /** Its header, and what xz makes of `body`. */
  const compressed = (body: (data: Buffer) => Buffer): string => {
    const image = makeImage(tempRoot(), 2);
    const bytes = readFileSync(image);
    bytes.writeUInt8(COMPRESSED, 5);
    const packed = execFileSync('xz', ['--stdout'], { input: body(bytes.subarray(BLOCK, 3 * BLOCK)) });
    writeFileSync(image, Buffer.concat([bytes.subarray(0, BLOCK), packed]));
    return image;
  };

  test('is checked by its checksum', async () => {
    const image = compressed((data) => Buffer.concat([Buffer.alloc(BLOCK), data]));
    expect(await verifyAll({ files: [image], key: undefined }, '/')).toContain(
      '2 blocks, compressed, checksum of the data good, not signed',
    );
  });

  test.each([
    ['without the block of zeros', (data: Buffer) => data, 'does not begin with a block of zeros'],
    ['with other data', () => Buffer.alloc(3 * BLOCK), 'is not what the checksum in the header says'],
    ['with too much', (data: Buffer) => Buffer.concat([Buffer.alloc(BLOCK), data, Buffer.alloc(1)]), 'is not what the checksum'],
  ])('%s is not good', async (_, body, message) => {
    await expect(verifyAll({ files: [compressed(body)], key: undefined }, '/')).rejects.toThrow(message);
  });

  test('cut off, or no xz at all', async () => {
    const image = compressed((data) => Buffer.concat([Buffer.alloc(BLOCK), data]));
    const bytes = readFileSync(image);
    writeFileSync(image, bytes.subarray(0, -20));
    await expect(verifyAll({ files: [image], key: undefined }, '/')).rejects.toThrow('cannot be decompressed');
    writeFileSync(image, Buffer.concat([bytes.subarray(0, BLOCK), Buffer.from('nonsense')]));
    await expect(verifyAll({ files: [image], key: undefined }, '/')).rejects.toThrow('cannot be decompressed');
  });
});

test.each([
  ['a key twice', (text: string) => `${text}nblocks = 2\n`, 'the metainfo has nblocks twice'],
  ['a number in quotes', (text: string) => text.replace('nblocks = 2', 'nblocks = "2"'), 'no number as nblocks'],
  ['a leading zero', (text: string) => text.replace('nblocks = 2', 'nblocks = 02'), 'no number as nblocks'],
  ['a text without quotes', (text: string) => text.replace('"dev"', 'dev'), 'no text in quotes as channel'],
  ['no blocks', (text: string) => text.replace('nblocks = 2', 'nblocks = 0'), 'there are 0 blocks'],
  ['too many blocks', (text: string) => text.replace('nblocks = 2', 'nblocks = 4294967295'), 'there are 4294967295 blocks'],
  ['no checksum', (text: string) => text.replace(/^shasum.*\n/m, ''), 'no shasum'],
  ['control characters', (text: string) => text.replace('dev', 'd\u001bev'), 'no text in quotes as channel'],
])('metainfo with %s is refused', async (_, edit, message) => {
  const image = makeImage(tempRoot(), 2);
  const bytes = readFileSync(image);
  const length = bytes.readUInt16BE(6);
  const header = encodeHeader({
    status: 0,
    flags: HASH_TREE,
    metainfo: edit(bytes.toString('utf8', 8, 8 + length)),
    signature: Buffer.alloc(64),
  });
  writeFileSync(image, Buffer.concat([header, bytes.subarray(BLOCK)]));
  await expect(verifyAll({ files: [image], key: undefined }, '/')).rejects.toThrow(message);
});

test('the header alone is signed, and put back', async () => {
  const folder = tempRoot();
  await keygenCommand('key', folder);
  const image = makeImage(folder, 2);
  const bytes = readFileSync(image);
  writeFileSync(path.join(folder, 'header'), bytes.subarray(0, BLOCK));
  await sign({ file: 'header', key: 'key' }, folder);
  writeFileSync(image, Buffer.concat([readFileSync(path.join(folder, 'header')), bytes.subarray(BLOCK)]));
  expect(await verifyAll({ files: [image], key: 'key.pub' }, folder)).toContain('signed by the key');
});

test('signing renews checksums beside the image, and nothing else of them', async () => {
  const folder = tempRoot({ other: 'x', 'SHA256SUMS.gpg': 'of the old sums' });
  await keygenCommand('key', folder);
  const image = makeImage(folder, 2);
  const old = createHash('sha256').update(readFileSync(image)).digest('hex');
  const subject = (sha256: string): object => ({ subject: [{ name: 'other' }, { name: 'base-realmfs.img', digest: { sha256 } }] });
  writeFileSync(path.join(folder, 'base.provenance.json'), JSON.stringify(subject(old)));
  spawnSync('bash', ['-c', 'sha256sum other base-realmfs.img base.provenance.json >SHA256SUMS; chmod 640 SHA256SUMS'], { cwd: folder });
  writeFileSync(path.join(folder, 'manifest.json'), JSON.stringify({ mine: 1, artifacts: [{ file: 'base-realmfs.img', sha256: old }] }));
  const said = await sign({ file: image, key: 'key' }, folder);
  expect(said).toContain('SHA256SUMS: the checksum is that of the signed image');
  expect(await verifyAll({ files: [folder], key: 'key.pub' }, folder)).toMatch(
    /^other: good\n.*signed by the key\nbase\.provenance\.json: good\n$/,
  );
  expect(existsSync(path.join(folder, 'SHA256SUMS.gpg'))).toBe(false);
  const now = createHash('sha256').update(readFileSync(image)).digest('hex');
  expect(JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8'))).toEqual({
    mine: 1,
    artifacts: [{ file: 'base-realmfs.img', sha256: now }],
  });
  expect(JSON.parse(readFileSync(path.join(folder, 'base.provenance.json'), 'utf8'))).toEqual(subject(now));
  expect(statSync(path.join(folder, 'SHA256SUMS')).mode & 0o777).toBe(0o640);
  await keygenCommand('two', folder);
  await expect(verifyAll({ files: [folder], key: 'two.pub' }, folder)).rejects.toThrow('the signature is not that of the key');
  writeFileSync(path.join(folder, 'SHA256SUMS'), '');
  await expect(verifyAll({ files: [folder], key: undefined }, folder)).rejects.toThrow('names nothing');
});

test('what is signed by way of a link is the image itself; its records lie beside it', async () => {
  const folder = tempRoot({ 'below/x': '' });
  await keygenCommand('key', folder);
  const image = makeImage(path.join(folder, 'below'), 2);
  spawnSync('bash', ['-c', 'sha256sum base-realmfs.img >SHA256SUMS; ln -s below/base-realmfs.img ../link'], {
    cwd: path.join(folder, 'below'),
  });
  await sign({ file: 'link', key: 'key' }, folder);
  expect(await verifyAll({ files: ['below'], key: 'key.pub' }, folder)).toContain(`${image}: base`);
  await expect(verifyAll({ files: ['below'], key: 'key' }, folder)).rejects.toThrow('is a private key');
  await expect(sign({ file: 'below', key: 'key' }, folder)).rejects.toThrow('is a folder');
  await expect(verifyAll({ files: ['.'], key: undefined }, folder)).rejects.toThrow('has no SHA256SUMS');
});

test('results by their checksums', async () => {
  const folder = tempRoot({ a: 'one', 'b c': 'two' });
  spawnSync('bash', ['-c', 'sha256sum a "b c" >SHA256SUMS'], { cwd: folder });
  expect(await verifyAll({ files: ['.'], key: undefined }, folder)).toBe('a: good\nb c: good\n');
  writeFileSync(path.join(folder, 'a'), 'other');
  await expect(verifyAll({ files: ['SHA256SUMS'], key: undefined }, folder)).rejects.toThrow('a: is not what SHA256SUMS says');
});
