import { expect, test, vi } from 'vitest';
import { parseArguments } from '../../../src/cli/options.ts';
import { UsageError } from '../../../src/errors.ts';
import { version } from '../../../src/resources.ts';

function options(...args: string[]) {
  const parsed = parseArguments(args);
  if (parsed.kind !== 'options') throw new Error('options expected');
  return parsed.options;
}

test('a build without options has these', () => {
  expect(options()).toEqual({
    isNew: false,
    config: undefined,
    directory: 'realmfs',
    targets: [],
    tmpfs: true,
    tmpfsSize: undefined,
    confirm: true,
    keepRootfs: false,
    cache: true,
    rebuildFrom: undefined,
    refresh: false,
    offline: false,
    shellOnFailure: false,
    set: {},
    timeout: undefined,
    progress: 'auto',
    verbose: false,
    debug: false,
    color: 'auto',
  });
});

test.each<[string[], object]>([
  [['-t'], { targets: ['tarball'] }],
  [['-z', '-t', '-i'], { targets: ['tarball', 'tarball-xz', 'ext4'] }],
  [['--targets', 'ext4;tarball, ext4'], { targets: ['ext4', 'tarball'] }],
  [['-t', '--targets', 'tarball-xz'], { targets: ['tarball', 'tarball-xz'] }],
  [['--new'], { isNew: true }],
  [['-d', 'out', 'other.conf'], { directory: 'out', config: 'other.conf' }],
  [['--no-tmpfs'], { tmpfs: false }],
  [['--tmpfs-size', '1.5G'], { tmpfsSize: 1.5 * 1024 ** 3 }],
  [['--no-confirm', '--no-cache', '--keep-rootfs'], { confirm: false, keepRootfs: true, cache: false }],
  [['--rebuild-from', 'post/x', '--refresh'], { rebuildFrom: 'post/x', refresh: true }],
  [['--set', 'A=1', '--set', 'B=x=y z'], { set: { A: '1', B: 'x=y z' } }],
  [['--timeout', '2h'], { timeout: 7_200_000 }],
  [['--progress', 'json'], { progress: 'json' }],
  [['-q'], { progress: 'quiet' }],
  [['--debug'], { debug: true, verbose: true }],
  [['-tz'], { targets: ['tarball', 'tarball-xz'] }],
  [['-izt'], { targets: ['tarball', 'tarball-xz', 'ext4'] }],
  [['-t', '-t'], { targets: ['tarball'] }],
  [['--targets=qcow2'], { targets: ['qcow2'] }],
  [['--directory=/srv/out'], { directory: '/srv/out' }],
  [['-dout'], { directory: 'out' }],
  [['a.conf', '-t'], { config: 'a.conf', targets: ['tarball'] }],
  [['--', '-t'], { config: '-t', targets: [] }],
  [['--set', 'A='], { set: { A: '' } }],
  [['--set', 'A=1', '--set', 'A=2'], { set: { A: '2' } }],
  [['--set', 'A=x\ny'], { set: { A: 'x\ny' } }],
  [['--set=A=--new'], { isNew: false, set: { A: '--new' } }],
  [['--timeout', '90'], { timeout: 90_000 }],
  [['--verbose'], { verbose: true, debug: false }],
  [['-v', '-q'], { verbose: true, progress: 'quiet' }],
  [['--color', 'never'], { color: 'never' }],
  ...['auto', 'tty', 'plain', 'json', 'quiet'].map((kind) => [['--progress', kind], { progress: kind }] as [string[], object]),
])('the command line %j is read', (args, expected) => {
  expect(options(...args)).toMatchObject(expected);
});

test.each([
  [['--nwe'], "unknown option '--nwe'\n(Did you mean --new?)"],
  [['a', 'b'], 'too many arguments. Expected 1 argument but got 2.'],
  [['--set', 'A'], "--set: 'A' is not KEY=VALUE"],
  [['--set', '1A=b'], "--set: '1A=b' is not KEY=VALUE"],
  [['--tmpfs-size', 'big'], "--tmpfs-size: 'big' is no size"],
  [['--timeout', '0'], "--timeout: '0' is no time"],
  [['--progress', 'loud'], "option '--progress <kind>' argument 'loud' is invalid. Allowed choices are auto, tty, plain, json, quiet."],
  [['--targets', ' '], '--targets: names no target'],
  [['-d', ''], '--directory: names no folder'],
  [['sign', 'realmfs'], 'sign: give --key for an image, or --gpg for a folder of results'],
  [['sign', '--gpg', '--key', 'k', 'realmfs'], 'sign: give --key for an image, or --gpg for a folder of results'],
  [['sign', '--key', 'k', '--user', 'me', 'x.img'], '--user belongs to --gpg'],
  [['verify'], 'verify: name images, or folders of results'],
  [['verify', '--set', 'A=b', 'realmfs'], '--config, --set and --no-tmpfs belong to: verify --rebuild'],
  [['verify', '--rebuild', 'a', 'b'], '--rebuild: compares one folder of results'],
  [['verify', '--rebuild', '--key', 'k'], '--rebuild: a signature is not built again; check it by itself'],
  [['--color', 'blue'], "option '--color <when>' argument 'blue' is invalid. Allowed choices are auto, always, never."],
  [['-d'], "option '-d, --directory <dir>' argument missing"],
  [['--tmpfs-size', '0'], "--tmpfs-size: '0' is no size"],
  [['--tmpfs-size', '-1G'], "--tmpfs-size: '-1G' is no size"],
  [['--timeout', 'x'], "--timeout: 'x' is no time"],
  [['--set', '=x'], "--set: '=x' is not KEY=VALUE"],
  [['--set', 'A B=x'], "--set: 'A B=x' is not KEY=VALUE"],
  [['--targets', ',;'], '--targets: names no target'],
  [['-x'], "unknown option '-x'"],
  [['--no-such'], expect.stringMatching(/^unknown option '--no-such'/)],
])('the command line %j is refused with exit code 2', (args, message) => {
  const error = (() => {
    try {
      return parseArguments(args);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toBeInstanceOf(UsageError);
  expect(error).toMatchObject({ message, exitCode: 2 });
});

test.each([
  [['sign', '--gpg', 'realmfs'], { file: 'realmfs', key: undefined, user: '' }],
  [['sign', '--gpg', '--user', 'me@mail.example', 'realmfs'], { file: 'realmfs', key: undefined, user: 'me@mail.example' }],
  [['sign', '--key', 'k', 'x.img'], { file: 'x.img', key: 'k', user: '' }],
  [['verify', 'a', 'b', '--keyring', 'r'], { files: ['a', 'b'], key: undefined, keyring: 'r' }],
  [['verify', '--rebuild'], { config: undefined, directory: 'realmfs', set: {}, tmpfs: true }],
  [['verify', '--rebuild', 'out', '--set', 'A=b', '--no-tmpfs'], { directory: 'out', set: { A: 'b' }, tmpfs: false }],
])('the command line %j of sign or verify is read', (args, expected) => {
  const parsed = parseArguments(args);
  expect(parsed.kind === 'text' ? {} : parsed.options).toMatchObject(expected);
});

test('the help begins with examples, and the version is that of the package', () => {
  const help = parseArguments(['--help']);
  expect(help.kind === 'text' && help.text).toMatch(/^Examples:\n {2}realmfs-builder --new/);
  expect(parseArguments(['--version'])).toEqual({ kind: 'text', text: `${version}\n` });
});

test('--set of one command line does not reach the next', () => {
  options('--set', 'A=1');
  expect(options().set).toEqual({});
});

test('an unknown option has a hint, and nothing was printed', () => {
  const write = vi.spyOn(process.stderr, 'write');
  expect(() => parseArguments(['--nope'])).toThrow(expect.objectContaining({ hint: 'realmfs-builder --help lists the options' }));
  expect(write).not.toHaveBeenCalled();
  write.mockRestore();
});

test('the help names every option and the exit codes', () => {
  const help = parseArguments(['-h']);
  const text = help.kind === 'text' ? help.text : '';
  for (const option of [
    '--new',
    '-d, --directory',
    ' -t ',
    ' -z ',
    ' -i ',
    '--targets',
    '--no-tmpfs',
    '--tmpfs-size',
    '--no-confirm',
    '--no-cache',
    '--keep-rootfs',
    '--set',
    '--timeout',
    '--progress',
    '-q, --quiet',
    '-v, --verbose',
    '--debug',
    '--color',
    '--version',
    '-h, --help',
  ])
    expect(text).toContain(option);
  expect(text).toMatch(/Exit codes: 0 done, 1 a step failed, .*128\+n signal\.\n$/s);
});
