import { describe, expect, test } from 'vitest';
import { bytesOf } from '../../../src/images/bytes.ts';
import { factsOf } from '../../../src/images/facts.ts';
import { partitionTable } from '../../../src/images/partitions.ts';
import { recognise } from '../../../src/images/recognise.ts';
import { encodeHeader, HASH_TREE, metainfoText } from '../../../src/targets/realmfs-format.ts';

/** Zeros with texts at their places, a character for each byte. */
function bytes(size: number, ...texts: readonly (readonly [offset: number, text: string])[]): Buffer {
  const buffer = Buffer.alloc(size);
  for (const [offset, text] of texts) buffer.write(text, offset, 'latin1');
  return buffer;
}

/** The header of a member of a tarball, with its checksum. */
function member(name: string): Buffer {
  const block = bytes(512, [0, name], [124, '00000000000\0'], [148, '        '], [156, '0']);
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

const partition = '\x80\0\0\0\x83\0\0\0\0\x08\0\0\0\x10\0\0';

describe('the first bytes tell', () => {
  test.each<[string, Buffer, object | undefined]>([
    ['RealmFS', bytes(4096, [0, 'SGOS']), { kind: 'realmfs' }],
    ['ext', bytes(2048, [1080, '\x53\xef']), { kind: 'ext' }],
    ['squashfs', bytes(96, [0, 'hsqs']), { kind: 'squashfs' }],
    ['EROFS', bytes(4096, [1024, '\xe2\xe1\xf5\xe0']), { kind: 'erofs' }],
    ['a tarball of the first format', member('a'), { kind: 'tar' }],
    ['an OVA', member('box.ovf'), { kind: 'ova' }],
    ['gzip', bytes(20, [0, '\x1f\x8b\x08']), { compression: 'gzip' }],
    ['xz', bytes(20, [0, '\xfd7zXZ\0']), { compression: 'xz' }],
    ['zstd', bytes(20, [0, '\x28\xb5\x2f\xfd']), { compression: 'zstd' }],
    ['cpio', bytes(200, [0, '070701']), { kind: 'cpio' }],
    ['zip', bytes(40, [0, 'PK\x03\x04']), { kind: 'zip' }],
    ['a Debian package', bytes(200, [0, '!<arch>\ndebian-binary   ']), { kind: 'deb' }],
    ['qcow2', bytes(200, [0, 'QFI\xfb']), { kind: 'qcow2' }],
    ['vmdk', bytes(200, [0, 'KDMV']), { kind: 'vmdk' }],
    ['ISO 9660 with a partition table', bytes(0x9000, [0x8001, 'CD001'], [446, partition], [510, '\x55\xaa']), { kind: 'iso' }],
    ['GPT', bytes(1024, [512, 'EFI PART'], [510, '\x55\xaa']), { kind: 'disk' }],
    ['GPT of large sectors', bytes(8192, [4096, 'EFI PART']), { kind: 'disk' }],
    ['MBR', bytes(512, [446, partition], [510, '\x55\xaa']), { kind: 'disk' }],
    ['FAT, whose first sector ends as an MBR', bytes(512, [54, 'FAT16   '], [510, '\x55\xaa']), { kind: 'fat' }],
    ['the boot sector of something else', bytes(512, [446, 'no partition table'], [510, '\x55\xaa']), undefined],
    ['zeros', bytes(73_728), undefined],
    ['nothing', Buffer.alloc(0), undefined],
    ['text', Buffer.from('hello\n'), undefined],
  ])('%s', (_, buffer, expected) => {
    expect(recognise(buffer)).toEqual(expected);
  });

  test('nothing that is cut off makes it fail', () => {
    const whole = bytes(0x9000, [0x8001, 'CD001'], [446, partition], [510, '\x55\xaa'], [1080, '\x53\xef']);
    for (let size = 0; size < 600; size += 1) expect(() => recognise(whole.subarray(0, size))).not.toThrow();
  });
});

describe('what headers say', () => {
  test('RealmFS', () => {
    const digest = 'ab'.repeat(32);
    const info = {
      name: 'base',
      channel: 'c',
      version: 2,
      timestamp: 5,
      blocks: 1,
      shasum: digest,
      veritySalt: digest,
      verityRoot: digest,
    };
    const header = encodeHeader({ status: 0, flags: HASH_TREE, metainfo: metainfoText(info), signature: Buffer.alloc(64) });
    const image = Buffer.concat([header, Buffer.alloc(4096)]);
    expect(factsOf('realmfs', bytesOf(image))).toMatchObject({
      name: 'base',
      signed: false,
      hashTree: true,
      dataSize: 4096,
      verityRoot: digest,
    });
    expect(() => factsOf('realmfs', bytesOf(header))).toThrow(/is cut off/);
    expect(() => factsOf('realmfs', bytesOf(header.subarray(0, 100)))).toThrow(/no RealmFS image/);
  });

  test('qcow2', () => {
    const header = bytes(200, [0, 'QFI\xfb\0\0\0\x03'], [20, '\0\0\0\x10'], [27, '\x01'], [15, '\x64'], [19, '\x04'], [100, 'base']);
    expect(factsOf('qcow2', bytesOf(header))).toEqual({ version: 3, virtualSize: 2 ** 32, clusterSize: 65_536, backingFile: 'base' });
    header.fill(0xff, 24, 32);
    expect(() => factsOf('qcow2', bytesOf(header))).toThrow(/a size that cannot be/);
  });

  test('squashfs that is cut off', () => {
    expect(() => factsOf('squashfs', bytesOf(bytes(96, [0, 'hsqs'], [41, '\x10'])))).toThrow('is cut off: the file system has 4096 bytes');
  });
});

describe('partition tables', () => {
  test('MBR with logical partitions', () => {
    const disk = bytes(
      512 * 200,
      [446, '\0\0\0\0\x83\0\0\0\x08\0\0\0\x10\0\0\0'],
      [462, '\0\0\0\0\x05\0\0\0\x20\0\0\0\x80\0\0\0'],
      [510, '\x55\xaa'],
      [512 * 32 + 446, '\0\0\0\0\x82\0\0\0\x01\0\0\0\x04\0\0\0'],
      [512 * 32 + 462, '\0\0\0\0\x05\0\0\0\x10\0\0\0\x10\0\0\0'],
      [512 * 48 + 446, '\0\0\0\0\x83\0\0\0\x02\0\0\0\x04\0\0\0'],
      // Back to the first: a chain must not be followed for ever.
      [512 * 48 + 462, '\0\0\0\0\x05\0\0\0\0\0\0\0\x10\0\0\0'],
    );
    expect(partitionTable(bytesOf(disk)).slices).toEqual([
      { number: 1, type: '0x83', label: '', start: 8 * 512, size: 16 * 512 },
      { number: 2, type: '0x05', label: '', start: 32 * 512, size: 128 * 512 },
      { number: 5, type: '0x82', label: '', start: 33 * 512, size: 4 * 512 },
      { number: 6, type: '0x83', label: '', start: 50 * 512, size: 4 * 512 },
    ]);
  });

  test('GPT', () => {
    const disk = bytes(512 * 8, [512, 'EFI PART'], [512 + 72, '\x02'], [512 + 80, '\x04\0\0\0\x80']);
    disk.write('af3dc60f838472478e793d69d8477de4', 1024, 'hex');
    disk.writeBigUInt64LE(4n, 1024 + 32);
    disk.writeBigUInt64LE(5n, 1024 + 40);
    disk.write('root', 1024 + 56, 'utf16le');
    expect(partitionTable(bytesOf(disk))).toMatchObject({
      table: 'gpt',
      slices: [{ number: 1, type: '0fc63daf-8483-4772-8e79-3d69d8477de4', label: 'root', start: 2048, size: 1024 }],
    });
    disk.writeBigUInt64LE(1n, 1024 + 40);
    expect(() => partitionTable(bytesOf(disk))).toThrow('partition 1 ends before it begins');
    disk.writeUInt32LE(2 ** 31, 512 + 80);
    expect(() => partitionTable(bytesOf(disk))).toThrow(/is damaged/);
  });
});
