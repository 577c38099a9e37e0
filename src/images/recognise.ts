/** Bytes from the beginning that tell every kind apart. */
export const HEAD = 72 * 1024;

/** What an image is; `content`: what of it can be read beyond its first blocks. */
export const kinds = {
  realmfs: 'RealmFS image',
  ext: 'ext2/3/4 file system',
  squashfs: 'squashfs file system',
  erofs: 'EROFS file system',
  tar: 'tarball',
  ova: 'virtual machine in a tarball (OVA)',
  disk: 'disk image with partitions',
  iso: 'ISO 9660 image',
  qcow2: 'QEMU disk image (qcow2)',
  vmdk: 'VMware disk image (vmdk)',
  vdi: 'VirtualBox disk image (vdi)',
  vhd: 'Virtual PC disk image (vhd)',
  vhdx: 'Hyper-V disk image (vhdx)',
  cpio: 'cpio archive',
  zip: 'zip archive',
  deb: 'Debian package',
  luks: 'encrypted volume (LUKS)',
  btrfs: 'Btrfs file system',
  xfs: 'XFS file system',
  fat: 'FAT file system',
  ntfs: 'NTFS file system',
  swap: 'swap space',
  lvm: 'physical volume of LVM',
} as const;
export type Kind = keyof typeof kinds;

/** How a file is compressed as a whole. */
export const compressions = ['gzip', 'xz', 'zstd', 'bzip2', 'lz4'] as const;
export type Compression = (typeof compressions)[number];

/** What the first bytes of a file say: what it is, or how it is compressed. */
export type Recognised = { readonly kind: Kind } | { readonly compression: Compression };

/** A mark at a place: text, a character for each byte. */
type Mark = readonly [offset: number, text: string];

/** Compressed files, in the order in which they are asked. */
const packed: readonly (readonly [Compression, string])[] = [
  ['gzip', '\x1f\x8b\x08'],
  ['xz', '\xfd7zXZ\0'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['bzip2', 'BZh'],
  ['lz4', '\x04\x22\x4d\x18'],
];

/** What has a mark of its own, in the order in which it is asked: an ISO image may have a partition table, too. */
const marks: readonly (readonly [Kind, ...Mark[]])[] = [
  ['realmfs', [0, 'SGOS']],
  ['squashfs', [0, 'hsqs']],
  ['qcow2', [0, 'QFI\xfb']],
  ['vmdk', [0, 'KDMV'], [0, 'COWD'], [0, '# Disk DescriptorFile']],
  ['vdi', [0x40, '\x7f\x10\xda\xbe']],
  ['vhdx', [0, 'vhdxfile']],
  ['vhd', [0, 'conectix']],
  ['luks', [0, 'LUKS\xba\xbe']],
  ['deb', [0, '!<arch>\ndebian-binary']],
  ['cpio', [0, '070701'], [0, '070702'], [0, '070707'], [0, '\xc7\x71']],
  ['zip', [0, 'PK\x03\x04'], [0, 'PK\x05\x06']],
  ['xfs', [0, 'XFSB']],
  ['erofs', [1024, '\xe2\xe1\xf5\xe0']],
  ['iso', [0x8001, 'CD001']],
  ['btrfs', [0x10040, '_BHRfS_M']],
  ['swap', [4086, 'SWAPSPACE2'], [4086, 'SWAP-SPACE']],
  ['lvm', [512, 'LABELONE'], [0, 'LABELONE']],
  ['ntfs', [3, 'NTFS    ']],
  ['fat', [54, 'FAT1'], [82, 'FAT32']],
];

/** Recognises an image by its first bytes (HEAD, or all that there are); undefined: it is none of all that. */
export function recognise(bytes: Buffer): Recognised | undefined {
  const holds = ([offset, text]: Mark): boolean => bytes.toString('latin1', offset, offset + text.length) === text;
  for (const [compression, text] of packed) if (holds([0, text])) return { compression };
  if (isTar(bytes)) return { kind: nameOfMember(bytes).endsWith('.ovf') ? 'ova' : 'tar' };
  const found = marks.find(([, ...any]) => any.some(holds));
  if (found !== undefined) return { kind: found[0] };
  if (holds([1080, '\x53\xef'])) return { kind: 'ext' };
  return isDisk(bytes, holds) ? { kind: 'disk' } : undefined;
}

/** Bytes of a block of a tarball; its checksum. */
const TAR_BLOCK = 512;
const CHECKSUM = { offset: 148, length: 8 };

/** Whether a tarball begins here: the sum of the header's bytes is in it. */
export function isTar(bytes: Buffer): boolean {
  if (bytes.length < TAR_BLOCK || bytes[0] === 0) return false;
  const said = /^ *([0-7]{1,7})[ \0]/.exec(bytes.toString('latin1', CHECKSUM.offset, CHECKSUM.offset + CHECKSUM.length))?.[1];
  return said !== undefined && Number.parseInt(said, 8) === tarChecksum(bytes);
}

/** The sum of a header's bytes, its own place taken as blanks. */
export function tarChecksum(header: Buffer): number {
  let sum = CHECKSUM.length * 0x20;
  for (let at = 0; at < TAR_BLOCK; at += 1) if (at < CHECKSUM.offset || at >= CHECKSUM.offset + CHECKSUM.length) sum += header[at] ?? 0;
  return sum;
}

function nameOfMember(bytes: Buffer): string {
  return bytes.toString('latin1', 0, 100).replace(/\0.*$/s, '');
}

/** A partition table: that of a GPT, or one of an MBR with a partition that can be. */
function isDisk(bytes: Buffer, holds: (mark: Mark) => boolean): boolean {
  if (holds([512, 'EFI PART']) || holds([4096, 'EFI PART'])) return true;
  if (!holds([510, '\x55\xaa'])) return false;
  const entries = [0, 1, 2, 3].map((index) => bytes.subarray(446 + index * 16, 462 + index * 16));
  const isFree = (entry: Buffer): boolean => entry.every((byte) => byte === 0);
  const isGood = (entry: Buffer): boolean => (entry[0] === 0 || entry[0] === 0x80) && entry[4] !== 0 && entry.readUInt32LE(12) > 0;
  return entries.every((entry) => isFree(entry) || isGood(entry)) && !entries.every(isFree);
}
