import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { InterruptedError } from '../errors.ts';
import { readInPieces } from '../system/files.ts';
import { derivedUuid } from '../system/uuid.ts';
import { writeExt4 } from './ext4.ts';
import { BLOCK, COMPRESSED, encodeHeader, HASH_TREE, metainfoText, VerityTree } from './realmfs-format.ts';
import { writeAll } from './realmfs-image.ts';
import type { Target, TargetInput, TargetTools } from './target.ts';

/** What is known of a file system behind a header block once it was read. */
interface Sealed {
  readonly metainfo: string;
  /** Superblock and hash tree. */
  readonly area: Buffer;
}

/** Writes the file system, and reads it once for its hashes. */
async function seal(input: TargetInput, tools: TargetTools): Promise<Sealed> {
  const { file, identity, sourceDateEpoch } = input;
  const written = await writeExt4(input, tools, BLOCK);
  const salt = createHash('sha256').update(`${identity} hash tree`).digest();
  const tree = new VerityTree(salt, derivedUuid(`${identity} hash tree`), written.blocks);
  const handle = await open(file, 'r');
  try {
    await readInPieces(handle, BLOCK, (piece) => {
      if (tools.isStopped()) throw new InterruptedError('interrupted', 130);
      tree.update(piece);
    });
  } finally {
    await handle.close();
  }
  const { area, root, shasum, blocks } = tree.finish();
  const metainfo = metainfoText({
    name: input.name,
    channel: input.channel,
    version: 1,
    timestamp: sourceDateEpoch,
    blocks,
    shasum,
    veritySalt: salt.toString('hex'),
    verityRoot: root,
  });
  return { metainfo, area };
}

/** Writes the header, the last of all: before, the file is no image. */
async function writeHeader(file: string, flags: number, metainfo: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await writeAll(handle, encodeHeader({ status: 0, flags, metainfo, signature: Buffer.alloc(64) }));
  } finally {
    await handle.close();
  }
}

export const realmfs: Target = {
  name: 'realmfs',
  file: (image) => `${image}-realmfs.img`,
  takesOrder: true,
  async write(input, tools) {
    const { metainfo, area } = await seal(input, tools);
    const handle = await open(input.file, 'a');
    try {
      await handle.appendFile(area);
    } finally {
      await handle.close();
    }
    await writeHeader(input.file, HASH_TREE, metainfo);
  },
};

/** The form that citadel-image decompresses: the header, then an xz stream of a block of zeros and the data; no hash tree. */
export const realmfsXz: Target = {
  name: 'realmfs-xz',
  file: (image) => `${image}-realmfs-xz.img`,
  takesOrder: true,
  async write(input, tools) {
    const body = `${input.file}.body`;
    const { metainfo } = await seal({ ...input, file: body }, tools);
    // The block of zeros stands where the header would.
    const script =
      'head --bytes=4096 /dev/zero >"$2"; { head --bytes=4096 /dev/zero; tail --bytes=+4097 "$1"; } | xz --threads=0 --check=crc64 >>"$2"; rm -- "$1"';
    await tools.run({ label: 'xz', file: 'bash', args: ['-euo', 'pipefail', '-c', script, 'bash', body, input.file] });
    await writeHeader(input.file, COMPRESSED, metainfo);
  },
};
