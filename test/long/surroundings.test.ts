import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FailingOptions } from '../helpers/failing-build.ts';
import { buildWell, type GoodBuildArguments, looking } from '../helpers/good-build.ts';
import { bare, Machine } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

/** What people have around them and must not matter: a whole build each. What is refused is in test/root/bad-input. */
const machine = new Machine();
afterAll(() => machine.close());

const goodBuild = (...args: GoodBuildArguments) => buildWell(machine, ...args);

describe('CLI and place', () => {
  const shell = (script: string): string[] => ['bash', '--norc', '-c', `${script}`, 'via'];
  /** Runs the command where the current folder is a file system of its own, read-only. */
  const readOnly = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    ...shell('mount --bind . .; mount -o remount,bind,ro .; cd "$PWD"; exec "$@"'),
  ];
  const plain = looking('', 'echo built >/report');

  const odd: [string, string][] = [
    ['space', 'a b'],
    ['newline', 'a\nb'],
    ['quote', `a'b"c`],
    ['unicode', 'gräßlich-名前'],
    [': and , (options of overlay)', 'a:b,c=d\\e'],
    ['leading dash and a percent sign', '-a%s'],
    ['a glob and a dollar', '*$HOME[x]'],
  ];
  test.each(odd)('project path with %s', async (name, folder) => {
    const { run, report, project } = await goodBuild(`odd-${name.replaceAll(/\W/g, '-')}/${folder}`, plain, { args: ['--keep-rootfs'] });
    expect(report).toBe('built\n');
    expect(run.stdout).toContain(path.join(project, 'realmfs/realmfs-rootfs.tar'));
    const failed = await machine.run(['--no-confirm', '-t', '--set', 'DEBIAN_RELEASE=a/b'], { cwd: project });
    expect(failed.code).toBe(2);
    expect(failed.lastLine).toMatch(/^realmfs-builder: error: config: --set: DEBIAN_RELEASE: 'a\/b' is no suite name; log: /);
  });

  test('symlinked project', async () => {
    const real = machine.project('symlinked-real', { 'build.conf': plain });
    machine.shell('ln -s symlinked-real "$1/symlinked"', machine.folder);
    const run = await machine.run(['--no-confirm', '-t', 'symlinked/build.conf'], { cwd: machine.folder });
    expect(run.code, run.stderr).toBe(0);
    expect(machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report', machine.folder)).toBe('built\n');
    const inside = await machine.run(['--no-confirm', '-t'], { via: shell('cd symlinked; exec "$@"') });
    expect(inside.stdout).toContain(path.join(real, 'realmfs/manifest.json'));
  });

  test('cwd on read-only fs, output elsewhere', async () => {
    const project = machine.project('read-only', { 'build.conf': plain });
    const run = await machine.run(['--no-confirm', '-t', '-d', '../read-only-out'], { cwd: project, via: readOnly });
    expect(run.code, run.stderr).toBe(0);
    expect(machine.shell('tar -xOf "$1-out/realmfs-rootfs.tar" ./report', project)).toBe('built\n');
  });

  test.each(['on a tmpfs', 'on disk, in a tmpfs of the host'])('output on other fs: %s', async (name) => {
    const folder = `other-fs-${name.length}`;
    const project = machine.project(folder, { 'build.conf': plain });
    machine.shell('mkdir "$1/realmfs"; mount -t tmpfs -o size=2g other "$1/realmfs"', project);
    const run = await machine.run(['--no-confirm', '-t', ...(name.startsWith('on disk') ? ['--no-tmpfs'] : [])], { cwd: project });
    expect(run.code, run.stderr).toBe(0);
    expect(machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report; umount "$1/realmfs"; ls -A "$1/realmfs"', project)).toBe(
      'built\n',
    );
  });

  test("sudo with HOME kept: the results are the user's, and nothing is written to HOME", async () => {
    const home = machine.project('home');
    const { project } = await goodBuild('sudo', plain, {
      env: { HOME: home, SUDO_UID: '1234', SUDO_GID: '1235' },
      args: ['-d', 'realmfs'],
    });
    const names = ['SHA256SUMS', 'manifest.json', 'realmfs-build.log', 'realmfs-rootfs.tar', ...records].sort();
    expect(machine.shell('ls -A "$1"; cd "$2/realmfs"; stat --format="%n %u:%g %a" . *', home, project).split('\n').sort()).toEqual(
      ['', '. 1234:1235 755', ...names.map((name) => `${name} 1234:1235 644`)].sort(),
    );
  });

  describe('surroundings change nothing', () => {
    let expected = '';
    const tarball = (project: string): string =>
      machine.shell('cd "$1/realmfs"; stat --format="%n %a" *; sha256sum realmfs-rootfs.tar', project);
    beforeAll(async () => {
      expected = tarball((await goodBuild('same', plain)).project);
      expect(expected).toContain('realmfs-rootfs.tar 644');
    });

    const cases: [string, FailingOptions][] = [
      ['umask 077', { via: shell('umask 077; exec "$@"') }],
      ['umask 000', { via: shell('umask 000; exec "$@"') }],
      ['LANG C', { env: { LANG: 'C', LC_ALL: 'C' } }],
      ['LANG tr_TR', { env: { LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8', LANGUAGE: 'tr' } }],
      ['TMPDIR missing', { env: { TMPDIR: '/nowhere/at/all', TMP: '/nowhere', TEMP: '' } }],
      ['TZ', { env: { TZ: 'Asia/Kathmandu' } }],
      ['PATH of no use', { via: shell('PATH=/nowhere; exec "$@"') }],
      ['HOME missing', { via: ['env', '-u', 'HOME'] }],
      ['stdout closed', { via: shell('exec "$@" >&-') }],
      ['stdin closed', { via: shell('exec "$@" <&-') }],
      ['stdout full', { via: shell('exec "$@" >/dev/full') }],
      ['no tty', { via: ['setsid', '--wait'] }],
      [
        'open descriptors and a job of the caller',
        { via: shell('exec 3>/dev/null 4</etc/passwd 9>/dev/null; sleep 100 & "$@"; s=$?; kill %1; exit $s') },
      ],
      ['container=lxc', { env: { container: 'lxc' } }],
      ['DEBOOTSTRAP_DIR', { env: { DEBOOTSTRAP_DIR: '/nowhere' } }],
      ['APT_CONFIG', { env: { APT_CONFIG: '/nowhere' } }],
      [
        'BASH_ENV',
        { env: { BASH_ENV: '/dev/stdin', ENV: '/nowhere', SHELLOPTS: 'noexec', BASHOPTS: 'failglob', CDPATH: '/', PS4: '$(reboot)' } },
      ],
      ['exported functions', { env: { 'BASH_FUNC_mount%%': '() { echo stolen; }', 'BASH_FUNC_builtin%%': '() { :; }' } }],
      ['GREP_OPTIONS', { env: { GREP_OPTIONS: '--invert-match', GREP_COLORS: 'x' } }],
      ['TAR_OPTIONS', { env: { TAR_OPTIONS: '--exclude=etc', XZ_OPT: '--nonsense', GZIP: '-x' } }],
      ['POSIXLY_CORRECT', { env: { POSIXLY_CORRECT: '1' } }],
      ['NODE_OPTIONS and NODE_PATH', { env: { NODE_OPTIONS: '--max-old-space-size=512', NODE_PATH: '/nowhere' } }],
      [
        'DPKG_ROOT and friends',
        { env: { DPKG_ROOT: '/nowhere', DPKG_ADMINDIR: '/nowhere', DEBIAN_FRONTEND: 'gnome', DEBCONF_DEBUG: 'developer' } },
      ],
      ['LD_LIBRARY_PATH', { env: { LD_LIBRARY_PATH: '/nowhere', PERL5LIB: '/nowhere', PYTHONPATH: '/nowhere' } }],
    ];
    test.each(cases)('%s', async (name, options) => {
      expect(tarball((await goodBuild('same', plain, options)).project), name).toBe(expected);
    });
  });

  test('stdout and stderr closed: the results are there all the same', async () => {
    const project = machine.project('all-closed', { 'build.conf': plain });
    const run = await machine.run(['--no-confirm', '-t'], { cwd: project, via: shell('exec "$@" <&- >&- 2>&-') });
    expect([run.code, run.stdout, run.stderr]).toEqual([0, '', '']);
    expect(machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report', project)).toBe('built\n');
  });

  test('tty 20 columns: no line is wider, the result is there', async () => {
    const project = machine.project('narrow', { 'build.conf': plain });
    const run = await machine.run(['--no-confirm', '-t'], {
      cwd: project,
      env: { TERM: 'xterm' },
      via: shell('printf -v words " %q" "$@"; exec script --quiet --return --command "bash -c \'stty cols 20 rows 5;$words\'" /dev/null'),
    });
    expect(run.code, run.stdout).toBe(0);
    // What a spinner draws over itself: between clearings and line ends. The paths of the results are printed whole.
    const sequence = '\\u001b\\[[0-9;?]*';
    const drawn = (run.stdout.split(project)[0] ?? '')
      .split(new RegExp(`\\r?\\n|\\r|${sequence}[A-Z]`))
      .map((text) => text.replaceAll(new RegExp(`${sequence}[a-z]`, 'g'), ''));
    expect(drawn.some((text) => text.includes('bootst'))).toBe(true);
    expect(drawn.filter((text) => [...text].length > 20 && !/^[✔✖]/.test(text))).toEqual([]);
  });
});

/** The most memory that a process has had, in MiB; 0 if it has ended. */
function peakMemory(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The builder below a launcher, if it is there. */
function builderOf(launcher: number): number | undefined {
  const below = [launcher];
  for (const pid of below) {
    try {
      if (pid !== launcher && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('dist/builder.js')) return pid;
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
      below.push(
        ...children
          .split(' ')
          .filter((word) => word !== '')
          .map(Number),
      );
    } catch {
      // It has ended in the meantime.
    }
  }
  return undefined;
}

describe('flood', () => {
  const strange = `printf '\\e[31m\\e]0;title\\a\\e[2J\\xff\\xfe\\xc3(\\n'; head -c 1M /dev/zero; echo`;

  test('1 GB on stdout, 1 line of 100 MB, NULs, ANSI, invalid UTF-8: memory is bounded, the log capped with a note', async () => {
    const body = `${strange}\nhead -c 100M /dev/zero | tr '\\0' y; echo\nhead -c 1G < <(yes "$(printf 'x%.0s' {1..1000})")`;
    const project = machine.project('flood', {
      'build.conf': looking('PRE_INSTALL_MODULES+=" after"\nafter() { echo after the flood; }\n', body),
    });
    const build = machine.start(['--no-confirm', '-t'], { cwd: project });
    const peak = { launcher: 0, builder: 0 };
    const timer = setInterval(() => {
      peak.launcher = Math.max(peak.launcher, peakMemory(build.pid));
      peak.builder = Math.max(peak.builder, peakMemory(builderOf(build.pid)));
    }, 100);
    const run = await build.ended;
    clearInterval(timer);
    expect(run.code, run.stderr).toBe(0);
    expect(peak.launcher).toBeGreaterThan(20);
    expect(peak.builder).toBeGreaterThan(20);
    expect(peak.launcher).toBeLessThan(200);
    expect(peak.builder).toBeLessThan(200);
    const log = path.join(project, 'realmfs/realmfs-build.log');
    expect(statSync(log).size).toBeLessThan(80 * 1024 ** 2);
    expect(machine.shell(`grep -c . "$1"; grep -a "left out" "$1" | cut -d ' ' -f 2-`, log).split('\n').slice(1)).toEqual([
      expect.stringMatching(/^pre\/look: the log holds the first 64\.0 MiB of the output; \d{7} lines \(1\.0 GiB\) are left out$/),
      '',
    ]);
    // The next step has a whole log again.
    expect(machine.shell(`grep -a "after the flood" "$1" | cut -d ' ' -f 2-`, log)).toBe('pre/after | after the flood\n');
  });
});

test('-z: an xz tarball of the same tree', async () => {
  const project = machine.project('xz', { 'build.conf': bare });
  expect((await machine.run(['--no-confirm', '-t', '-z'], { cwd: project })).code).toBe(0);
  machine.shell('xz --decompress --stdout "$1/realmfs/realmfs-rootfs.tar.xz" | cmp - "$1/realmfs/realmfs-rootfs.tar"', project);
});
