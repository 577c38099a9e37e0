import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { askMirror, judgeKeyring, lookAtKeyring, lookAtSuites } from '../../../src/cli/doctor/archive-findings.ts';
import { features, tryArchitecture, tryFeatures } from '../../../src/cli/doctor/kernel-findings.ts';
import { type DoctorReport, doctorReportSchema } from '../../../src/cli/doctor/report.ts';
import { judgeMemory, lookAtCache, lookAtOutput } from '../../../src/cli/doctor/space-findings.ts';
import { doctorText } from '../../../src/cli/doctor/text.ts';
import { firstVersion, lastWords, lookAtTools } from '../../../src/cli/doctor/tool-findings.ts';
import { doctorCommand, doctorFailure, judgeNode, problemsOf } from '../../../src/cli/doctor-command.ts';
import { parseArguments } from '../../../src/cli/options.ts';
import { SMALLEST_BUILD } from '../../../src/cli/preflight.ts';
import { InterruptedError } from '../../../src/errors.ts';
import { allTools, installCommand, type Tool } from '../../../src/host/tools.ts';
import type { Command } from '../../../src/system/runner.ts';
import { realRunner, recordingRunner } from '../../helpers/runners.ts';
import { makeSigningKey } from '../../helpers/signing.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const all = (): boolean => true;
const without =
  (...names: string[]) =>
  (name: string): boolean =>
    !names.includes(name);

/** Where everything is as it should be. */
const healthy: Omit<DoctorReport, 'ready' | 'problems' | 'install'> = {
  v: 1,
  version: '1.2.3',
  node: { state: 'ok', text: '20.19.0; 20.19 or later is needed', version: '20.19.0', needed: '20.19' },
  user: { state: 'ok', text: 'root', uid: 0 },
  settings: { state: 'ok', text: 'defaults', release: 'trixie', arch: '', keyring: '/k', cache: '/c' },
  tools: [
    {
      name: 'wget',
      package: 'wget',
      purpose: 'fetches',
      required: true,
      path: '/usr/bin/wget',
      version: '1.21',
      state: 'ok',
      text: 'fetches',
    },
    { name: 'arch-test', package: 'arch-test', purpose: 'tells', required: false, path: null, version: null, state: 'missing', text: '' },
  ],
  kernel: [{ name: 'overlay', state: 'ok', text: 'works' }],
  memory: { state: 'ok', text: 'enough', available: 8e9, tmpfs: 6e9, needed: SMALLEST_BUILD },
  folders: [{ name: 'output', path: '/o', existing: '/', free: 9e9, state: 'ok', text: '/o: 8 GiB free' }],
  keyring: {
    file: '/k',
    state: 'ok',
    text: '/k: 1 valid keys, 1 expired or revoked',
    keys: [
      { fingerprint: 'A'.repeat(40), name: 'new', expires: 1_900_000_000, state: 'valid' },
      { fingerprint: 'B'.repeat(40), name: 'old\u001b[31m', expires: 1_500_000_000, state: 'expired' },
    ],
  },
  suites: { release: 'trixie', known: ['trixie'], state: 'ok', text: 'debootstrap knows trixie' },
  mirror: { main: 'http://mirror.example/debian', security: '', asked: null, state: 'ok', text: 'answers' },
};

describe('the table of tools', () => {
  test('every tool has a package and a purpose, and stands there once', () => {
    for (const tool of allTools) expect(`${tool.name} ${tool.package} ${tool.purpose}`).toMatch(/^\S+ [a-z0-9.+-]+ \S/);
    expect(new Set(allTools.map(({ name }) => name)).size).toBe(allTools.length);
    expect(allTools.filter(({ required }) => !required).map((tool) => tool.package)).toEqual([
      'passt',
      'slirp4netns',
      'zstd',
      'gzip',
      'bzip2',
      'lz4',
      'squashfs-tools',
      'squashfs-tools',
      'erofs-utils',
      'erofs-utils',
      'apt-utils',
      'arch-test',
      'qemu-user-static',
      'auto-apt-proxy',
    ]);
  });

  test('what the builder and its scripts start stands in it', () => {
    const names = new Set(allTools.map(({ name }) => name));
    const folders = ['builder', 'config', 'host', 'images', 'sandbox', 'store', 'targets'].map((name) => path.join(root, 'src', name));
    const sources = folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => (name.endsWith('.ts') ? [path.join(folder, name)] : [])),
    );
    const started = sources.flatMap((file) => {
      const text = readFileSync(file, 'utf8');
      return [...text.matchAll(/\bfile: '([a-z][a-z0-9.-]*)', ?(?:\n\s*)?args\b|\bfile: '([a-z][a-z0-9-]*)',$/gm)].map(
        ([, inline, alone]) => inline ?? alone ?? '',
      );
    });
    expect(started).toEqual(expect.arrayContaining(['gpgv', 'tar', 'mkfs.ext4', 'e2fsck', 'setpriv', 'apt-get', 'cp']));
    expect(started.filter((name) => !names.has(name))).toEqual([]);
    const scripts = readdirSync(path.join(root, 'templates/sandbox')).map((name) =>
      readFileSync(path.join(root, 'templates/sandbox', name), 'utf8'),
    );
    const words = 'mount umount mknod ln mkdir touch readlink find env pivot_root ip perl chmod debootstrap dpkg'.split(' ');
    for (const word of words) {
      expect(scripts.some((text) => new RegExp(`(?:^|[\\s($/])${word}\\s`, 'm').test(text))).toBe(true);
      expect(names).toContain(word);
    }
  });

  test('the set-up script installs the packages that are not on every Debian', () => {
    const line = /run\) packages=\(([^)]*)\)/.exec(readFileSync(path.join(root, 'scripts/set-up.sh'), 'utf8'))?.[1]?.split(/\s+/) ?? [];
    const everywhere = ['apt', 'dpkg', 'util-linux', 'tar', 'bash', 'findutils', 'coreutils'];
    const needed = allTools.filter((tool) => tool.required && !everywhere.includes(tool.package)).map((tool) => tool.package);
    expect([...new Set(needed)].filter((name) => !line.includes(name))).toEqual([]);
  });

  test('one command installs all, each package once', () => {
    expect(installCommand(['mount', 'wget', 'mount'])).toBe('apt-get install mount wget');
  });
});

describe('tools', () => {
  const tool = (name: string, more: Partial<Tool> = {}): Tool => ({
    name,
    package: `${name}-package`,
    purpose: 'helps',
    required: true,
    versionArguments: ['--version'],
    ...more,
  });

  test.each([
    ['unshare from util-linux 2.38.1', '2.38.1'],
    ['ip utility, iproute2-6.1.0, libbpf 1.1.2', '6.1.0'],
    ['This is perl 5, version 36, subversion 0 (v5.36.0) built for x86_64', '5.36.0'],
    ['debootstrap 1.0.128+nmu2+deb12u2', '1.0.128+nmu2+deb12u2'],
    ['GNU Wget 1.21.3 built on linux-gnu.', '1.21.3'],
    ['GNU bash, version 5.2.15(1)-release', '5.2.15'],
    ['xz (XZ Utils) 5.4.1.', '5.4.1'],
    ['no number here, not even 5', null],
  ])('%s', (line, version) => {
    expect(firstVersion(['', line, 'later 9.9.9'])).toBe(version ?? '9.9.9');
    expect(firstVersion([line])).toBe(version);
  });

  test('found, missing, broken, and one that dpkg knows', async () => {
    const runner = recordingRunner(({ file, args }) => {
      if (file === '/bin/broken') return { exitCode: 127, tail: ['broken: error while loading shared libraries'] };
      if (file === 'dpkg-query') return { tail: [`${args.at(-1) === 'quiet-package' ? '0.21-1' : ''}`] };
      if (file === '/bin/grumpy') return { exitCode: 1, tail: ['unknown option'] };
      return { tail: ['tool 1.2'] };
    });
    const find = async (name: string): Promise<string | undefined> => (name === 'missing' ? undefined : `/bin/${name}`);
    const rows = ['good', 'missing', 'broken', 'grumpy'].map((name) => tool(name));
    const found = await lookAtTools([...rows, tool('quiet', { versionArguments: [] })], runner, find);
    expect(found.map(({ name, state, version, text }) => [name, state, version, text])).toEqual([
      ['good', 'ok', '1.2', 'helps'],
      ['missing', 'missing', null, 'missing: package missing-package'],
      ['broken', 'failed', null, 'is there, but broken: error while loading shared libraries'],
      ['grumpy', 'ok', null, 'helps'],
      ['quiet', 'ok', '0.21-1', 'helps'],
    ]);
  });

  test("the error's own words: the last line, without mount's advice and without a password", () => {
    const command: Command = { label: 'mount', file: 'mount', args: [], timeout: 10_000 };
    const end = { exitCode: 32, signal: undefined, timedOut: false, tail: [] as string[] };
    const tail = [
      'first',
      'mount: /tmp: permission denied.',
      '       dmesg(1) may have more information after failed mount system call.',
      '',
    ];
    expect(lastWords(command, { ...end, tail })).toBe('mount: /tmp: permission denied.');
    expect(lastWords(command, { ...end, tail: ['no http://me:secret@mirror.example/x'] })).toBe('no http://***@mirror.example/x');
    expect(lastWords(command, end)).toBe('failed with exit code 32');
    expect(lastWords(command, { ...end, tail, timedOut: true })).toBe('did not end within 10 s');
  });
});

describe('kernel', () => {
  test('each feature is tried in a namespace of its own, and refusals are quoted', async () => {
    const runner = recordingRunner((command) =>
      command.label === 'overlay' ? { exitCode: 32, tail: ['mount: /tmp/all: unknown filesystem type.'] } : {},
    );
    const found = await tryFeatures(true, all, runner);
    expect(found.filter(({ state }) => state !== 'ok')).toEqual([
      { name: 'overlay', state: 'failed', text: 'refused: mount: /tmp/all: unknown filesystem type.' },
    ]);
    expect(runner.commands).toHaveLength(features.length);
    for (const { label, file, args } of runner.commands) {
      // What mounts has a mount namespace, and nothing of it comes back to the host.
      expect([label, file]).toEqual([label, label === 'fewer capabilities' ? 'setpriv' : 'unshare']);
      if (args.some((word) => /mount -t|mount --rbind|^mount$/.test(word))) {
        expect(args).toContain('--mount');
        expect(args[args.indexOf('--propagation') + 1]).toBe('private');
      }
    }
  });

  test('without root, or without the program, nothing is tried', async () => {
    const runner = recordingRunner();
    for (const { state, text } of await tryFeatures(false, all, runner))
      expect([state, text]).toEqual(['untried', 'not tried: needs root']);
    expect(runner.commands).toEqual([]);
    const found = await tryFeatures(true, without('mknod', 'setpriv'), runner);
    expect(found.filter(({ state }) => state === 'untried')).toEqual([
      { name: 'device nodes', state: 'untried', text: 'not tried: needs mknod' },
      { name: 'fewer capabilities', state: 'untried', text: 'not tried: needs setpriv' },
    ]);
  });

  test('a foreign architecture is asked of arch-test', async () => {
    const answers = (exitCode: number) =>
      recordingRunner(({ file }) => (file === 'dpkg' ? { tail: ['amd64'] } : { exitCode, tail: ['arm64: not supported'] }));
    expect(await tryArchitecture('', all, answers(0))).toBeUndefined();
    expect(await tryArchitecture('amd64', all, answers(0))).toBeUndefined();
    expect(await tryArchitecture('arm64', all, answers(0))).toMatchObject({ name: 'programs for arm64', state: 'ok' });
    expect(await tryArchitecture('arm64', all, answers(1))).toMatchObject({
      state: 'failed',
      text: expect.stringContaining('arm64: not supported'),
    });
    expect(await tryArchitecture('arm64', without('arch-test'), answers(0))).toMatchObject({
      state: 'untried',
      text: 'not tried: needs arch-test',
    });
  });
});

describe('room', () => {
  test('memory: the default tmpfs fits, or the disk does, or nothing', () => {
    const enough = SMALLEST_BUILD / 0.8;
    expect(judgeMemory(enough, false)).toMatchObject({ state: 'ok', available: enough, tmpfs: Math.floor(enough * 0.8) });
    expect(judgeMemory(1024 ** 3, true)).toMatchObject({ state: 'warn', text: expect.stringContaining('build with --no-tmpfs') });
    expect(judgeMemory(1024 ** 3, false)).toMatchObject({ state: 'failed', text: expect.stringContaining('1.0 GiB free') });
    expect(judgeMemory(Number.POSITIVE_INFINITY, false)).toMatchObject({ state: 'ok', available: null, tmpfs: null });
  });

  test('a folder that is not there yet is judged by the nearest one above it', async () => {
    const folder = tempRoot();
    const found = await lookAtOutput(path.join(folder, 'a/b'), true, true);
    expect(found).toMatchObject({ existing: folder, state: expect.stringMatching(/^(ok|warn)$/) });
    expect(found.text).toContain(`(at ${folder}; it is not there yet)`);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a file in the way', async () => {
    const folder = tempRoot({ file: 'x' });
    const file = path.join(folder, 'file');
    expect(await lookAtOutput(file, true, true)).toMatchObject({ state: 'failed', text: `${file}: ${file} is not a folder` });
    expect(await lookAtOutput(path.join(file, 'below'), true, true)).toMatchObject({ state: 'failed' });
  });

  test('a full file system', async () => {
    // No file can be stored in /proc: it has no free block.
    expect(await lookAtOutput('/proc', false, true)).toMatchObject({
      free: 0,
      state: 'failed',
      text: '/proc: 0 bytes free: the file system is full',
    });
  });

  test('the cache must be writable by root alone', async () => {
    const folder = tempRoot();
    chmodSync(folder, 0o777);
    expect(await lookAtCache(folder, true)).toMatchObject({
      state: 'failed',
      text: expect.stringContaining('must belong to root and be writable by root alone'),
    });
    // What is not there yet is made as it must be.
    expect((await lookAtCache(path.join(folder, 'cache'), true)).state).not.toBe('failed');
  });
});

describe('archive', () => {
  const now = Date.now() / 1000;
  const good = makeSigningKey('good').keyring;
  const expired = makeSigningKey('old', { expired: true }).keyring;

  test.each<[string, Buffer, string, string]>([
    ['good', good, 'ok', '/k: 1 valid keys'],
    ['mixed', Buffer.concat([good, expired]), 'ok', '/k: 1 valid keys, 1 expired or revoked'],
    ['expired', expired, 'failed', '/k: none of its 1 keys is valid'],
    ['empty', Buffer.alloc(0), 'failed', '/k is empty'],
    ['text', Buffer.from('x'), 'warn', '/k is there; its keys cannot be listed'],
    [
      'armoured',
      Buffer.from('-----BEGIN PGP PUBLIC KEY BLOCK-----\n'),
      'warn',
      '/k is armoured, and gpgv reads binary keyrings: gpg --dearmor makes one',
    ],
  ])('keyring: %s', (_name, bytes, state, text) => {
    expect(judgeKeyring('/k', bytes, now)).toMatchObject({ state, text });
  });

  test('keyring: missing', async () => {
    expect(await lookAtKeyring('/nowhere/k', now)).toEqual({
      file: '/nowhere/k',
      keys: [],
      state: 'missing',
      text: 'there is no keyring at /nowhere/k',
    });
  });

  test('keyring: the end of each key is told', () => {
    expect(judgeKeyring('/k', expired, now).keys).toEqual([
      {
        fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
        name: 'old <old@key.example>',
        expires: 1_500_000_000 + 86_400,
        state: 'expired',
      },
    ]);
  });

  test('suites', async () => {
    const list = async (): Promise<string[]> => ['trixie', 'bookworm'];
    expect(await lookAtSuites('trixie', list)).toMatchObject({ state: 'ok', known: ['bookworm', 'trixie'] });
    expect(await lookAtSuites('trixy', list)).toMatchObject({
      state: 'failed',
      text: 'debootstrap knows no suite trixy; did you mean trixie?',
    });
    const none = (): Promise<string[]> => Promise.reject(Object.assign(new Error('gone'), { code: 'ENOENT' }));
    expect(await lookAtSuites('trixie', none)).toMatchObject({ state: 'untried', text: 'not tried: needs debootstrap' });
  });

  const hosts = 'http://me:secret@mirror.example/debian/|trixie|Debian|Debian\n';
  const ask = (options: {
    main?: string;
    stdout?: string;
    exitCode?: number;
    tail?: string[];
    aptExit?: number;
    lacks?: string;
    proxy?: Record<string, string>;
  }) => {
    const runner = recordingRunner(({ file }) =>
      file === 'apt-get'
        ? { stdout: options.stdout ?? hosts, exitCode: options.aptExit ?? 0, tail: ['E: Malformed line 1'] }
        : { exitCode: options.exitCode ?? 0, tail: options.tail ?? [] },
    );
    const wanted = { main: options.main ?? '', security: '' };
    const question = { wanted, release: 'trixie', proxy: options.proxy ?? {}, isThere: without(options.lacks ?? '') };
    return askMirror(question, runner).then((mirror) => ({ mirror, commands: runner.commands }));
  };

  test('mirror: that of the host is asked for the suite, and its password is not shown', async () => {
    const { mirror, commands } = await ask({ proxy: { http_proxy: 'http://proxy.example:3128' } });
    expect(mirror).toEqual({
      main: 'http://***@mirror.example/debian',
      security: 'http://***@mirror.example/debian-security',
      asked: 'http://***@mirror.example/debian/dists/trixie/InRelease',
      state: 'ok',
      text: 'http://***@mirror.example/debian answers',
    });
    expect(commands[1]).toMatchObject({
      file: 'wget',
      timeout: 10_000,
      env: { HOME: '/nonexistent', http_proxy: 'http://proxy.example:3128' },
    });
    expect(commands[1]?.args).toEqual(expect.arrayContaining(['--spider', '--no-hsts']));
    // Arguments are seen by everybody.
    expect(commands[1]?.args.join(' ')).not.toContain('secret');
    expect(String(commands[1]?.input)).toBe('http://me:secret@mirror.example/debian/dists/trixie/InRelease\n');
  });

  test.each<[string, Parameters<typeof ask>[0], string, string]>([
    [
      'refuses',
      { exitCode: 4, tail: ['failed: Connection refused.'] },
      'failed',
      'http://***@mirror.example/debian/dists/trixie/InRelease: failed: Connection refused.',
    ],
    [
      'is not named',
      { stdout: '' },
      'warn',
      "the host's apt names no Debian repository: debootstrap's own default is used, and was not asked",
    ],
    ['apt fails', { aptExit: 1 }, 'failed', 'the apt sources of the host cannot be read: E: Malformed line 1'],
    ['no apt-get', { lacks: 'apt-get' }, 'untried', 'not tried: needs apt-get'],
    ['no wget', { lacks: 'wget', main: 'http://a:b@other.example/x' }, 'untried', 'http://***@other.example/x: not tried: needs wget'],
  ])('mirror: %s', async (_name, options, state, text) => {
    const { mirror } = await ask(options);
    expect(mirror).toMatchObject({ state, text });
    expect(JSON.stringify(mirror)).not.toMatch(/secret|a:b@/);
  });
});

describe('the report', () => {
  const report = (changes: Partial<DoctorReport> = {}): DoctorReport => {
    const found = { ...healthy, ...changes };
    const problems = problemsOf(found);
    return { ...found, ready: problems.length === 0, problems, install: changes.install ?? null };
  };

  test('a healthy machine: the table and the verdict', () => {
    expect(doctorReportSchema.parse(report())).toEqual(report());
    expect(doctorFailure(report())).toBeUndefined();
    expect(doctorText(report())).toBe(`realmfs-builder 1.2.3

program
  ok  node      20.19.0; 20.19 or later is needed
  ok  user      root
  ok  settings  defaults

tools
  ok  wget       1.21  wget       fetches
  -   arch-test        arch-test  tells (optional)

kernel
  ok  overlay  works

room
  ok  memory  enough
  ok  output  /o: 8 GiB free

archive
  ok    keyring  /k: 1 valid keys, 1 expired or revoked
  ok             AAAAAAAAAAAAAAAA  valid until 2030-03-17  new
  warn           BBBBBBBBBBBBBBBB  expired 2017-07-14  old
  ok    suite    debootstrap knows trixie
  ok    mirror   answers

A build can run here.
`);
  });

  test('what stands against a build is in the verdict and in the last line, once', () => {
    const refused = (name: string): DoctorReport['kernel'][number] => ({ name, state: 'failed', text: 'refused: no' });
    const bad = report({
      tools: healthy.tools.map((tool) => ({ ...tool, state: 'missing' as const, text: 'missing' })),
      kernel: [refused('overlay'), { name: 'proc', state: 'ok', text: 'works' }, refused('tmpfs')],
      mirror: { ...healthy.mirror, state: 'failed', text: 'no answer' },
      keyring: { ...healthy.keyring, state: 'missing', text: 'there is no keyring' },
      install: 'apt-get install wget',
    });
    expect(bad.problems).toEqual(['missing: wget', 'overlay, tmpfs: refused: no', 'keyring: there is no keyring', 'mirror: no answer']);
    expect(doctorFailure(bad)).toMatchObject({
      exitCode: 3,
      step: 'doctor',
      message: 'a build cannot run here: missing: wget; overlay, tmpfs: refused: no; keyring: there is no keyring; mirror: no answer',
      hint: 'apt-get install wget',
    });
    expect(doctorText(bad)).toMatch(
      /\nA build cannot run here:\n {2}missing: wget\n[\s\S]*\ninstall what is missing: apt-get install wget\n$/,
    );
  });

  test('warnings, what was not tried and what is optional stand against nothing', () => {
    const weak = report({
      user: { state: 'warn', text: 'user 7: a build needs root', uid: 7 },
      kernel: [{ name: 'overlay', state: 'untried', text: 'not tried: needs root' }],
      memory: { ...healthy.memory, state: 'warn' },
    });
    expect(weak.ready).toBe(true);
    expect(doctorText(weak)).toContain('A build can run here, as far as can be seen without root.');
  });

  test.each([
    ['20.19.0', 'ok'],
    ['20.18.9', 'failed'],
    ['19.99.0', 'failed'],
    ['21.0.0', 'ok'],
  ])('Node %s: %s', (found, state) => {
    expect(judgeNode(found)).toMatchObject({ state, version: found, needed: '20.19' });
  });
});

describe('the command', () => {
  const around = (cwd: string, env: Record<string, string> = {}) => ({ cwd, env, owner: undefined, signal: new AbortController().signal });
  const options = { json: false, directory: 'out' };
  const runner = () => recordingRunner(({ file }) => (file === 'dpkg' ? { tail: ['amd64'] } : { tail: ['tool 1.0'] }));

  test('settings come from the environment before realmfs.env, and wrong ones are told', async () => {
    const cwd = tempRoot({ 'realmfs.env': 'DEBIAN_RELEASE=bookworm\nDEBIAN_MIRROR=http://mirror.example/file\n' });
    const env = { DEBIAN_MIRROR: 'http://mirror.example/debian', REALMFS_CACHE_DIR: 'relative' };
    const report = await doctorCommand(options, around(cwd, env), runner());
    expect(report.settings).toMatchObject({
      state: 'failed',
      text: "REALMFS_CACHE_DIR: 'relative' is no absolute path",
      release: 'bookworm',
      cache: '/var/cache/realmfs-builder',
    });
    expect(report.mirror.asked).toBe('http://mirror.example/debian/dists/bookworm/InRelease');
    expect(report.folders[0]?.path).toBe(path.join(cwd, 'out'));
    expect(report.problems).toContain("settings: REALMFS_CACHE_DIR: 'relative' is no absolute path");
    expect(doctorReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(readdirSync(cwd)).toEqual(['realmfs.env']);
  });

  test('a realmfs.env that cannot be taken is a finding, not the end', async () => {
    const cwd = tempRoot({ 'realmfs.env': 'DEBIAN_RELASE=x\n' });
    const report = await doctorCommand(options, around(cwd), runner());
    expect(report.settings.text).toBe('realmfs.env: DEBIAN_RELASE: unknown setting; did you mean DEBIAN_RELEASE?');
    expect(report.ready).toBe(false);
  });

  test('a missing keyring is in the one command only where a package has it', async () => {
    const cwd = tempRoot();
    const report = await doctorCommand(options, around(cwd, { DEBIAN_KEYRING: path.join(cwd, 'none') }), runner());
    expect(report.keyring.state).toBe('missing');
    expect(report.install ?? '').not.toContain('debian-archive-keyring');
  });

  test('a foreign architecture makes arch-test a needed tool', async () => {
    const arch = process.arch === 'arm64' ? 'riscv64' : 'arm64';
    const report = await doctorCommand(options, around(tempRoot(), { DEBIAN_ARCH: arch }), runner());
    expect(report.tools.find(({ name }) => name === 'arch-test')?.required).toBe(true);
    expect(report.kernel.map(({ name }) => name)).toContain(`programs for ${arch}`);
  });

  test('a signal ends it', async () => {
    const stopped = new AbortController();
    stopped.abort(new InterruptedError('interrupted by SIGINT', 130));
    const run = doctorCommand(options, { ...around(tempRoot()), signal: stopped.signal }, realRunner(stopped.signal));
    await expect(run).rejects.toMatchObject({ exitCode: 130 });
  });
});

describe('the command line', () => {
  test.each<[string[], object]>([
    [['doctor'], { json: false, directory: 'realmfs' }],
    [['doctor', '--json', '-d', 'out'], { json: true, directory: 'out' }],
    [['doctor', '--directory=/srv'], { json: false, directory: '/srv' }],
  ])('%j', (args, options) => {
    expect(parseArguments(args)).toEqual({ kind: 'doctor', options });
  });

  test.each<[string[], string]>([
    [['doctor', 'build.conf'], 'too many arguments. Expected 0 arguments but got 1.'],
    [['doctor', '--jsn'], "unknown option '--jsn'\n(Did you mean --json?)"],
    [['doctor', '-d', ''], '--directory: names no folder'],
  ])('%j is refused', (args, message) => {
    expect(() => parseArguments(args)).toThrow(message);
  });

  test('help, and a file of that name', () => {
    const help = parseArguments(['doctor', '--help']);
    expect(help.kind === 'text' && help.text).toMatch(/^Usage: realmfs-builder doctor \[options\]/);
    expect(parseArguments(['./doctor'])).toMatchObject({ kind: 'options', options: { config: './doctor' } });
  });
});
