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

export const tarball: Target = {
  name: 'tarball',
  file: 'realmfs-rootfs.tar',
  growsAtEnd: true,
  commands: ({ output, sourceDateEpoch }) => [
    { label: 'tar', file: 'tar', args: tarArguments(`${output}/${tarball.file}`, sourceDateEpoch) },
  ],
};

export const tarballXz: Target = {
  name: 'tarball-xz',
  file: 'realmfs-rootfs.tar.xz',
  growsAtEnd: true,
  commands: ({ output, sourceDateEpoch }) => [
    { label: 'tar', file: 'tar', args: tarArguments(`${output}/${tarballXz.file}`, sourceDateEpoch, 'xz --threads=0') },
  ],
};
