import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Config, makeConfig } from '../../../src/config/config.ts';
import type { Evaluation, ShellValue } from '../../../src/config/evaluate.ts';
import { contradictions } from '../../../src/config/package-words.ts';
import { settings } from '../../../src/config/settings.ts';
import { ConfigError } from '../../../src/errors.ts';
import type { BuildRequest } from '../../../src/messages/request.ts';
import { blankEvaluation, blankRequest } from '../../helpers/blank.ts';
import { realRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const request: BuildRequest = {
  ...blankRequest,
  configName: 'build.conf',
  hasProject: true,
  version: '0',
};

/** What the settings are where build.conf says nothing. */
const defaults = settings.flatMap(({ key, fallback, type }): [string, string | string[]][] =>
  fallback === undefined || type === 'builder' ? [] : [[key, fallback]],
);

interface Case {
  /** The text of build.conf, for line numbers. */
  readonly text?: string;
  /** What bash has found in it, beside the defaults. */
  readonly values?: Readonly<Record<string, string | string[]>>;
  readonly functions?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly changes?: Partial<BuildRequest>;
  readonly prepare?: (project: string) => void;
}

async function config({ text = '', values = {}, functions = [], files = {}, changes = {}, prepare }: Case): Promise<Config> {
  const project = tempRoot({ 'build.conf': text, ...files });
  prepare?.(project);
  const evaluation: Evaluation = {
    ...blankEvaluation,
    variables: new Map(
      [...defaults, ...Object.entries(values)].map(([key, value]): [string, ShellValue] => [
        key,
        { type: Array.isArray(value) ? 'array' : 'string', values: [value].flat() },
      ]),
    ),
    said: new Map(),
    bases: new Map(),
    names: new Set(Object.keys(values)),
    functions: new Map(functions.map((name) => [name, { file: 'build.conf', line: 1 }])),
  };
  return makeConfig({
    request: { ...request, ...changes },
    evaluation,
    project,
    builtIn: path.resolve(import.meta.dirname, '../../../realmfs-modules'),
    targets: ['realmfs', 'ext4', 'tarball'],
    suites: ['trixie', 'bookworm'],
    hostArch: 'riscv64',
    runner: realRunner(),
  });
}

/** Every problem, as one line each. */
async function problems(given: Case): Promise<readonly string[]> {
  const error = await config(given).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError)) throw error ?? new Error('a ConfigError was expected');
  expect(error.exitCode).toBe(2);
  return error.details.length > 0 ? error.details : [error.message];
}

describe('a build.conf that says nothing', () => {
  test('gives the defaults', async () => {
    expect(await config({})).toMatchObject({
      release: 'trixie',
      mirror: '',
      imageMirror: '',
      securityMirror: '',
      arch: 'riscv64',
      components: ['main', 'non-free-firmware'],
      keyring: '/usr/share/keyrings/debian-archive-keyring.gpg',
      targets: ['realmfs'],
      freeSpace: 512 * 1024 ** 2,
      hostname: 'subgraph',
      name: 'base',
      profile: 'citadel',
      userPassword: 'user',
      network: true,
      sourceDateEpoch: undefined,
      packages: [],
      preModules: [],
      packageModule: { name: 'install-packages', origin: 'built-in' },
      postModules: [],
    });
  });
});

describe('values', () => {
  test.each<[string, Case['values'], Partial<Config>]>([
    [
      'slashes at the end of mirrors',
      { DEBIAN_MIRROR: 'http://a.example/x//', DEBIAN_IMAGE_MIRROR: 'https://b.example/' },
      { mirror: 'http://a.example/x', imageMirror: 'https://b.example' },
    ],
    ['an architecture', { DEBIAN_ARCH: 'arm64' }, { arch: 'arm64' }],
    ['no network', { NETWORK: 'off' }, { network: false }],
    ['a time stamp', { SOURCE_DATE_EPOCH: '0' }, { sourceDateEpoch: 0 }],
    ['no free space', { IMAGE_FREE_SPACE: '0' }, { freeSpace: 0 }],
    ['an empty password', { REALMFS_USER_PASSWORD: '' }, { userPassword: '' }],
    ['a list over lines', { PACKAGES: ' a\n\tb  c ' }, { packages: ['a', 'b', 'c'] }],
    ['a list as an array', { PACKAGES: ['a', 'b c', ''] }, { packages: ['a', 'b', 'c'] }],
    ['targets twice', { IMAGE_TARGETS: 'tarball;ext4, tarball' }, { targets: ['tarball', 'ext4'] }],
    ['targets as an array', { IMAGE_TARGETS: ['tarball', 'ext4'] }, { targets: ['tarball', 'ext4'] }],
  ])('%s', async (_, values, expected) => {
    expect(await config({ values: values ?? {} })).toMatchObject(expected);
  });
});

describe('one wrong value', () => {
  test.each([
    ['DEBIAN_RELEASE', '../trixie', "DEBIAN_RELEASE: '../trixie' is no suite name"],
    ['DEBIAN_RELEASE', 'trixie sid', "DEBIAN_RELEASE: 'trixie sid' is no suite name"],
    ['DEBIAN_RELEASE', '', "DEBIAN_RELEASE: '' is no suite name"],
    ['DEBIAN_RELEASE', 'trixi', 'DEBIAN_RELEASE: debootstrap knows no suite trixi; did you mean trixie?'],
    [
      'DEBIAN_MIRROR',
      'mirror.example/debian',
      "DEBIAN_MIRROR: 'mirror.example/debian' is no URL; a mirror looks like http://mirror.example/debian",
    ],
    ['DEBIAN_MIRROR', 'ftp://mirror.example/debian', "DEBIAN_MIRROR: 'ftp://mirror.example/debian' is no http or https URL"],
    ['DEBIAN_ARCH', 'amd64 arm64', "DEBIAN_ARCH: 'amd64 arm64' is no architecture"],
    ['DEBIAN_COMPONENTS', 'main, contrib', "DEBIAN_COMPONENTS: 'main,' is no component"],
    ['REALMFS_NAME', 'a/b', "REALMFS_NAME: 'a/b' is no name"],
    ['REALMFS_NAME', '.hidden', "REALMFS_NAME: '.hidden' is no name"],
    ['REALMFS_HOSTNAME', '-x', "REALMFS_HOSTNAME: '-x' is no host name"],
    ['REALMFS_PROFILE', 'Minimal', "REALMFS_PROFILE: 'Minimal' is none of citadel, minimal"],
    ['NETWORK', 'no', "NETWORK: 'no' is none of on, off"],
    ['IMAGE_TARGETS', 'tarbal', 'IMAGE_TARGETS: there is no target tarbal; did you mean tarball? (known: realmfs, ext4, tarball)'],
    ['IMAGE_TARGETS', ' , ', 'IMAGE_TARGETS: names no target'],
    ['SOURCE_DATE_EPOCH', '-1', "SOURCE_DATE_EPOCH: '-1' is no number of seconds"],
  ])('%s=%j', async (key, value, message) => {
    expect(await problems({ text: `\n${key}='x'\n`, values: { [key]: value } })).toEqual([`build.conf:2: ${message}`]);
  });

  test('no component at all', async () => {
    expect(await problems({ values: { DEBIAN_COMPONENTS: ' ' } })).toHaveLength(1);
  });

  test('a text setting that is an array', async () => {
    expect(await problems({ text: 'NETWORK=(on)\n', values: { NETWORK: ['on'] } })).toEqual([
      'build.conf:1: NETWORK: is an array, but must be one string',
    ]);
  });

  test('a setting for which build.conf comes too late', async () => {
    expect(await problems({ text: 'REALMFS_CACHE_DIR=/c\n', values: { REALMFS_CACHE_DIR: '/c' } })).toEqual([
      'build.conf:1: REALMFS_CACHE_DIR: build.conf comes too late for it; set it in realmfs.env, the environment or with --set',
    ]);
  });

  test.each<[string, Partial<BuildRequest>]>([
    ['--set', { overrides: { NETWORK: 'x' } }],
    ['environment', { environment: { NETWORK: 'x' } }],
  ])('the place is %s where it comes from there', async (file, changes) => {
    expect(await problems({ values: { NETWORK: 'x' }, changes })).toEqual([`${file}: NETWORK: 'x' is none of on, off`]);
  });

  test('--set wins over the line in build.conf', async () => {
    expect(await problems({ text: 'NETWORK=on\n', values: { NETWORK: 'x' }, changes: { overrides: { NETWORK: 'x' } } })).toEqual([
      "--set: NETWORK: 'x' is none of on, off",
    ]);
  });

  test('--set of a variable that nobody knows', async () => {
    expect(await problems({ values: { MINE: '1' }, changes: { overrides: { MIEN: '1', PACKAGE: 'x' } } })).toEqual([
      '--set: MIEN: neither a setting nor a variable of build.conf; did you mean MINE?',
      '--set: PACKAGE: neither a setting nor a variable of build.conf; did you mean PACKAGES?',
    ]);
    expect((await config({ values: { MINE: '1' }, changes: { overrides: { MINE: '2' } } })).release).toBe('trixie');
  });
});

describe('modules', () => {
  test.each<[string, Case, string]>([
    ['a function first', { functions: ['create-user'], files: { 'realmfs-modules/create-user': '' } }, 'function'],
    ['then a file of the project', { files: { 'realmfs-modules/create-user': '' } }, 'project'],
    ['then a built-in one', {}, 'built-in'],
  ])('%s', async (_, given, origin) => {
    const { preModules } = await config({ ...given, values: { PRE_INSTALL_MODULES: 'create-user' } });
    expect(preModules).toEqual([{ name: 'create-user', origin }]);
  });

  test('install-packages is looked up in the same way', async () => {
    expect((await config({ files: { 'realmfs-modules/install-packages': '' } })).packageModule.origin).toBe('project');
    expect((await config({ functions: ['install-packages'] })).packageModule.origin).toBe('function');
  });

  test('the order and repetitions are kept', async () => {
    const { postModules } = await config({ functions: ['b', 'a'], values: { POST_INSTALL_MODULES: ['b a', 'b'] } });
    expect(postModules.map(({ name }) => name)).toEqual(['b', 'a', 'b']);
  });

  test.each(['module', 'info', 'warn', 'fatal', 'install_file', '../x', '-x', 'a/b', 'a;b', '.x'])('%s is no module name', async (name) => {
    expect(await problems({ functions: [name], values: { PRE_INSTALL_MODULES: name } })).toEqual([
      `build.conf: PRE_INSTALL_MODULES: '${name}' is no module name`,
    ]);
  });

  test.each([
    ['creat-user', '; did you mean create-user?'],
    ['my-modul', '; did you mean my-module?'],
    ['my-functoin', '; did you mean my-function?'],
    ['zzzzzzzz', ''],
  ])('%s is unknown', async (name, hint) => {
    const given = { functions: ['my-function'], files: { 'realmfs-modules/my-module': '' }, values: { POST_INSTALL_MODULES: name } };
    expect(await problems(given)).toEqual([`build.conf: POST_INSTALL_MODULES: there is no module ${name}${hint}`]);
  });

  test('a list of packages that says two things of one', async () => {
    expect(
      await problems({ text: 'PACKAGES="tree tree- g++ g++- less"\n', values: { PACKAGES: 'tree tree- g++ g++- less y- z=1' } }),
    ).toEqual([
      'build.conf:1: PACKAGES: has tree, which installs a package, and tree-, which takes it away; leave one of them out',
      'build.conf:1: PACKAGES: has g++, which installs a package, and g++-, which takes it away; leave one of them out',
    ]);
    expect(contradictions(['a=1', 'b/sid', 'c+', 'a-', 'b-', 'c-', 'd-'])).toEqual([
      { name: 'a', word: 'a=1' },
      { name: 'b', word: 'b/sid' },
      { name: 'c', word: 'c+' },
    ]);
  });

  test('a folder is no module, a link out of the project is refused', async () => {
    const prepare = (project: string): void => {
      mkdirSync(path.join(project, 'realmfs-modules/folder'), { recursive: true });
      symlinkSync('/nowhere/at/all', path.join(project, 'realmfs-modules/linked'));
    };
    expect(await problems({ prepare, values: { PRE_INSTALL_MODULES: 'folder linked' } })).toEqual([
      'realmfs-modules/linked: is a link that leads out of the project folder, to /nowhere/at/all: copy what it leads to into the project',
      'build.conf: PRE_INSTALL_MODULES: there is no module folder',
    ]);
  });

  test('syntax errors of files are found, once each, and only in those that are used', async () => {
    const files = { 'realmfs-modules/bad': 'true\nif\nfi\n', 'realmfs-modules/crlf': 'true\r\n', 'realmfs-modules/unused': 'fi\n' };
    expect(await problems({ files, values: { PRE_INSTALL_MODULES: 'bad bad', POST_INSTALL_MODULES: 'crlf' } })).toEqual([
      "realmfs-modules/bad:3: syntax error near unexpected token `fi'",
      expect.stringMatching(/^realmfs-modules\/crlf:1: has Windows line ends/),
    ]);
  });
});

test('all problems at once, the first one in the last line', async () => {
  const error = await config({
    text: 'DEBIAN_RELEASE=a/b\nDEBIAN_MIRROR=x\n\nPRE_INSTALL_MODULES="none-such"\n',
    values: { DEBIAN_RELEASE: 'a/b', DEBIAN_MIRROR: 'x', PRE_INSTALL_MODULES: 'none-such' },
  }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    message: "build.conf:1: DEBIAN_RELEASE: 'a/b' is no suite name (and 2 more above)",
    details: [
      "build.conf:1: DEBIAN_RELEASE: 'a/b' is no suite name",
      "build.conf:2: DEBIAN_MIRROR: 'x' is no URL; a mirror looks like http://mirror.example/debian",
      'build.conf:4: PRE_INSTALL_MODULES: there is no module none-such',
    ],
  });
});

test('the built-in base image has no file to read', async () => {
  expect(await problems({ changes: { configName: null }, values: { NETWORK: 'x' } })).toEqual([
    "base image: NETWORK: 'x' is none of on, off",
  ]);
});
