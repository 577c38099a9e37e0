import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { BLOCK, encodeHeader, isRealmfsName, metainfoText, VerityTree } from '../../../src/targets/realmfs-format.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const salt = createHash('sha256').update('salt').digest();
const uuid = '01234567-89ab-8def-a123-456789abcdef';

/** Blocks that differ, with blocks of zeros between them. */
function data(blocks: number): Buffer {
  const bytes = Buffer.alloc(blocks * BLOCK);
  for (let at = 0; at < blocks; at += 3) bytes.writeUInt32LE(at + 1, at * BLOCK + (at % 4000));
  return bytes;
}

describe('the hash tree', () => {
  test.each([1, 2, 127, 128, 129, 300, 16384, 16385])('of %i blocks is that of veritysetup', (blocks) => {
    const folder = tempRoot();
    const [body, hashes] = ['body', 'hashes'].map((name) => path.join(folder, name)) as [string, string];
    const bytes = data(blocks);
    writeFileSync(body, bytes);
    const said = execFileSync('veritysetup', ['format', '--salt', salt.toString('hex'), '--uuid', uuid, body, hashes], {
      encoding: 'utf8',
    });
    const tree = new VerityTree(salt, uuid);
    // In pieces that are no whole blocks.
    for (let at = 0; at < bytes.length; at += 10_000) tree.update(bytes.subarray(at, at + 10_000));
    const made = tree.finish();
    expect(made.root).toBe(/Root hash:\s+(\S+)/.exec(said)?.[1]);
    expect(made.area.equals(readFileSync(hashes))).toBe(true);
    expect(made.shasum).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(made.blocks).toBe(blocks);
  });

  test('no data, or a part of a block, is refused', () => {
    expect(() => new VerityTree(salt, uuid).finish()).toThrow('there is no data');
    const tree = new VerityTree(salt, uuid);
    tree.update(Buffer.alloc(BLOCK + 1));
    expect(() => tree.finish()).toThrow('ends within a block');
  });
});

describe('the header', () => {
  const header = { status: 0, flags: 2, metainfo: 'image-type = "realmfs"\n', signature: Buffer.alloc(64, 7) };

  test('byte for byte', () => {
    const block = encodeHeader(header);
    expect(block).toHaveLength(4096);
    expect(block.subarray(0, 8)).toEqual(Buffer.from([0x53, 0x47, 0x4f, 0x53, 0, 2, 0, 23]));
    expect(block.subarray(8, 31).toString()).toBe(header.metainfo);
    expect(block.subarray(31, 95)).toEqual(header.signature);
    expect(block.subarray(95).every((byte) => byte === 0)).toBe(true);
  });

  test('the length of the metainfo', () => {
    for (const length of [1, 4023]) expect(encodeHeader({ ...header, metainfo: 'x'.repeat(length) }).readUInt16BE(6)).toBe(length);
    for (const length of [0, 4024, 70_000])
      expect(() => encodeHeader({ ...header, metainfo: 'x'.repeat(length) })).toThrow('the metainfo has');
    expect(() => encodeHeader({ ...header, signature: Buffer.alloc(63) })).toThrow('a signature has 64 bytes');
  });

  test('the metainfo, in the order of citadel-mkimage', () => {
    const info = { name: 'base', channel: 'dev', version: 1, timestamp: 7, blocks: 300, shasum: 'aa', veritySalt: 'bb', verityRoot: 'cc' };
    expect(metainfoText(info)).toBe(
      'image-type = "realmfs"\nrealmfs-name = "base"\nchannel = "dev"\nversion = 1\ntimestamp = "7"\nnblocks = 300\nshasum = "aa"\nverity-salt = "bb"\nverity-root = "cc"\n',
    );
    expect(() => metainfoText({ ...info, name: 'a b' })).toThrow("'a b' is no name");
  });

  test.each([
    ['base', true],
    ['a', true],
    ['A-1', true],
    ['a'.repeat(40), true],
    ['a'.repeat(41), false],
    ['1a', false],
    ['-a', false],
    ['a_b', false],
    ['', false],
    ['ä', false],
  ])('the name %j', (name, isOne) => {
    expect(isRealmfsName(name)).toBe(isOne);
  });
});
