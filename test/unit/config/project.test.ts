import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readEnvFile } from '../../../src/config/env-file.ts';
import { checkScript, settingsAfter, settingsBefore, words } from '../../../src/config/evaluate.ts';
import { nearest, suggestion } from '../../../src/config/nearest.ts';
import { copyProject, PROJECT_TIME, projectContents } from '../../../src/config/project.ts';
import { findSetting, settings, splitTargets } from '../../../src/config/settings.ts';
import { type BuildRequest, buildRequestSchema } from '../../../src/messages/request.ts';
import { namesIn } from '../../../src/system/names.ts';
import { blankRequest } from '../../helpers/blank.ts';
import { bash } from '../../helpers/chroot-scripts.ts';
import { realRunner, recordingRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const program = path.resolve(import.meta.dirname, '../../..');
const octal = (file: string): string => (statSync(file).mode & 0o7777).toString(8);

describe('what of a project folder is copied', () => {
  test.each<[string, string | null, readonly string[], readonly string[]]>([
    ['all but hidden names and outputs', 'build.conf', [], ['build.conf', 'helper.sh', 'lib', 'out', 'realmfs-files', 'realmfs.env']],
    ['and but the output of this build', 'build.conf', ['out', 'lib'], ['build.conf', 'helper.sh', 'realmfs-files', 'realmfs.env']],
    ['without a build.conf: what the builder knows', null, [], ['realmfs-files', 'realmfs.env']],
  ])('%s', async (_, configName, left, expected) => {
    const names = [
      'build.conf',
      'helper.sh',
      'realmfs.env',
      '.env',
      '.git/x',
      'node_modules/x',
      'realmfs/x',
      'out/x',
      'lib/x',
      'realmfs-files/x',
      'old/realmfs-build.log',
    ];
    const root = tempRoot(Object.fromEntries(names.map((name) => [name, ''])));
    expect(await projectContents(root, configName, left)).toEqual(expected);
  });
});

test('a hidden file that build.conf, or a script of it, names is part of the project', async () => {
  const files = {
    'build.conf': '# see .comment\nconf=.secrets\n[[ -f $conf ]] && source "$conf"\nsource common.sh\n',
    'common.sh': '. "${BASH_SOURCE%/*}/.site.env"\n',
    'README.md': 'see .ignored\n',
    '.secrets': 'KEY=1\n. .more\n',
    '.more': '',
    '.site.env': '',
    '.comment': '',
    '.ignored': '',
    '.env': '',
    '.git/config': '',
  };
  const root = tempRoot(files);
  expect(await projectContents(root, 'build.conf', [])).toEqual(['.more', '.secrets', '.site.env', 'README.md', 'build.conf', 'common.sh']);
  expect(await projectContents(root, 'build.conf', ['.more'])).not.toContain('.more');
});

describe('the copy of a project', () => {
  async function copied(root: string) {
    const target = tempRoot();
    const [project, evaluate] = [path.join(target, 'project'), path.join(target, 'evaluate')];
    mkdirSync(project);
    mkdirSync(evaluate);
    await copyProject({ source: root, project, evaluate, names: await namesIn(root), configName: 'build.conf', runner: realRunner() });
    return { project, evaluate };
  }

  test('the evaluation gets the scripts, readable for all; stage two gets everything', async () => {
    const root = tempRoot({
      'build.conf': 'A=1',
      'realmfs-modules/m': 'x',
      'realmfs-files/key': 'secret',
      'overlay/x': '',
      'hooks.d/x': '',
      'lib/a.sh': '',
    });
    chmodSync(path.join(root, 'build.conf'), 0o600);
    chmodSync(path.join(root, 'lib'), 0o700);
    const { project, evaluate } = await copied(root);
    expect(readdirSync(project).sort()).toEqual(['build.conf', 'hooks.d', 'lib', 'overlay', 'realmfs-files', 'realmfs-modules']);
    expect(readdirSync(evaluate).sort()).toEqual(['build.conf', 'lib', 'realmfs-modules']);
    expect([octal(path.join(project, 'build.conf')), octal(path.join(evaluate, 'build.conf')), octal(path.join(evaluate, 'lib'))]).toEqual([
      '600',
      '644',
      '755',
    ]);
  });

  test('modes and links are kept', async () => {
    const root = tempRoot({ 'realmfs-files/run': '#!/bin/sh' });
    chmodSync(path.join(root, 'realmfs-files/run'), 0o4755);
    symlinkSync('run', path.join(root, 'realmfs-files/link'));
    symlinkSync('/etc/passwd', path.join(root, 'realmfs-files/out'));
    const { project } = await copied(root);
    expect(octal(path.join(project, 'realmfs-files/run'))).toMatch(/^[40]?755$/);
    expect(readlinkSync(path.join(project, 'realmfs-files/link'))).toBe('run');
    expect(lstatSync(path.join(project, 'realmfs-files/out')).isSymbolicLink()).toBe(true);
  });

  test('of two checkouts with other times, made in another order, the copies are the same', async () => {
    const seen = async (names: readonly string[], age: number): Promise<unknown> => {
      const root = tempRoot({ 'build.conf': '', ...Object.fromEntries(names.map((name) => [`lib/${name}`, name])) });
      for (const name of [...names.map((each) => `lib/${each}`), 'lib', 'build.conf']) utimesSync(path.join(root, name), age, age);
      const { project, evaluate } = await copied(root);
      return [project, evaluate].map((top) => {
        const all = ['.', 'build.conf', 'lib', ...names.map((name) => `lib/${name}`)].map((name) => path.join(top, name));
        expect(new Set(all.map((file) => statSync(file).mtimeMs))).toEqual(new Set([PROJECT_TIME * 1000]));
        const folder = opendirSync(path.join(top, 'lib'));
        const listed = names.map(() => folder.readSync()?.name);
        folder.closeSync();
        const made = [...names].sort((a, b) => statSync(path.join(top, 'lib', a)).ino - statSync(path.join(top, 'lib', b)).ino);
        return { listed, made };
      });
    };
    const first = await seen(['a', 'b', 'c', 'd', 'e'], 1_000_000_000);
    expect(await seen(['e', 'c', 'd', 'b', 'a'], 1_700_000_000)).toEqual(first);
  });

  test('holes, extended attributes and names of one file are kept', async () => {
    const root = tempRoot({ 'build.conf': '', 'lib/a': 'a' });
    linkSync(path.join(root, 'lib/a'), path.join(root, 'lib/b'));
    truncateSync(path.join(root, 'lib/a'), 64 * 1024 ** 2);
    expect(bash('setfattr -n user.mine -v yes "$1"', path.join(root, 'lib')).status).toBe(0);
    const { project } = await copied(root);
    const [a, b] = ['a', 'b'].map((name) => statSync(path.join(project, 'lib', name)));
    expect([a?.ino, a?.size, (a?.blocks ?? 0) < 1024]).toEqual([b?.ino, 64 * 1024 ** 2, true]);
    expect(bash('getfattr --only-values -n user.mine "$1" 2>/dev/null', path.join(project, 'lib')).stdout).toBe('yes');
  });

  test('names that are not UTF-8', async () => {
    const root = tempRoot({ 'build.conf': '', 'lib/x': '' });
    const wild = (name: string): Buffer => Buffer.from(path.join(root, name), 'latin1');
    writeFileSync(wild('caf\xe9\\c'), 'top');
    writeFileSync(wild('lib/\xff\n'), 'below');
    mkdirSync(wild('realmfs-files\xe9'));
    symlinkSync(wild('\xe9'), wild('lib/link\xe9'));
    const names = await projectContents(root, 'build.conf', []);
    expect(names).toEqual(['build.conf', 'caf\udce9\\c', 'lib', 'realmfs-files\udce9']);
    const { project } = await copied(root);
    expect(readdirSync(project, 'latin1').sort()).toEqual(['build.conf', 'caf\xe9\\c', 'lib', 'realmfs-files\xe9']);
    expect(readdirSync(path.join(project, 'lib'), 'latin1').sort()).toEqual(['link\xe9', 'x', '\xff\n']);
  });

  test('odd names', async () => {
    const { project } = await copied(tempRoot({ '-rf': 'a', 'a b': 'b', 'line\nfeed': 'c' }));
    expect(readdirSync(project).sort()).toEqual(['-rf', 'a b', 'line\nfeed']);
  });

  test('a link that leads out leads nowhere in the evaluation; one that build.conf sources is refused', async () => {
    const outside = tempRoot({ 'site.sh': 'SITE=1\n', 'lib/a.sh': '' });
    const linked = (conf: string): string => {
      const root = tempRoot({ 'build.conf': conf, 'own.sh': '', 'realmfs-files/x': '', 'lib/own.sh': '' });
      symlinkSync(path.join(outside, 'site.sh'), path.join(root, 'site.sh'));
      symlinkSync(`../${path.basename(outside)}/lib`, path.join(root, 'theirs'));
      symlinkSync('../theirs/a.sh', path.join(root, 'lib/a.sh'));
      symlinkSync('own.sh', path.join(root, 'good.sh'));
      symlinkSync('realmfs-files/x', path.join(root, 'data'));
      symlinkSync('/proc/self/environ', path.join(root, 'unused'));
      symlinkSync('loop', path.join(root, 'loop'));
      return root;
    };
    const { project, evaluate } = await copied(
      linked('# source site.sh\n[[ -f good.sh ]] && . ./good.sh\nunused=loop\nsource "$REALMFS_PROJECT/own.sh"\n'),
    );
    const nowhere = '/nonexistent/out-of-the-project';
    const leadsTo = (folder: string) =>
      ['site.sh', 'theirs', 'lib/a.sh', 'good.sh', 'data', 'unused', 'loop'].map((name) => readlinkSync(path.join(folder, name)));
    expect(leadsTo(evaluate)).toEqual([nowhere, nowhere, nowhere, 'own.sh', 'realmfs-files/x', nowhere, nowhere]);
    expect(leadsTo(project).slice(0, 2)).toEqual([path.join(outside, 'site.sh'), `../${path.basename(outside)}/lib`]);

    const refused: [string, string][] = [
      ['[ -f site.sh ] && . ./site.sh', 'site.sh: is a link that leads out of the project folder, to /'],
      ['if true; then\n  source "$REALMFS_PROJECT/lib/a.sh"\nfi', 'lib/a.sh: has a link on its way, theirs, that leads out'],
      ['for f in own.sh site.sh; do [ ! -f $f ] || . ./$f; done', 'site.sh: is a link that leads out'],
      ['source theirs/b.sh', 'theirs: is a link that leads out of the project folder, to ../'],
      ['. ./own.sh\nsource loop', 'loop: is a link that leads in a circle'],
    ];
    for (const [conf, message] of refused) await expect(copied(linked(`${conf}\n`))).rejects.toThrow(message);
  });

  test('large files are no scripts', async () => {
    const root = tempRoot({ 'build.conf': '', image: '' });
    truncateSync(path.join(root, 'image'), 5 * 1024 ** 2);
    expect(readdirSync((await copied(root)).evaluate)).toEqual(['build.conf']);
  });

  test('an empty project starts no program', async () => {
    const runner = recordingRunner();
    await copyProject({ source: tempRoot(), project: '/p', evaluate: '/e', names: [], configName: null, runner });
    expect(runner.commands).toEqual([]);
  });

  test('a folder of other things is refused, with its size', async () => {
    const root = tempRoot({ disk: '' });
    truncateSync(path.join(root, 'disk'), 3 * 1024 ** 3);
    const runner = recordingRunner();
    await expect(copyProject({ source: root, project: '/p', evaluate: '/e', names: ['disk'], configName: null, runner })).rejects.toThrow(
      'the project folder holds 3.0 GiB, more than 2.0 GiB: give build.conf a folder of its own',
    );
    expect(runner.commands).toEqual([]);
  });
});

describe('scripts before they are run', () => {
  const check = async (text: string | Buffer) => {
    const root = tempRoot();
    writeFileSync(path.join(root, 'build.conf'), text);
    return checkScript(root, 'build.conf', realRunner());
  };

  test.each<[string, string | Buffer, unknown]>([
    [
      'CRLF',
      'a=1\r\nb=2\r\n',
      [{ file: 'build.conf', line: 1, message: 'has Windows line ends (CRLF); convert it with: sed -i "s/\\r$//" FILE' }],
    ],
    ['a NUL byte', 'a=1\nb=\0\n', [{ file: 'build.conf', line: 2, message: 'holds a NUL byte' }]],
    [
      'a byte order mark',
      '\ufeffa=1\n',
      [{ file: 'build.conf', line: 1, message: 'begins with a byte order mark; save it as plain UTF-8' }],
    ],
    [
      'a missing word',
      'a=1\n\nfor x in; do echo\n',
      [{ file: 'build.conf', line: expect.any(Number), message: 'syntax error: unexpected end of file' }],
    ],
    ['an unexpected word', 'a=1\n\n)\n', [{ file: 'build.conf', line: 3, message: "syntax error near unexpected token `)'" }]],
    ['a carriage return within a line', "a=$'x'\nb='a\rb'\n", []],
    ['an empty file', '', []],
    ['bytes that are no UTF-8', Buffer.from([0x61, 0x3d, 0xff, 0x0a]), []],
    ['more than 4 MiB', Buffer.alloc(4 * 1024 ** 2 + 1, '#'), [{ file: 'build.conf', message: 'is larger than 4 MiB' }]],
  ])('%s', async (_, text, expected) => {
    expect(await check(text)).toEqual(expected);
  });

  test('nothing of the script is run', async () => {
    const root = tempRoot();
    writeFileSync(path.join(root, 'x'), `touch ${root}/ran\n$(touch ${root}/ran)\n`);
    expect(await checkScript(root, 'x', realRunner())).toEqual([]);
    expect(existsSync(path.join(root, 'ran'))).toBe(false);
  });

  test('a name that looks like an option, a folder, nothing', async () => {
    const root = tempRoot({ '-c': 'true\n' });
    mkdirSync(path.join(root, 'folder'));
    expect(await checkScript(root, '-c', realRunner())).toEqual([]);
    for (const file of ['folder', 'none'])
      expect(await checkScript(root, file, realRunner())).toEqual([{ file, message: 'is not a regular file' }]);
  });

  test('a link out of the project is not opened: nothing of what it leads to is said', async () => {
    const outside = tempRoot({ secret: 'root-only-secret-line (\n' });
    const root = tempRoot({ inside: 'true\n' });
    symlinkSync(path.join(outside, 'secret'), path.join(root, 'x'));
    symlinkSync('x', path.join(root, 'y'));
    symlinkSync('inside', path.join(root, 'z'));
    const to = `that leads out of the project folder, to ${outside}/secret: copy what it leads to into the project`;
    expect(await checkScript(root, 'x', realRunner())).toEqual([{ file: 'x', message: `is a link ${to}` }]);
    expect(await checkScript(root, 'y', realRunner())).toEqual([{ file: 'y', message: `has a link on its way, x, ${to}` }]);
    expect(await checkScript(root, 'z', realRunner())).toEqual([]);
  });
});

describe('values on their way to bash', () => {
  const request: BuildRequest = {
    ...blankRequest,
    configName: 'build.conf',
    hasProject: true,
    version: '0',
  };
  const odd = [
    "it's great!",
    '~/x',
    'a:~',
    '$(touch /x) `y` $HOME',
    '"\\"',
    '{a,b} * ? [x]',
    '#x',
    '',
    'a\nb',
    "a'\nb",
    'é€',
    '-n',
    'a=b',
    '!!',
    '\t',
    'C:\\x',
  ];

  test.each(odd)('%j arrives as it is', (value) => {
    const { stdout } = bash(
      `${settingsBefore({ ...request, overrides: { REALMFS_USER_PASSWORD: value } })}\nprintf %s "$REALMFS_USER_PASSWORD"`,
    );
    expect(stdout).toBe(value);
  });

  test('the command line wins over the environment, this over realmfs.env', () => {
    const lines = (given: Partial<BuildRequest>): string[] =>
      settingsBefore({ ...request, ...given })
        .split('\n')
        .slice(1, -1);
    const envFile = { NETWORK: 'file' };
    const environment = { NETWORK: 'environment' };
    expect(lines({ envFile })).toEqual(['NETWORK=file']);
    expect(lines({ envFile, environment })).toEqual(['NETWORK=environment']);
    expect(lines({ envFile, environment, overrides: { NETWORK: 'set', MINE: '1' } })).toEqual(['NETWORK=set', 'MINE=1']);
    expect(lines({ overrides: { REALMFS_CACHE_DIR: '/c' } })).toEqual([]);
  });

  test('afterwards the command line comes first, then every default', () => {
    const lines = settingsAfter({ ...request, overrides: { NETWORK: 'off' } })
      .split('\n')
      .slice(1, -1);
    expect(lines[0]).toBe('__realmfs_override NETWORK off');
    expect(lines.slice(1).map((line) => line.split(' ')[1])).toEqual(
      settings.filter(({ fallback, type }) => fallback !== undefined && type !== 'builder').map(({ key }) => key),
    );
    expect(lines).toContain("__realmfs_default DEBIAN_COMPONENTS 'main non-free-firmware'");
  });

  test("what is the builder's own is not told to build.conf, before or after", () => {
    const own = { ...request, overrides: { REALMFS_CACHE_DIR: '/c', APT_PROXY: 'DIRECT' } };
    expect(settingsBefore(own) + settingsAfter(own)).not.toMatch(/CACHE_DIR|APT_PROXY/);
  });

  test('a request survives its way through JSON', () => {
    const full = { ...request, overrides: { A: "b\n'c" }, proxy: { http_proxy: 'http://proxy.example:3128' } };
    expect(buildRequestSchema.parse(JSON.parse(JSON.stringify(full)))).toEqual(full);
    expect(() => buildRequestSchema.parse({ ...full, overrides: { A: 1 } })).toThrow();
  });
});

describe('realmfs.env', () => {
  const own = process.getuid?.();

  test.each([
    ['REALMFS_NAME=a b  # note\n', { REALMFS_NAME: 'a b' }],
    ["REALMFS_NAME='a # b'\n", { REALMFS_NAME: 'a # b' }],
    ['REALMFS_NAME=$HOME\n', { REALMFS_NAME: '$HOME' }],
    ['\n# note\nREALMFS_NAME=\n', { REALMFS_NAME: '' }],
    ['REALMFS_CACHE_DIR=/c\n', { REALMFS_CACHE_DIR: '/c' }],
  ])('%j', async (text, values) => {
    expect(await readEnvFile(tempRoot({ 'realmfs.env': text }), own)).toEqual(values);
  });

  test('a folder, a link and a file that everybody can write are refused', async () => {
    const folder = tempRoot({ 'realmfs.env/x': '' });
    await expect(readEnvFile(folder, own)).rejects.toThrow('realmfs.env: is not a regular file');
    const linked = tempRoot({ real: 'NETWORK=off\n' });
    symlinkSync('real', path.join(linked, 'realmfs.env'));
    await expect(readEnvFile(linked, own)).rejects.toThrow('realmfs.env: is not a regular file');
    const open = tempRoot({ 'realmfs.env': 'NETWORK=off\n' });
    chmodSync(path.join(open, 'realmfs.env'), 0o666);
    await expect(readEnvFile(open, own)).rejects.toThrow('realmfs.env: can be written by everybody');
  });

  test.runIf(own === 0)('it belongs to root or to the user behind sudo', async () => {
    const root = tempRoot({ 'realmfs.env': 'NETWORK=off\n' });
    chownSync(path.join(root, 'realmfs.env'), 1234, 1234);
    await expect(readEnvFile(root, 1000)).rejects.toThrow('realmfs.env: belongs neither to root nor to the user behind sudo');
    await expect(readEnvFile(root, undefined)).rejects.toThrow('belongs neither');
    expect(await readEnvFile(root, 1234)).toEqual({ NETWORK: 'off' });
  });
});

describe('the settings table', () => {
  test.each<[string, string, boolean]>([
    ['DEBIAN_RELEASE', 'bookworm-backports', true],
    ['DEBIAN_RELEASE', 'Trixie', false],
    ['DEBIAN_RELEASE', 'stable/updates', false],
    ['DEBIAN_RELEASE', 'a b', false],
    ['DEBIAN_IMAGE_MIRROR', 'https://mirror.example/debian', true],
    ['DEBIAN_IMAGE_MIRROR', 'https://', false],
    ['DEBIAN_SECURITY_MIRROR', '', true],
    ['DEBIAN_SECURITY_MIRROR', "http://mirror.example/d'x", false],
    ['DEBIAN_ARCH', '', true],
    ['DEBIAN_ARCH', 'kfreebsd-amd64', true],
    ['DEBIAN_ARCH', 'AMD64', false],
    ['DEBIAN_COMPONENTS', 'main', true],
    ['DEBIAN_COMPONENTS', 'updates/main', true],
    ['DEBIAN_COMPONENTS', '--main', false],
    ['DEBIAN_KEYRING', '/k.gpg', true],
    ['DEBIAN_KEYRING', '', false],
    ['IMAGE_FREE_SPACE', '0', true],
    ['IMAGE_FREE_SPACE', '', false],
    ['REALMFS_HOSTNAME', 'a', true],
    ['REALMFS_HOSTNAME', 'a..b', false],
    ['REALMFS_HOSTNAME', 'a_b', false],
    ['REALMFS_HOSTNAME', 'a\n', false],
    ['REALMFS_HOSTNAME', `${'a'.repeat(64)}`, false],
    ['REALMFS_HOSTNAME', '', false],
    ['REALMFS_NAME', 'my.image_2-x', true],
    ['REALMFS_NAME', 'a b', false],
    ['REALMFS_NAME', '', false],
    ['REALMFS_PROFILE', 'minimal', true],
    ['REALMFS_PROFILE', '', false],
    ['NETWORK', 'off', true],
    ['NETWORK', '', false],
    ['SOURCE_DATE_EPOCH', '', true],
    ['SOURCE_DATE_EPOCH', '1757000000', true],
    ['SOURCE_DATE_EPOCH', '1e9', false],
    ['SOURCE_DATE_EPOCH', '1234567890123', false],
    ['REALMFS_CACHE_DIR', '/var/cache/x', true],
    ['REALMFS_CACHE_DIR', 'cache', false],
  ])('%s=%j is good: %j', (key, value, good) => {
    const check = findSetting(key)?.check;
    expect(check).toBeDefined();
    expect(check?.(value) === undefined).toBe(good);
  });

  test.each(settings)('the default of $key passes its own check', ({ check, fallback, type }) => {
    for (const value of type === 'list' ? (fallback ?? '').split(' ') : [fallback]) {
      if (fallback !== undefined && value !== undefined && value !== '') expect(check?.(value)).toBeUndefined();
    }
  });

  test('keys are unique, an unknown one is undefined', () => {
    expect(new Set(settings.map(({ key }) => key)).size).toBe(settings.length);
    expect(findSetting('PATH')).toBeUndefined();
  });

  test.each(settings)('$key: where it is written down', ({ key, type }) => {
    const read = (file: string): string => readFileSync(path.join(program, file), 'utf8');
    expect(read('docs/configuration.md')).toMatch(new RegExp(`^\\| \`${key}\` \\|`, 'm'));
    const template = new RegExp(`^#?${key}=`, 'm');
    if (type === 'builder') expect(read('templates/build.conf')).not.toMatch(template);
    else expect(read('templates/build.conf')).toMatch(template);
  });

  test.each(settings.filter(({ fallback }) => (fallback ?? '') !== ''))(
    '$key: the docs and the template show its default',
    ({ key, fallback, type }) => {
      const row = new RegExp(`^\\| \`${key}\` \\| \`([^\`]*)\` \\|`, 'm').exec(
        readFileSync(path.join(program, 'docs/configuration.md'), 'utf8'),
      );
      expect(row?.[1]).toBe(fallback);
      if (type === 'builder') return;
      const line = new RegExp(`^#${key}=(.*)$`, 'm').exec(readFileSync(path.join(program, 'templates/build.conf'), 'utf8'));
      expect(line?.[1]?.replaceAll('"', '')).toBe(fallback);
    },
  );

  test('no value of the template is set', () => {
    const { stdout } = bash(
      'before=$(compgen -v); source "$1"; comm -13 <(sort <<<"$before") <(compgen -v | sort) | grep -Evx "before|_|BASH_.*|PIPESTATUS"; declare -F',
      path.join(program, 'templates/build.conf'),
    );
    expect(stdout).toBe('');
  });
});

test.each([
  ['', []],
  ['a', ['a']],
  [' ,;\n', []],
  ['a;b,c d\te', ['a', 'b', 'c', 'd', 'e']],
])('targets of %j', (text, expected) => {
  expect(splitTargets(text)).toEqual(expected);
});

test('words of strings and arrays', () => {
  expect(words(undefined)).toEqual([]);
  expect(words({ type: 'string', values: ['  a\tb\n'] })).toEqual(['a', 'b']);
  expect(words({ type: 'array', values: ['a b', '', ' c'] })).toEqual(['a', 'b', 'c']);
});

test.each([
  ['set-hostnmae', 'set-hostname'],
  ['SET-HOSTNAME', undefined],
  ['apt-cache-ng', 'apt-cacher-ng'],
  ['completely-different', undefined],
])('the nearest to %s is %s', (word, expected) => {
  const known = ['set-hostname', 'apt-cacher-ng', 'create-user'];
  expect(nearest(word, known)).toBe(expected);
  expect(suggestion(word, known)).toBe(expected === undefined ? '' : `; did you mean ${expected}?`);
});

test('for a plan folders of data are shown, not copied; a link in the place of one is copied', async () => {
  const root = tempRoot({ 'build.conf': '', 'realmfs-files/x': '', 'lib/x': '' });
  symlinkSync('lib', path.join(root, 'overlay'));
  const target = tempRoot();
  const runner = recordingRunner();
  const names = ['build.conf', 'lib', 'overlay', 'realmfs-files'];
  await copyProject({ source: root, project: target, evaluate: '/evaluate', names, configName: 'build.conf', bindData: true, runner });
  expect(runner.commands[0]?.args.slice(5)).toEqual([target, '/evaluate', '3', ...names.slice(0, 3), ...names.slice(0, 3)]);
  expect(runner.commands.map(({ file, args }) => [file, ...args.slice(-3)])).toEqual([
    ['bash', 'build.conf', 'lib', 'overlay'],
    ['mount', '--', path.join(root, 'realmfs-files'), path.join(target, 'realmfs-files')],
  ]);
  expect(statSync(path.join(target, 'realmfs-files')).isDirectory()).toBe(true);
});
