import { describe, expect, test } from 'vitest';
import { errorLines, explain, guiltyPackage } from '../../../src/builder/model/failures.ts';
import { planBuild } from '../../../src/builder/model/plan.ts';
import { debootstrapArguments } from '../../../src/builder/steps/bootstrap.ts';
import { aptProgress, BootstrapProgress } from '../../../src/builder/steps/progress.ts';
import { shownPlace } from '../../../src/builder/steps/step-failure.ts';
import { settingsInside } from '../../../src/builder/steps/step-settings.ts';
import type { Config } from '../../../src/config/config.ts';
import { CommandError, FetchError, PreflightError } from '../../../src/errors.ts';
import { chooseMirrors, parseRepositories } from '../../../src/host/mirrors.ts';
import { hideCredentials } from '../../../src/system/credentials.ts';

const config: Config = {
  release: 'trixie',
  mirror: '',
  imageMirror: '',
  securityMirror: '',
  arch: 'amd64',
  components: ['main', 'contrib'],
  keyring: '/k.gpg',
  targets: ['tarball', 'ext4'],
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
  packages: ['a', 'b'],
  preModules: [
    { name: 'x', origin: 'function' },
    { name: 'x', origin: 'function' },
  ],
  packageModule: { name: 'install-packages', origin: 'built-in' },
  postModules: [{ name: 'x', origin: 'project' }],
  raw: { PACKAGES: 'b', DEBIAN_RELEASE: 'trixie', DEBIAN_MIRROR: '', REALMFS_HOSTNAME: "it's" },
};

test('the plan: steps in order, a second one of a name is numbered', () => {
  expect(planBuild(config).steps).toEqual([
    'config',
    'bootstrap',
    'pre/x',
    'pre/x#2',
    'packages',
    'post/x',
    'finalize',
    'target/tarball',
    'target/ext4',
    'manifest',
  ]);
});

test('the command line of debootstrap', () => {
  expect(
    debootstrapArguments(config, ['main', 'contrib'], { mirror: 'http://mirror.example/debian', packages: [] }, ['--make-tarball=/t']),
  ).toEqual([
    '--make-tarball=/t',
    '--verbose',
    '--merged-usr',
    '--variant=minbase',
    '--arch=amd64',
    '--components=main,contrib',
    '--include=systemd-sysv,locales',
    '--keyring=/k.gpg',
    '--force-check-gpg',
    'trixie',
    '/run/realmfs/build/root',
    'http://mirror.example/debian',
  ]);
});

describe('mirrors', () => {
  const hosts = parseRepositories(
    'http://third.example/debian/|stable|Third|Third\nhttp://mirror.example/debian/|bookworm|Debian|Debian\nhttp://mirror.example/sec/|bookworm-security|Debian|Debian-Security\ncdrom:[x]|a|b|c\n',
  );
  const none = { main: '', security: '' };

  test.each([
    ["the host's own", none, hosts, { main: 'http://mirror.example/debian', security: 'http://mirror.example/sec' }],
    [
      'a named one, security beside it',
      { main: 'http://other.example/debian', security: '' },
      hosts,
      { main: 'http://other.example/debian', security: 'http://other.example/debian-security' },
    ],
    [
      'both named',
      { main: 'http://a.example/x', security: 'http://b.example/y' },
      hosts,
      { main: 'http://a.example/x', security: 'http://b.example/y' },
    ],
    [
      'a named one without a known neighbour',
      { main: 'http://a.example/x', security: '' },
      hosts,
      { main: 'http://a.example/x', security: '' },
    ],
    [
      'labels that apt has not fetched yet',
      none,
      parseRepositories('http://m.example/tools|x||\nhttp://m.example/debian|trixie||\nhttp://m.example/debian-security|x||\n'),
      { main: 'http://m.example/debian', security: 'http://m.example/debian-security' },
    ],
    ['a host without Debian', none, [], none],
  ])('%s', (_, wanted, known, expected) => {
    expect(chooseMirrors(wanted, known)).toEqual(expected);
  });
});

test('settings inside the image: quoted, found values for those that were left open', () => {
  const stage = {
    plan: planBuild(config),
    mirror: 'http://m.example/debian',
    securityMirror: '',
    proxy: {},
    releaseDate: 7,
    sourceDateEpoch: 5,
  };
  expect(settingsInside(stage, { PACKAGES: 'b' }).split('\n')).toEqual([
    '# shellcheck shell=bash',
    '__realmfs_override PACKAGES b',
    '__realmfs_settle DEBIAN_RELEASE trixie trixie',
    `__realmfs_settle DEBIAN_MIRROR '' http\\://m.example/debian`,
    `__realmfs_settle DEBIAN_IMAGE_MIRROR '' http\\://m.example/debian`,
    "__realmfs_settle DEBIAN_SECURITY_MIRROR '' ''",
    "__realmfs_settle DEBIAN_ARCH '' amd64",
    `__realmfs_settle REALMFS_HOSTNAME "it's" "it's"`,
    "__realmfs_settle SOURCE_DATE_EPOCH '' 5",
    "REALMFS_PROJECT_PACKAGES=''",
    'DEBIAN_SIGNED_BY=/etc/apt/keyrings/k.gpg',
    'builtin export DEBIAN_RELEASE DEBIAN_MIRROR SOURCE_DATE_EPOCH',
    '__realmfs_planned_PACKAGES=(a b)',
    '__realmfs_planned_PRE_INSTALL_MODULES=(x x)',
    '__realmfs_planned_POST_INSTALL_MODULES=(x)',
    '',
  ]);
});

test('places as the user knows them', () => {
  expect(shownPlace('/dev/realmfs/project/build.conf', '7')).toBe('build.conf:7');
  expect(shownPlace('/dev/realmfs/lib/modules/create-user', '12')).toBe('built-in module create-user:12');
});

describe('causes', () => {
  const failed = (...tail: string[]) =>
    new CommandError('debootstrap failed', { exitCode: 1, signal: undefined, tail, line: 'debootstrap' }, 'bootstrap');

  test.each([
    { exitCode: undefined, signal: 'SIGXFSZ' },
    // The sandbox's way to say so.
    { exitCode: 153, signal: undefined },
  ])('a program that the limit of file sizes has ended: %j', async (end) => {
    const error = new CommandError('tar failed', { ...end, tail: [], line: 'tar' }, 'target/tarball');
    expect(await explain(error, '/')).toMatchObject({ message: expect.stringMatching(/^no file may become as large on /), exitCode: 3 });
  });

  test('no space is said with figures', async () => {
    const error = await explain(failed('dpkg: error: No space left on device'), '/');
    expect(error).toBeInstanceOf(PreflightError);
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/^no space left on the build's file system \(.* of .* inodes in use/),
    });
  });

  test('a fetch is exit code 4, without credentials', async () => {
    const error = await explain(failed('E: Failed to fetch http://me:secret@m.example/x  404'), '/');
    expect(error).toBeInstanceOf(FetchError);
    expect(error).toMatchObject({ exitCode: 4, message: 'Failed to fetch http://***@m.example/x  404' });
  });

  test('anything else stays', async () => {
    const error = failed('E: something');
    expect(await explain(error, '/')).toBe(error);
  });

  test('lines', () => {
    expect(errorLines(['I: a', 'E: b', 'E: http://u:p@h.example'])).toEqual(['b', 'http://***@h.example']);
    expect(guiltyPackage(['dpkg: error processing package man-db (--configure):'])).toBe('man-db');
    expect(guiltyPackage(['dpkg: error processing archive /var/cache/apt/archives/foo_1%3a2_amd64.deb (--unpack):'])).toBe('foo');
    expect(hideCredentials('no address')).toBe('no address');
  });
});

test('progress', () => {
  const progress = new BootstrapProgress();
  const lines = [
    'I: Retrieving apt 1.0',
    'I: Validating apt 1.0',
    'I: Validating dpkg 1.2',
    'I: Extracting apt...',
    'I: Unpacking apt...',
    'I: Unpacking dpkg...',
    'I: Configuring apt...',
    'I: Configuring dpkg...',
  ];
  expect(lines.map((line) => progress.take(line)?.percent)).toEqual([null, null, null, undefined, 25, 50, 75, 100]);
  expect(aptProgress('dlstatus:1:12.6:Retrieving file 1 of 2')).toEqual({ percent: 13, text: 'Retrieving file 1 of 2' });
  expect(aptProgress('pmstatus:man-db:40.0:Configuring man-db (amd64)')).toEqual({ percent: 40, text: 'Configuring man-db (amd64)' });
  expect(aptProgress('pmerror:x:1:y')).toBeUndefined();
});
