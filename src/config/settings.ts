import path from 'node:path';
import { parseSize } from '../system/memory.ts';

/** A row of the settings table. */
export interface Setting {
  readonly key: string;
  /** Used where nothing else gives a value; undefined: found out, or empty. */
  readonly fallback?: string;
  /** `list`: words, a string or an array. `builder`: not read from build.conf, which comes too late for it. */
  readonly type: 'text' | 'list' | 'builder';
  /** What is wrong with a value, or undefined. */
  readonly check?: (value: string) => string | undefined;
  readonly doc: string;
}

/** Debian's keys, where the package debian-archive-keyring puts them. */
export const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

const suite = /^[a-z][a-z0-9.+-]*$/;
const name = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const hostname = new RegExp(`^(?=.{1,64}$)${label}(?:\\.${label})*$`);
const locale = /^[A-Za-z]{1,8}(?:_[A-Z]{2})?(?:\.[A-Za-z0-9-]+)?(?:@[a-z]+)?$/;
const timeZone = /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/;
const keymap = /^[a-z]+(?:,[a-z]+)*(?::[A-Za-z0-9_-]*(?:,[A-Za-z0-9_-]*)*)?$/;
/** A line of hosts(5), an empty one, or a comment. */
const hostsLine = /^\s*(?:[0-9A-Fa-f:.]+(?:%\w+)?(?:\s+[A-Za-z0-9_][A-Za-z0-9_.-]*)+)?\s*(?:#.*)?$/;
const architecture = /^[a-z0-9][a-z0-9-]*$/;

function mustMatch(pattern: RegExp, what: string) {
  return (value: string): string | undefined => (pattern.test(value) ? undefined : `'${value}' is no ${what}`);
}

function mustBeOneOf(...values: string[]) {
  return (value: string): string | undefined => (values.includes(value) ? undefined : `'${value}' is none of ${values.join(', ')}`);
}

function mustBeMirror(value: string): string | undefined {
  if (value === '') return undefined;
  const shown = value.replace(/\/\/.*@/, '//***@');
  if (/[\s'"\\]/.test(value)) return `'${shown}' is no mirror: it holds white space or quotes`;
  if (!URL.canParse(value)) return `'${shown}' is no URL; a mirror looks like http://mirror.example/debian`;
  const { protocol, hostname: host } = new URL(value);
  if (!['http:', 'https:'].includes(protocol) || host === '') return `'${shown}' is no http or https URL`;
  return undefined;
}

function mustBeProxy(value: string): string | undefined {
  if (value === '' || value === 'DIRECT') return undefined;
  const shown = value.replace(/\/\/.*@/, '//***@');
  if (/[\s'"\\]/.test(value) || !URL.canParse(value) || !['http:', 'https:'].includes(new URL(value).protocol))
    return `'${shown}' is no proxy; one looks like http://proxy.example:3128`;
  return undefined;
}

function mustBeHosts(value: string): string | undefined {
  const wrong = value.split('\n').find((line) => !hostsLine.test(line));
  return wrong === undefined ? undefined : `'${wrong}' is not a line of hosts(5): an address and its names`;
}

function mustBeFile(value: string): string | undefined {
  if (!value.startsWith('/')) return `'${value}' is no absolute path`;
  return path.normalize(value) === value ? undefined : `'${value}' is no plain path: write ${path.normalize(value)}`;
}

/** Variables of build.conf that binary hooks get, as in livecd-rootfs; they are no settings. */
export const binaryVariables: readonly string[] = ['PROJECT', 'SUBPROJECT', 'SUBARCH'];

/** All settings, in the order of docs/configuration.md. */
export const settings: readonly Setting[] = [
  { key: 'PACKAGES', type: 'list', fallback: '', doc: 'packages to install beside the base packages' },
  { key: 'PRE_INSTALL_MODULES', type: 'list', fallback: '', doc: 'modules to run before the packages, after the base ones' },
  { key: 'POST_INSTALL_MODULES', type: 'list', fallback: '', doc: 'modules to run after the packages, after the base ones' },
  { key: 'BASE_PACKAGES', type: 'list', doc: 'the base packages; setting it replaces the list of the profile' },
  { key: 'BASE_PRE_INSTALL_MODULES', type: 'list', doc: 'the base modules before the packages; setting it replaces the list' },
  { key: 'BASE_POST_INSTALL_MODULES', type: 'list', doc: 'the base modules after the packages; setting it replaces the list' },
  { key: 'DEBIAN_RELEASE', type: 'text', fallback: 'trixie', check: mustMatch(suite, 'suite name'), doc: 'the suite' },
  {
    key: 'DEBIAN_MIRROR',
    type: 'text',
    fallback: '',
    check: mustBeMirror,
    doc: "the mirror to build from; default: the one of the host's apt, else debootstrap's",
  },
  {
    key: 'DEBIAN_IMAGE_MIRROR',
    type: 'text',
    fallback: '',
    check: mustBeMirror,
    doc: "the mirror that the image's apt sources name; default: DEBIAN_MIRROR",
  },
  {
    key: 'DEBIAN_SECURITY_MIRROR',
    type: 'text',
    fallback: '',
    check: mustBeMirror,
    doc: "the mirror of security updates; default: the one of the host's apt, else beside DEBIAN_MIRROR",
  },
  {
    key: 'DEBIAN_ARCH',
    type: 'text',
    fallback: '',
    check: (value) => (value === '' ? undefined : mustMatch(architecture, 'architecture')(value)),
    doc: 'the architecture; default: that of the host',
  },
  {
    key: 'DEBIAN_COMPONENTS',
    type: 'list',
    fallback: 'main non-free-firmware',
    check: mustMatch(/^[a-z][a-z0-9/-]*$/, 'component'),
    doc: 'the components of the archive',
  },
  {
    key: 'DEBIAN_KEYRING',
    type: 'text',
    fallback: DEBIAN_KEYRING,
    check: mustBeFile,
    doc: "the host's keyring that the archive must be signed by",
  },
  { key: 'IMAGE_TARGETS', type: 'list', fallback: 'realmfs', doc: 'what to make of the finished tree: see docs/targets.md' },
  {
    key: 'IMAGE_FREE_SPACE',
    type: 'text',
    fallback: '512M',
    check: (value) => (parseSize(value) === undefined ? `'${value}' is no size (512M, 2G)` : undefined),
    doc: 'free space in ext4 and RealmFS images',
  },
  { key: 'REALMFS_HOSTNAME', type: 'text', fallback: 'subgraph', check: mustMatch(hostname, 'host name'), doc: "the image's host name" },
  {
    key: 'EXTRA_HOSTS',
    type: 'text',
    fallback: '',
    check: mustBeHosts,
    doc: "further lines of the image's /etc/hosts, as in hosts(5)",
  },
  {
    key: 'REALMFS_LOCALE',
    type: 'text',
    fallback: '',
    check: (value) => (value === '' ? undefined : mustMatch(locale, 'locale (de_DE.UTF-8)')(value)),
    doc: "the image's locale; default: that of an overlay's locale.conf or locale.gen, else en_US.UTF-8",
  },
  {
    key: 'REALMFS_TIMEZONE',
    type: 'text',
    fallback: '',
    check: (value) => (value === '' ? undefined : mustMatch(timeZone, 'time zone (Europe/Berlin)')(value)),
    doc: "the image's time zone; default: what the package tzdata sets, which is UTC",
  },
  {
    key: 'REALMFS_KEYMAP',
    type: 'text',
    fallback: '',
    check: (value) => (value === '' ? undefined : mustMatch(keymap, 'keyboard layout (de, de:nodeadkeys)')(value)),
    doc: "the image's keyboard: a layout of XKB, or LAYOUT:VARIANT; default: what packages set",
  },
  {
    key: 'REALMFS_CHANNEL',
    type: 'text',
    fallback: 'realmfs-user',
    check: mustMatch(/^[a-z0-9][a-z0-9-]{0,31}$/, 'channel'),
    doc: 'the channel in a RealmFS image: whose key it is to be signed with',
  },
  { key: 'REALMFS_NAME', type: 'text', fallback: 'base', check: mustMatch(name, 'name'), doc: 'the name of the image' },
  {
    key: 'REALMFS_PROFILE',
    type: 'text',
    fallback: 'citadel',
    check: mustBeOneOf('citadel', 'minimal'),
    doc: 'which base lists: citadel or minimal',
  },
  {
    key: 'REALMFS_SELF_HOSTING',
    type: 'text',
    fallback: 'on',
    check: mustBeOneOf('on', 'off'),
    doc: 'whether an image of the profile citadel holds the builder itself, from trixie on',
  },
  { key: 'REALMFS_USER_PASSWORD', type: 'text', fallback: 'user', doc: 'the password of the user `user`; empty: locked' },
  {
    key: 'CHECK_DATES',
    type: 'text',
    fallback: 'on',
    check: mustBeOneOf('on', 'off'),
    doc: 'off: an archive whose Release file has expired, or is dated in the future, is taken all the same',
  },
  {
    key: 'EXTRA_SOURCES',
    type: 'text',
    fallback: '',
    doc: 'further repositories: deb822 text or a file of the project; each names its key in Signed-By',
  },
  { key: 'EXTRA_PINS', type: 'text', fallback: '', doc: "apt's pins: text in the form of apt_preferences(5), or a file of the project" },
  { key: 'NOCACHE_STEPS', type: 'list', fallback: '', doc: 'steps or modules that run in every build, as those that say `# cache: no`' },
  {
    key: 'IDENTITIES',
    type: 'list',
    fallback: '',
    check: (value) => (value === 'keep' || value.startsWith('/') ? undefined : `'${value}' is neither keep nor a path`),
    doc: 'which keys and identifiers that packages draw stay in the image: globs of paths, or keep for all of them',
  },
  { key: 'NETWORK', type: 'text', fallback: 'on', check: mustBeOneOf('on', 'off'), doc: 'whether modules have the network' },
  {
    key: 'SOURCE_DATE_EPOCH',
    type: 'text',
    fallback: '',
    check: (value) => (value === '' ? undefined : mustMatch(/^\d{1,12}$/, 'number of seconds')(value)),
    doc: "the time stamp of the image, seconds since 1970; default: the Date of the suite's Release",
  },
  {
    key: 'REALMFS_CACHE_DIR',
    type: 'builder',
    fallback: '/var/cache/realmfs-builder',
    check: mustBeFile,
    doc: 'where fetched packages are kept (environment, realmfs.env or --set)',
  },
  {
    key: 'ARCHIVE_MAX_AGE',
    type: 'builder',
    fallback: '60',
    check: (value) => (/^\d{1,6}$/.test(value) ? undefined : `'${value}' is no number of minutes`),
    doc: 'minutes for which a build with layers takes the archive to be as it was; --refresh asks it now',
  },
  {
    key: 'LAYERS_MAX_SIZE',
    type: 'builder',
    fallback: '20G',
    check: (value) => (parseSize(value) === undefined ? `'${value}' is no size (20G, 500M)` : undefined),
    doc: 'how large the store of layers may become; the layers that were not used for longest go first',
  },
  {
    key: 'APT_PROXY',
    type: 'builder',
    fallback: '',
    check: mustBeProxy,
    doc: 'the proxy for fetches, or DIRECT; default: http_proxy of the environment, else what auto-apt-proxy finds',
  },
  {
    key: 'FETCH_TIMEOUT',
    type: 'builder',
    fallback: '60',
    check: (value) => (/^[1-9]\d{0,4}$/.test(value) ? undefined : `'${value}' is no number of seconds`),
    doc: 'seconds without a byte after which a fetch is tried again, three times in all; connecting may take half of it',
  },
];

/** True if the value of such a variable is not for logs, manifests and plans. */
export function isSecret(key: string): boolean {
  return /PASS|SECRET|TOKEN|CREDENTIAL|PSK|(?:^|_)KEYS?(?:_|$)/i.test(key);
}

export const settingKeys: readonly string[] = settings.map((setting) => setting.key);

/** The row of a key, if there is one. */
export function findSetting(key: string): Setting | undefined {
  return settings.find((setting) => setting.key === key);
}

/** Splits a list that people write: commas, semicolons and blanks part words. */
export function splitTargets(text: string): string[] {
  return text.split(/[\s,;]+/).filter((word) => word !== '');
}
