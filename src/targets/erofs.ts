import { derivedUuid } from '../system/uuid.ts';
import type { Target } from './target.ts';

export const erofs: Target = {
  name: 'erofs',
  file: (image) => `${image}.erofs`,
  takesOrder: true,
  tools: { 'mkfs.erofs': 'erofs-utils' },
  // Inodes of the compact form, which it chooses where it can, hold no times.
  write: ({ file, identity, sourceDateEpoch }, { run }) =>
    run({
      label: 'mkfs.erofs',
      file: 'mkfs.erofs',
      args: ['--quiet', '-E', 'force-inode-extended', '-U', derivedUuid(identity), '-x', '1', file, '.'],
      // -T would give this time to every file.
      env: { SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
    }),
};
