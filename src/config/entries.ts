/** What the builder looks for in a project folder, beside build.conf. */
export const projectEntries: readonly string[] = [
  'realmfs-modules',
  'realmfs-files',
  'overlay',
  'packages',
  'hooks',
  'hooks.d',
  'realmfs.env',
];
