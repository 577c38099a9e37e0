import type { Target } from './target.ts';

/** Source of the recipe: SOURCE_DATE_EPOCH in the environment, and no option for times beside it: mksquashfs takes only one of both. */
function makeSquashfs(name: string, ending: string, compression: readonly string[]): Target {
  return {
    name,
    file: (image) => `${image}.${ending}`,
    tools: { mksquashfs: 'squashfs-tools' },
    loses: 'ACLs',
    write: ({ file, sourceDateEpoch }, { run }) =>
      run({
        label: 'mksquashfs',
        file: 'mksquashfs',
        args: ['.', file, '-quiet', '-no-progress', '-noappend', '-xattrs', '-mem', '512M', ...compression],
        env: { SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
      }),
  };
}

export const squashfs = makeSquashfs('squashfs', 'squashfs', ['-comp', 'zstd', '-Xcompression-level', '15']);
export const squashfsXz = makeSquashfs('squashfs-xz', 'xz.squashfs', ['-comp', 'xz', '-b', '1M']);
