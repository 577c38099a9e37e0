import type { Target } from './target.ts';

/** The tree itself, as a folder. It belongs to root, whoever has started the build. */
export const rootDir: Target = {
  name: 'root-dir',
  file: () => 'rootfs',
  isFolder: true,
  write: ({ file }, { copyTree }) => copyTree(file),
};
