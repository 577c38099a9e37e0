import { writeFile } from 'node:fs/promises';
import { removeFile } from '../system/files.ts';
import { derivedUuid } from '../system/uuid.ts';
import type { SparseFile, Target } from './target.ts';

/** Bytes of holes up to which a file is written in full: an image without compressed files is read without root. */
const WRITTEN_IN_FULL = 64 * 1024 ** 2;

export const erofs: Target = {
  name: 'erofs',
  file: (image) => `${image}.erofs`,
  takesOrder: true,
  mayLackLongNames: true,
  tools: { 'mkfs.erofs': 'erofs-utils' },
  // Inodes of the compact form, which it chooses where it can, hold no times.
  async write({ file, identity, sourceDateEpoch, sparse }, { run }) {
    const hints = `${file}.hints`;
    const large = sparse.filter(({ holes }) => holes > WRITTEN_IN_FULL);
    if (large.length > 0) await writeFile(hints, compressionHints(large));
    const compressed = large.length > 0 ? ['-zlz4', `--compress-hints=${hints}`] : [];
    await run({
      label: 'mkfs.erofs',
      file: 'mkfs.erofs',
      args: ['--quiet', '-E', 'force-inode-extended', ...compressed, '-U', derivedUuid(identity), '-x', '1', file, '.'],
      // -T would give this time to every file.
      env: { SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
    });
    await removeFile(hints);
  },
};

/**
 * EROFS has no holes that mkfs.erofs would make: files with many are compressed, and no others. The form is that of erofs-utils 1.4 and
 * later: a line for each pattern, the size of a compressed block before it; 0: none.
 */
function compressionHints(sparse: readonly SparseFile[]): Buffer {
  const pattern = (path: string): string => path.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/\s/g, '.');
  return Buffer.from([...sparse.map(({ path }) => `4096 ^${pattern(path)}$\n`), '0 .\n'].join(''), 'latin1');
}
