import type { Config } from '../../src/config/config.ts';

const blank: Config = {
  release: 'trixie',
  mirror: '',
  imageMirror: '',
  securityMirror: '',
  arch: 'amd64',
  components: ['main'],
  keyring: '/k.gpg',
  targets: [],
  freeSpace: 0,
  hostname: 'h',
  name: 'base',
  channel: 'realmfs-user',
  profile: 'minimal',
  userPassword: '',
  checkDates: true,
  extraSources: { text: '', keys: [] },
  extraPins: '',
  network: true,
  sourceDateEpoch: undefined,
  identities: [],
  packages: [],
  preModules: [],
  packageModule: { name: 'install-packages', origin: 'built-in' },
  postModules: [],
  raw: {},
};

/** What a build.conf without targets, packages and modules comes to, with these changes. */
export const configWith = (changes: Partial<Config> = {}): Config => ({ ...blank, ...changes });
