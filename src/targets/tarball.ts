import type { Target } from './target.ts';

/**
 * Files with holes are members of GNU's format 1.0, which begins with a list of what is no hole. Its headers hold the number of tar's
 * process: who runs tar sees to it that it is 1.
 */
const SPARSE: readonly string[] = ['--sparse', '--sparse-version=1.0', '--hole-detection=seek'];

/**
 * Members sorted, numeric owners, ACLs, xattrs and capabilities kept, no time that depends on the
 * build. Source of the recipe: reproducible-builds.org, "Archive metadata".
 */
export function tarArguments(
  file: string,
  sourceDateEpoch: number,
  { compressor, isSparse = false }: { readonly compressor?: string | undefined; readonly isSparse?: boolean } = {},
): string[] {
  return [
    '--create',
    `--file=${file}`,
    ...(compressor === undefined ? [] : [`--use-compress-program=${compressor}`]),
    ...(isSparse ? SPARSE : []),
    '--sort=name',
    '--numeric-owner',
    '--xattrs',
    '--xattrs-include=*',
    '--acls',
    '--format=pax',
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
    '--clamp-mtime',
    `--mtime=@${sourceDateEpoch}`,
    '--warning=no-file-ignored',
    '.',
  ];
}

function makeTarball(name: string, ending: string, compressor?: string, tools?: Target['tools']): Target {
  return {
    name,
    file: () => `realmfs-rootfs.tar${ending}`,
    growsAtEnd: true,
    ...(tools === undefined ? {} : { tools }),
    write: ({ file, sourceDateEpoch, sparse }, { run }) => {
      const isSparse = sparse.length > 0;
      const args = tarArguments(file, sourceDateEpoch, { compressor, isSparse });
      return run({ label: 'tar', file: 'tar', args, ...(isSparse ? { isFirst: true } : {}) });
    },
  };
}

export const tarball = makeTarball('tarball', '');
export const tarballXz = makeTarball('tarball-xz', '.xz', 'xz --threads=0');
// zstd writes the same with any number of threads.
export const tarballZst = makeTarball('tarball-zst', '.zst', 'zstd --quiet -9 --threads=0', { zstd: 'zstd' });
