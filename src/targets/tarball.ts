import type { Target } from './target.ts';

/**
 * Members sorted, numeric owners, ACLs, xattrs and capabilities kept, no time that depends on the
 * build. Source of the recipe: reproducible-builds.org, "Archive metadata".
 */
export function tarArguments(file: string, sourceDateEpoch: number, compressor?: string): string[] {
  return [
    '--create',
    `--file=${file}`,
    ...(compressor === undefined ? [] : [`--use-compress-program=${compressor}`]),
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
    write: ({ file, sourceDateEpoch }, { run }) =>
      run({ label: 'tar', file: 'tar', args: tarArguments(file, sourceDateEpoch, compressor) }),
  };
}

export const tarball = makeTarball('tarball', '');
export const tarballXz = makeTarball('tarball-xz', '.xz', 'xz --threads=0');
// zstd writes the same with any number of threads.
export const tarballZst = makeTarball('tarball-zst', '.zst', 'zstd --quiet -9 --threads=0', { zstd: 'zstd' });
