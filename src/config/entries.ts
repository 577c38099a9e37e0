/** What the builder looks for in a project folder, beside build.conf. */
export const projectEntries: readonly string[] = [
  'realmfs-modules',
  'realmfs-files',
  'overlay',
  'overlay.owners',
  'packages',
  'hooks',
  'hooks.d',
  'config',
  'realmfs.env',
];
