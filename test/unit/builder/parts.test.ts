import { describe, expect, test } from 'vitest';
import { paths, StepClock } from '../../../src/builder/model/context.ts';
import { errorLines, explain, guiltyPackage, renamed } from '../../../src/builder/model/failures.ts';
import { planBuild } from '../../../src/builder/model/plan.ts';
import { sumsText } from '../../../src/builder/results/manifest.ts';
import { debootstrapArguments } from '../../../src/builder/steps/bootstrap.ts';
import { aptProgress, BootstrapProgress } from '../../../src/builder/steps/progress.ts';
import { shownPlace } from '../../../src/builder/steps/step-failure.ts';
import { settingsInside, stepEnvironment } from '../../../src/builder/steps/step-settings.ts';
import type { Config } from '../../../src/config/config.ts';
import { BuilderError, CommandError } from '../../../src/errors.ts';
import { chooseMirrors, hostRepositories, parseRepositories } from '../../../src/host/mirrors.ts';
import type { BuildEvent } from '../../../src/messages/events.ts';
import { manifestSchema } from '../../../src/records/manifest-schema.ts';
import { hideCredentials } from '../../../src/system/credentials.ts';
import { bash } from '../../helpers/chroot-scripts.ts';
import { fakeCommand, withFakes } from '../../helpers/fake-command.ts';
import { realRunner, recordingRunner } from '../../helpers/runners.ts';

const config: Config = {
  release: 'bookworm',
  mirror: '',
  imageMirror: '',
  securityMirror: '',
  arch: 'arm64',
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
const module = (name: string) => ({ name, origin: 'function' as const });

describe('the plan', () => {
  test('of an image without modules and targets', () => {
    expect(planBuild(config).steps).toEqual(['config', 'bootstrap', 'packages', 'finalize', 'manifest']);
  });

  test('names are counted for each list; a module may be called packages', () => {
    const plan = planBuild({ ...config, preModules: ['a', 'b', 'a', 'a'].map(module), postModules: ['a', 'packages'].map(module) });
    expect(plan.stageTwo.map(({ step }) => step)).toEqual(['pre/a', 'pre/b', 'pre/a#2', 'pre/a#3', 'packages', 'post/a', 'post/packages']);
    expect(new Set(plan.steps).size).toBe(plan.steps.length);
  });

  test('the same config gives the same plan, and is not changed', () => {
    const frozen = Object.freeze({ ...config, targets: Object.freeze(['ext4']) });
    expect(planBuild(frozen)).toEqual(planBuild(frozen));
  });
});

describe('the command line of debootstrap', () => {
  test.each<[string, string[], string, string[], string[]]>([
    [
      'fetching',
      ['main', 'non-free-firmware'],
      'http://mirror.example/debian',
      ['--make-tarball=/t', '--keep-debootstrap-dir'],
      ['http://mirror.example/debian'],
    ],
    ['unpacking', ['main'], 'http://mirror.example/debian', ['--unpack-tarball=/t'], ['http://mirror.example/debian']],
  ])('%s', (_, components, mirror, seed, end) => {
    expect(debootstrapArguments(config, components, { mirror, packages: ['ca-certificates'] }, seed)).toEqual([
      ...seed,
      '--verbose',
      '--merged-usr',
      '--variant=minbase',
      '--arch=arm64',
      `--components=${components.join(',')}`,
      '--include=systemd-sysv,locales,ca-certificates',
      '--keyring=/k.gpg',
      '--force-check-gpg',
      'bookworm',
      paths.root,
      ...end,
    ]);
  });
});

describe('the mirrors of the host', () => {
  test('how apt is asked', async () => {
    const fake = fakeCommand('apt-get', 'echo "http://mirror.example/debian/|trixie|Debian|Debian"; exit 100');
    expect(await hostRepositories(withFakes(realRunner(), fake))).toEqual([
      { uri: 'http://mirror.example/debian', release: 'trixie', origin: 'Debian', label: 'Debian' },
    ]);
    expect(fake.calls()).toEqual([['indextargets', '--format', '$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)']]);
  });

  test('an apt that fails in another way is an error', async () => {
    await expect(hostRepositories(recordingRunner(() => ({ exitCode: 1 })))).rejects.toThrow(
      'reading the apt sources of the host failed with exit code 1',
    );
  });

  test.each([
    ['', []],
    ['\n\n', []],
    ['file:///srv/debian|trixie|Debian|Debian\n', []],
    ['mirror+file:/etc/x|trixie|Debian|Debian\n', []],
    ['https://mirror.example/debian///|trixie\n', [{ uri: 'https://mirror.example/debian', release: 'trixie', origin: '', label: '' }]],
  ])('lines %j', (text, expected) => {
    expect(parseRepositories(text)).toEqual(expected);
  });

  const none = { main: '', security: '' };
  test.each<[string, typeof none, string, typeof none]>([
    ['Ubuntu is not Debian', none, 'http://mirror.example/ubuntu|noble|Ubuntu|Ubuntu', none],
    ['another archive with the label of Debian', none, 'http://mirror.example/x|trixie|Someone|Debian', none],
    ['backports of Debian are no main archive', none, 'http://mirror.example/b|trixie-backports|Debian Backports|Debian Backports', none],
    [
      'the first of several',
      none,
      'http://one.example/debian|trixie|Debian|Debian\nhttp://two.example/debian|trixie|Debian|Debian',
      { main: 'http://one.example/debian', security: 'http://one.example/debian-security' },
    ],
    [
      'security alone',
      none,
      'http://mirror.example/debian-security|trixie-security|Debian|Debian-Security',
      { main: '', security: 'http://mirror.example/debian-security' },
    ],
    [
      'a named security mirror beside the main one of the host',
      { main: '', security: 'http://sec.example/x' },
      'http://mirror.example/debian|trixie|Debian|Debian',
      { main: 'http://mirror.example/debian', security: 'http://sec.example/x' },
    ],
    [
      "a named mirror does not get the host's security mirror",
      { main: 'http://frozen.example/snapshot', security: '' },
      'http://mirror.example/debian-security|trixie-security|Debian|Debian-Security',
      { main: 'http://frozen.example/snapshot', security: '' },
    ],
  ])('%s', (_, wanted, text, expected) => {
    expect(chooseMirrors(wanted, parseRepositories(text))).toEqual(expected);
  });
});

describe('progress', () => {
  test.each([
    ['I: Retrieving InRelease', { percent: null, text: 'fetching InRelease' }],
    ['I: Validating Packages', { percent: null, text: 'checking Packages' }],
    ['I: Resolving dependencies of required packages...', { percent: null, text: 'resolving dependencies' }],
    ['I: Unpacking the base system...', { percent: null, text: 'unpacking the' }],
    ['W: Retrieving x', undefined],
    ['I: Base system installed successfully.', undefined],
    ['', undefined],
  ])('debootstrap: %s', (line, expected) => {
    expect(new BootstrapProgress().take(line)).toEqual(expected);
  });

  test('never above 100 %', () => {
    const progress = new BootstrapProgress();
    progress.take('I: Validating apt 1.0');
    const percents = ['Unpacking', 'Configuring', 'Configuring', 'Configuring'].map((verb) => progress.take(`I: ${verb} apt...`)?.percent);
    expect(percents).toEqual([50, 100, 100, 100]);
  });

  test.each([
    ['dlstatus:3:99.6:Retrieving file 3 of 3 (0s remaining)', { percent: 100, text: 'Retrieving file 3 of 3 (0s remaining)' }],
    ['pmstatus:dpkg-exec:0.0:Running dpkg', { percent: 0, text: 'Running dpkg' }],
    ['pmstatus:libc6:50:a: b: c', { percent: 50, text: 'a: b: c' }],
    ['media-change: x:y', undefined],
    ['pmconffile:/etc/x:1:y', undefined],
    ['pmstatus:x:y:z', undefined],
  ])('apt: %s', (line, expected) => {
    expect(aptProgress(line)).toEqual(expected);
  });
});

describe('the clock of the steps', () => {
  test('numbers, times and the name of the step that fails', async () => {
    const events: BuildEvent[] = [];
    const clock = new StepClock((event) => events.push(event));
    expect(await clock.run('config', async () => 5)).toBe(5);
    clock.plan(['config', 'bootstrap']);
    await expect(clock.run('bootstrap', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    clock.warn('careful');
    expect(events).toEqual([
      { kind: 'step-start', step: 'config', index: 1, total: 0 },
      { kind: 'step-end', step: 'config', ok: true, seconds: expect.any(Number) },
      { kind: 'plan', steps: ['config', 'bootstrap'] },
      { kind: 'step-start', step: 'bootstrap', index: 2, total: 2 },
      { kind: 'step-end', step: 'bootstrap', ok: false, seconds: expect.any(Number) },
      { kind: 'warning', step: 'bootstrap', text: 'careful' },
    ]);
    expect(clock.records.map(({ step }) => step)).toEqual(['config', 'bootstrap']);
    expect(clock.current).toBe('bootstrap');
  });
});

describe('causes', () => {
  const failed = (...tail: string[]) => new CommandError('tool failed', { exitCode: 1, signal: undefined, tail, line: 'tool' }, 'packages');

  test.each([
    ["E: Couldn't download packages: x", 4],
    ['E: Failed to fetch http://mirror.example/x  Hash Sum mismatch', 4],
    ['W: Failed to fetch http://mirror.example/x', 4],
    ["E: The repository 'http://mirror.example x Release' is not signed.", 4],
    ['E: Release signed by unknown key (key id 1)', 4],
    ['tar: x: Disk quota exceeded', 3],
    ['E: Unable to locate package x', 1],
    ['note: E: Failed to fetch', 1],
  ])('%s: exit code %d', async (line, exitCode) => {
    expect(await explain(failed('first', line, 'last'), '/')).toMatchObject({ exitCode, step: 'packages' });
  });

  test('what is no failed command stays what it is', async () => {
    const error = new TypeError('No space left on device');
    expect(await explain(error, '/')).toBe(error);
  });

  test.each([
    ['http://user:pass@mirror.example/x', 'http://***@mirror.example/x'],
    ['https\\://user\\:pa%40ss@mirror.example', 'https\\://***@mirror.example'],
    ['{"line":"http://u:p@a.example http://b.example"}', '{"line":"http://***@a.example http://b.example"}'],
    ['http://mirror.example/a@b', 'http://mirror.example/a@b'],
    ['mail me@host.example', 'mail me@host.example'],
  ])('%s', (text, expected) => {
    expect(hideCredentials(text)).toBe(expected);
  });

  test.each([
    [[], undefined],
    [['dpkg: error processing package libc6:amd64 (--configure):', 'dpkg: error processing package x (--configure):'], 'libc6:amd64'],
    [['dpkg: error processing archive /tmp/a/b_1_all.deb (--unpack):'], 'b'],
  ])('the guilty package in %j', (lines, expected) => {
    expect(guiltyPackage(lines)).toBe(expected);
  });

  test('lines that say why, and another message for the same failure', () => {
    expect(errorLines(['E: one', ' E: two', 'W: three', 'E: four'])).toEqual(['one', 'four']);
    const error = renamed(failed('x'), 'better');
    expect(error).toBeInstanceOf(BuilderError);
    expect(error).toMatchObject({ message: 'better', step: 'packages', details: ['command: tool', 'output:  x'], exitCode: 1 });
  });
});

describe('the manifest', () => {
  const digest = 'a'.repeat(64);
  const manifest = {
    format: 1,
    builder: { name: 'realmfs-builder', version: '1.2.3' },
    name: 'base',
    release: 'trixie',
    arch: 'amd64',
    profile: 'minimal',
    mirror: 'http://mirror.example/debian',
    imageMirror: 'http://mirror.example/debian',
    securityMirror: '',
    components: ['main'],
    sourceDateEpoch: 1_757_000_000,
    releaseDate: 1_757_000_000,
    checkDates: true,
    keyring: '/k.gpg',
    extraSources: '',
    extraPins: '',
    network: true,
    targets: ['tarball'],
    inputs: {
      config: { file: 'build.conf', sha256: digest },
      settings: { NETWORK: 'on' },
      overrides: ['NETWORK'],
      modules: [
        { step: 'pre/x', origin: 'function' },
        { step: 'packages', origin: 'built-in', sha256: digest },
        { step: 'hook/x.chroot', origin: 'hook', sha256: digest },
      ],
      binaryHooks: [{ step: 'binary/x.binary', file: 'hooks.d/base/x.binary', sha256: digest }],
      localPackages: [{ file: 'packages/x.deb', name: 'x', version: '1', arch: 'all', sha256: digest }],
      files: [{ file: 'etc/motd', sha256: digest }],
      releases: [{ file: 'mirror.example_debian_dists_trixie_InRelease', sha256: digest }],
    },
    steps: [{ step: 'config', start: '2026-01-01T00:00:00.000Z', seconds: 0.5, cached: false }],
    packages: [{ name: 'libc6', version: '2.41-12', arch: 'amd64', source: 'glibc', sourceVersion: '2.41-12', installedSize: 1024 }],
    artifacts: [{ target: 'tarball', file: 'realmfs-rootfs.tar', size: 5, sha256: digest }],
  };

  test('survives its way through JSON, in the same order', () => {
    const text = JSON.stringify(manifest, null, 2);
    expect(JSON.stringify(manifestSchema.parse(JSON.parse(text)), null, 2)).toBe(text);
    expect(manifestSchema.parse({ ...manifest, inputs: { ...manifest.inputs, config: null } }).inputs.config).toBeNull();
  });

  test.each([
    ['another format', { format: 2 }],
    ['another program', { builder: { name: 'x', version: '1' } }],
    ['a digest that is none', { artifacts: [{ target: 't', file: 'f', size: 1, sha256: 'abc' }] }],
    ['a digest in capitals', { inputs: { ...manifest.inputs, files: [{ file: 'f', sha256: digest.toUpperCase() }] } }],
    ['an unknown origin', { inputs: { ...manifest.inputs, modules: [{ step: 's', origin: 'elsewhere' }] } }],
    ['no packages', { packages: undefined }],
  ])('%s is refused', (_, change) => {
    expect(manifestSchema.safeParse({ ...manifest, ...change }).success).toBe(false);
  });

  test('SHA256SUMS is what sha256sum reads', () => {
    const artifacts = ['a.tar', 'b c.ext4'].map((file) => ({ target: 't', file, size: 0, sha256: digest }));
    expect(sumsText(artifacts)).toBe(`${digest}  a.tar\n${digest}  b c.ext4\n`);
    expect(sumsText([])).toBe('');
    const { stderr } = bash('sha256sum --check --strict --status <(printf %s "$1")', sumsText(artifacts));
    expect(stderr).not.toContain('improperly formatted');
  });
});

describe('settings inside the image', () => {
  const stage = (changes: Partial<Config> = {}) => ({
    plan: planBuild({ ...config, ...changes }),
    mirror: 'http://mirror.example/debian',
    securityMirror: 'http://mirror.example/debian-security',
    proxy: {},
    releaseDate: 7,
    sourceDateEpoch: 7,
  });

  test('what was found out is settled, in the order of the table, before the planned lists', () => {
    const lines = settingsInside(stage({ raw: { NETWORK: 'off', BASE_PACKAGES: 'x' }, packages: ['a b', "it's"] }), {}).split('\n');
    expect(lines.filter((line) => line.startsWith('__realmfs_settle')).map((line) => line.split(' ')[1])).toEqual([
      'DEBIAN_MIRROR',
      'DEBIAN_IMAGE_MIRROR',
      'DEBIAN_SECURITY_MIRROR',
      'DEBIAN_ARCH',
      'NETWORK',
      'SOURCE_DATE_EPOCH',
    ]);
    expect(lines).toContain('__realmfs_settle NETWORK off off');
    expect(lines).toContain(`__realmfs_planned_PACKAGES=('a b' "it's")`);
    expect(lines).toContain('__realmfs_planned_PRE_INSTALL_MODULES=()');
  });

  test("the image's own mirror wins over that of the build", () => {
    expect(settingsInside(stage({ imageMirror: 'http://image.example/debian' }), {})).toContain(
      "__realmfs_settle DEBIAN_IMAGE_MIRROR '' http\\://image.example/debian\n",
    );
  });

  test('bash can read it', () => {
    const text = settingsInside(stage({ raw: { REALMFS_HOSTNAME: "a'b $(x)" } }), { MINE: '`x` "\n' });
    expect(bash('bash -n <<<"$1"', text)).toMatchObject({ status: 0, stderr: '' });
  });

  test('the environment of our own scripts is exactly this', () => {
    expect(stepEnvironment(stage())).toEqual({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      TERM: 'dumb',
      LANG: 'C.UTF-8',
      DEBIAN_FRONTEND: 'noninteractive',
      DEBCONF_NONINTERACTIVE_SEEN: 'true',
      SYSTEMD_OFFLINE: '1',
      REALMFS_PROJECT: '/dev/realmfs/project',
      SOURCE_DATE_EPOCH: '7',
      DEBIAN_RELEASE: 'bookworm',
      DEBIAN_MIRROR: 'http://mirror.example/debian',
    });
  });

  test.each([
    ['/dev/realmfs/project/build.conf', '12', 'build.conf:12'],
    ['/dev/realmfs/project/realmfs-modules/x', '3', 'realmfs-modules/x:3'],
    ['/dev/realmfs/lib/modules/create-user', '', 'built-in module create-user'],
    ['/dev/realmfs/lib/chroot/lib.sh', '5', 'built-in lib.sh:5'],
    ['/etc/profile', '0', '/etc/profile'],
  ])('%s:%s is shown as %s', (file, line, shown) => {
    expect(shownPlace(file, line)).toBe(shown);
  });
});
