import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type DoctorReport, doctorReportSchema } from '../../src/cli/doctor/report.ts';
import { version } from '../../src/resources.ts';
import { Machine } from '../helpers/machine.ts';

// The real debootstrap is asked for its version.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());
const program = path.resolve(import.meta.dirname, '../..');
let runs = 0;

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs doctor in a mount namespace of its own that a script has prepared, behind a command such as
 * setpriv, and looks that nothing of it is left. The program and Node are bound to where every user may read them.
 */
async function doctor(options: { prepare?: string; behind?: string; env?: Record<string, string>; args?: string[] } = {}): Promise<Run> {
  runs += 1;
  const at = path.join(machine.folder, `run-${runs}`);
  // The folder of the machine is 0700.
  for (const name of ['', 'cwd', 'said', 'home']) mkdirSync(path.join(at, name), { recursive: true });
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: path.join(at, 'home'), ...options.env };
  const script = `
    at=$1 program=$2 node=$3; shift 3
    mount -t tmpfs -o mode=0755 test /media
    cd /media; mkdir program cwd; touch node
    mount --bind "$program" program; mount --bind "$node" node
    chmod 0777 "$at/cwd"; mount --bind "$at/cwd" cwd; cd cwd
    ${options.prepare ?? ''}
    status=0
    env -i ${Object.entries(env)
      .map(([key, value]) => `'${key}=${value}'`)
      .join(
        ' ',
      )} ${options.behind ?? ''} ../node ../program/dist/cli.js doctor "$@" >"$at/said/stdout" 2>"$at/said/stderr" </dev/null || status=$?
    echo "$status"`;
  const before = machine.snapshot();
  const code = Number(
    machine.shell(
      'exec unshare --mount --propagation private bash --norc -euc "$@"',
      script,
      'doctor',
      at,
      program,
      process.execPath,
      ...(options.args ?? []),
    ),
  );
  expect(await machine.settled(before)).toEqual(before);
  expect([readdirSync(path.join(at, 'cwd')), readdirSync(path.join(at, 'home'))]).toEqual([[], []]);
  const said = (name: string): string => readFileSync(path.join(at, 'said', name), 'utf8');
  return { code, stdout: said('stdout'), stderr: said('stderr') };
}

/** The same with --json: the object must be what the schema says. */
async function doctorJson(options: Parameters<typeof doctor>[0] = {}): Promise<Run & { report: DoctorReport }> {
  const run = await doctor({ ...options, args: ['--json', ...(options.args ?? [])] });
  expect(run.stdout.split('\n')).toHaveLength(2);
  return { ...run, report: doctorReportSchema.parse(JSON.parse(run.stdout)) };
}

const nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups';
const tmp = (): string[] => readdirSync('/tmp').filter((name) => /realmfs|null|lower|pts/.test(name) && !name.startsWith('realmfs-unit-'));

test('a machine on which builds run: exit 0, every feature works, the report is whole', async () => {
  const left = tmp();
  const { code, stderr, report } = await doctorJson();
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(report).toMatchObject({ ready: true, problems: [], install: null, version, user: { state: 'ok', uid: 0 } });
  expect(report.kernel.filter(({ state }) => state !== 'ok')).toEqual([]);
  expect(report.kernel.map(({ name }) => name)).toEqual(expect.arrayContaining(['overlay', 'devpts', 'device nodes', 'pivot_root']));
  for (const tool of report.tools.filter(({ required }) => required))
    expect(tool).toMatchObject({ state: 'ok', version: expect.any(String) });
  expect(report.keyring.keys.length).toBeGreaterThan(0);
  expect(report.mirror).toMatchObject({ state: 'ok', asked: expect.stringMatching(/\/dists\/trixie\/InRelease$/) });
  expect(report.suites.known).toEqual(expect.arrayContaining(['bookworm', 'trixie']));
  expect(tmp()).toEqual(left);
});

test('for people: a table', async () => {
  const { code, stdout, stderr } = await doctor({ args: ['-d', 'some/where'] });
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^ {2}ok {2,}wget +\d\S+ +wget +fetches for debootstrap$/m);
  expect(stdout).toMatch(/^ {2}ok {2,}overlay +works$/m);
  expect(stdout).toMatch(/^ {2}ok {2,}output +\S*\/some\/where: .* free \(at .*; it is not there yet\)$/m);
  expect(stdout).toMatch(/\n\nA build can run here\.\n$/);
});

test('without root all but the kernel is looked at', async () => {
  const { code, stderr, report } = await doctorJson({ behind: nobody });
  expect([stderr, code]).toEqual(['', 0]);
  expect(report.user).toMatchObject({ state: 'warn', uid: 65534 });
  expect(new Set(report.kernel.map(({ text }) => text))).toEqual(new Set(['not tried: needs root']));
  expect(report.tools.filter(({ required, state }) => required && state !== 'ok')).toEqual([]);
  expect([report.keyring.state, report.suites.state, report.mirror.state]).toEqual(['ok', 'ok', 'ok']);
});

test('what is missing, and the one command that installs it, with root and without', async () => {
  const prepare =
    'for name in wget mkfs.ext4 e2fsck; do mount --bind /dev/null "$(command -v "$name")"; done; mount -t tmpfs none /usr/share/keyrings';
  for (const behind of ['', nobody]) {
    const { code, stderr, report } = await doctorJson({ prepare, behind });
    expect(code).toBe(3);
    expect(report.install).toBe('apt-get install wget e2fsprogs debian-archive-keyring');
    expect(report.mirror).toMatchObject({ state: 'untried', text: expect.stringMatching(/not tried: needs wget$/) });
    expect(stderr).toBe(
      '  hint:    apt-get install wget e2fsprogs debian-archive-keyring\n' +
        'realmfs-builder: error: doctor: a build cannot run here: missing: wget, mkfs.ext4, e2fsck; ' +
        'keyring: there is no keyring at /usr/share/keyrings/debian-archive-keyring.gpg\n',
    );
  }
});

test('a container that takes capabilities away: the refusals in their own words', async () => {
  const admin = await doctor({ behind: 'setpriv --bounding-set -sys_admin' });
  expect(admin.code).toBe(3);
  expect(admin.stdout).toMatch(/^ {2}failed +mount namespace +refused: unshare: unshare failed: Operation not permitted$/m);
  expect(admin.stderr).toMatch(/^realmfs-builder: error: doctor: a build cannot run here: mount namespace, .*: Operation not permitted\n$/);
  const { code, report } = await doctorJson({ behind: 'setpriv --bounding-set -mknod' });
  expect(code).toBe(3);
  expect(report.problems).toEqual(['device nodes: refused: mknod: /tmp/null: Operation not permitted']);
});

test('settings of the environment are what is looked at; a password is never shown', async () => {
  const env = {
    DEBIAN_MIRROR: 'http://user:secret@127.0.0.1:9/debian',
    DEBIAN_RELEASE: 'trixy',
    REALMFS_CACHE_DIR: '/tmp',
    DEBIAN_KEYRING: '/etc/passwd',
  };
  const { code, stdout, stderr, report } = await doctorJson({ env, args: ['-d', '/etc/passwd'] });
  expect(code).toBe(3);
  expect(stdout + stderr).not.toContain('secret');
  expect(report.problems).toEqual([
    'output folder: /etc/passwd: /etc/passwd is not a folder',
    expect.stringMatching(/^cache folder: \/tmp: .*must belong to root and be writable by root alone$/),
    'suite: debootstrap knows no suite trixy; did you mean trixie?',
    'mirror: http://***@127.0.0.1:9/debian/dists/trixy/InRelease: failed: Connection refused.',
  ]);
  expect(report.keyring).toMatchObject({ state: 'warn', keys: [] });
});

test('a mirror that says nothing is given up after 10 s', async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  try {
    const { code, report } = await doctorJson({ env: { DEBIAN_MIRROR: `http://127.0.0.1:${port}/debian` } });
    expect(code).toBe(3);
    expect(report.problems).toEqual([`mirror: http://127.0.0.1:${port}/debian/dists/trixie/InRelease: no answer within 10 s`]);
  } finally {
    server.close();
  }
});

test('full disks and read-only ones', async () => {
  const prepare = 'mount -t tmpfs -o size=4k full /mnt; echo x >/mnt/file; mount -t tmpfs -o ro none /srv';
  const { code, report } = await doctorJson({ prepare, env: { REALMFS_CACHE_DIR: '/srv/cache' }, args: ['-d', '/mnt/out'] });
  expect(code).toBe(3);
  expect(report.problems).toEqual([
    'output folder: /mnt/out: 0 bytes free (at /mnt; it is not there yet): the file system is full',
    expect.stringMatching(/^cache folder: \/srv\/cache: .* cannot be written: EROFS/),
  ]);
});
