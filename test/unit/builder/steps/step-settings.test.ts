import { expect, test } from 'vitest';
import { planBuild } from '../../../../src/builder/model/plan.ts';
import { settingsInside, stepEnvironment } from '../../../../src/builder/steps/step-settings.ts';
import type { Config } from '../../../../src/config/config.ts';
import { bash } from '../../../helpers/chroot-scripts.ts';
import { configWith } from '../../../helpers/config.ts';

const stage = (changes: Partial<Config> = {}) => ({
  plan: planBuild(configWith({ release: 'bookworm', arch: 'arm64', ...changes })),
  mirror: 'http://mirror.example/debian',
  securityMirror: 'http://mirror.example/debian-security',
  proxy: {},
  releaseDate: 7,
  sourceDateEpoch: 7,
});

test('settings inside the image are quoted, with the values found for those that were left open', () => {
  const config = {
    release: 'trixie',
    arch: 'amd64',
    packages: ['a', 'b'],
    preModules: ['x', 'x'].map((name) => ({ name, origin: 'function' as const })),
    postModules: [{ name: 'x', origin: 'project' as const }],
    raw: { PACKAGES: 'b', DEBIAN_RELEASE: 'trixie', DEBIAN_MIRROR: '', REALMFS_HOSTNAME: "it's" },
  };
  const found = { mirror: 'http://m.example/debian', securityMirror: '', sourceDateEpoch: 5 };
  expect(settingsInside({ ...stage(config), ...found }, { PACKAGES: 'b' }).split('\n')).toEqual([
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

test('settings that were found out are settled, in the order of the table, before the planned lists', () => {
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

test('bash can read the settings inside the image', () => {
  const text = settingsInside(stage({ raw: { REALMFS_HOSTNAME: "a'b $(x)" } }), { MINE: '`x` "\n' });
  expect(bash('bash -n <<<"$1"', text)).toMatchObject({ status: 0, stderr: '' });
});

test('the environment of a script of a step holds these variables and no others', () => {
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
