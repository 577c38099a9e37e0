import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PlanReport, planSchema } from '../../src/messages/plan.ts';
import { sleep } from '../helpers/kills.ts';
import { asUser, bare, Machine, type Run, type RunOptions, type Snapshot } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());
beforeAll(() => machine.shareProgram());

const USER = 1000;
/** A cache folder that nobody makes. */
const cache = path.join(machine.folder, 'no-cache');

/** Root, a user whose project lies in a home folder of mode 0700, and nobody, who may only read the project. */
const callers = [
  { who: 'root', uid: undefined },
  { who: 'a user', uid: USER },
  { who: 'nobody', uid: 65534 },
];

interface Caller {
  readonly who: string;
  readonly uid: number | undefined;
}

let count = 0;

/** Makes a project as this caller would have it. */
function projectOf({ uid }: Caller, files: Readonly<Record<string, string>>): { project: string; home: string } {
  count += 1;
  const home = path.join(machine.folder, `home${count}`);
  const project = machine.project(`home${count}/project`, files);
  if (uid === USER) machine.shell(`chown -R ${USER}:${USER} "$1"; chmod 0700 "$1"`, home);
  return { project, home };
}

/** What a plan must leave as it was, beside the machine: the project, the places for scratch files. */
function state(project: string): { snapshot: Snapshot; files: string[]; places: string[] } {
  return {
    snapshot: machine.snapshot(),
    files: readdirSync(project, { recursive: true, encoding: 'utf8' }).sort(),
    places: [...readdirSync(machine.folder), ...readdirSync('/run').filter((name) => name.includes('realmfs'))].sort(),
  };
}

/** Plans, and checks that nothing is left. */
async function plan(
  caller: Caller,
  where: { project: string; home: string },
  args: readonly string[],
  options: RunOptions = {},
): Promise<Run> {
  const before = state(where.project);
  const run = await machine.run(['plan', ...args], {
    cwd: where.project,
    ...(caller.uid === undefined ? {} : { uid: caller.uid }),
    env: { HOME: where.home, REALMFS_CACHE_DIR: cache, ...options.env },
  });
  await machine.settled(before.snapshot);
  expect(state(where.project)).toEqual(before);
  expect(existsSync(path.join(where.project, 'realmfs'))).toBe(false);
  expect(existsSync(cache)).toBe(false);
  return run;
}

function parse(run: Run): PlanReport {
  expect(run.code, run.stderr).toBe(0);
  expect(run.stdout.trimEnd().split('\n')).toHaveLength(1);
  return planSchema.strict().parse(JSON.parse(run.stdout));
}

const overridden = {
  'build.conf': `DEBIAN_RELEASE=bookworm
PACKAGES=(nginx curl)
PACKAGES+=(tmux)
: "\${REALMFS_HOSTNAME:=web}"
: "\${REALMFS_NAME:=site}"
REALMFS_PROFILE=minimal
BASE_POST_INSTALL_MODULES+=" set-hostname"
POST_INSTALL_MODULES='site mine'
DEBIAN_SECURITY_MIRROR=http://me:secret@mirror.example/debian-security
MINE=1
site() { :; }
set-hostname() { :; }
`,
  'realmfs.env': 'IMAGE_FREE_SPACE=1G\nNETWORK=off\n',
  'realmfs-modules/set-hostname': 'true\n',
  'realmfs-modules/create-user': 'true\n',
  'realmfs-modules/mine': 'true\n',
  'realmfs-files/large': 'data',
};

describe.each(callers)('as $who', (caller) => {
  test('every value with its origin, every step with what it is run in place of', async () => {
    const where = projectOf(caller, overridden);
    const args = [
      '--json',
      '--set',
      'MINE=2',
      '--set',
      'DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg',
      '-tz',
      '-d',
      'out/deep',
    ];
    const env = { REALMFS_HOSTNAME: 'env', NETWORK: 'on', REALMFS_USER_PASSWORD: 'hush-hush' };
    const run = await plan(caller, where, args, { env });
    const report = parse(run);
    expect(run.stderr).toBe('');
    expect(run.stdout).not.toMatch(/hush-hush|secret/);
    expect(report).toMatchObject({
      version: 1,
      config: path.join(where.project, 'build.conf'),
      output: path.join(where.project, 'out/deep'),
      warnings: [],
      targets: [
        { name: 'tarball', file: 'realmfs-rootfs.tar' },
        { name: 'tarball-xz', file: 'realmfs-rootfs.tar.xz' },
      ],
    });
    const settings = new Map(report.settings.map((row) => [row.key, row]));
    const expected: [key: string, from: string, value: string | string[]][] = [
      ['PACKAGES', 'build.conf:3', ['nginx', 'curl', 'tmux']],
      ['PRE_INSTALL_MODULES', 'default', []],
      ['POST_INSTALL_MODULES', 'build.conf:8', ['site', 'mine']],
      ['BASE_POST_INSTALL_MODULES', 'build.conf:7', ['loginctl-enable-linger', 'configure-systemd', 'set-hostname']],
      ['BASE_PACKAGES', 'default', ['iproute2', 'less', 'xz-utils', 'sudo', 'dbus', 'libpam-systemd', 'openssh-client', 'bash-completion']],
      ['DEBIAN_RELEASE', 'build.conf:1', 'bookworm'],
      ['DEBIAN_SECURITY_MIRROR', 'build.conf:9', 'http://***@mirror.example/debian-security'],
      ['DEBIAN_KEYRING', 'option', '/usr/share/keyrings/debian-archive-keyring.gpg'],
      ['DEBIAN_ARCH', "the host's dpkg", machine.shell('dpkg --print-architecture').trim()],
      ['IMAGE_TARGETS', 'option', ['tarball', 'tarball-xz']],
      ['IMAGE_FREE_SPACE', 'realmfs.env', '1G'],
      ['REALMFS_HOSTNAME', 'environment', 'env'],
      ['REALMFS_NAME', 'build.conf:5', 'site'],
      ['REALMFS_USER_PASSWORD', 'environment', '(hidden)'],
      ['NETWORK', 'environment', 'on'],
      ['SOURCE_DATE_EPOCH', "the suite's Release file", ''],
      ['REALMFS_CACHE_DIR', 'environment', cache],
      ['MINE', 'option', '2'],
    ];
    expect(expected.map(([key]) => [key, settings.get(key)?.from, settings.get(key)?.value])).toEqual(expected);
    expect(settings.get('DEBIAN_MIRROR')).toMatchObject({
      origin: 'host',
      from: "the host's apt",
      value: expect.stringMatching(/^https?:/),
    });
    expect(report.packages).toEqual([...[settings.get('BASE_PACKAGES')?.value ?? []].flat(), 'nginx', 'curl', 'tmux']);
    expect(report.steps.map(({ step, from, overrides }) => [step, from, ...overrides])).toEqual([
      ['config', 'build.conf'],
      ['bootstrap', 'builder'],
      ['pre/utility-library', 'built-in'],
      ['pre/configure-locale', 'built-in'],
      ['pre/create-user', 'realmfs-modules/create-user', 'built-in'],
      ['pre/set-hostname', 'function, build.conf:12', 'realmfs-modules/set-hostname', 'built-in'],
      ['pre/no-install-recommends', 'built-in'],
      ['pre/write-apt-sources', 'built-in'],
      ['packages', 'built-in'],
      ['post/loginctl-enable-linger', 'built-in'],
      ['post/configure-systemd', 'built-in'],
      ['post/set-hostname', 'function, build.conf:12', 'realmfs-modules/set-hostname', 'built-in'],
      ['post/site', 'function, build.conf:11'],
      ['post/mine', 'realmfs-modules/mine'],
      ['finalize', 'builder'],
      ['target/tarball', 'realmfs-rootfs.tar'],
      ['target/tarball-xz', 'realmfs-rootfs.tar.xz'],
      ['manifest', 'builder'],
    ]);
  });

  test('build.conf finds the programs of the host, and no other file of it: a step would not find it either', async () => {
    const outside = path.join(machine.folder, 'site.conf');
    writeFileSync(outside, 'REALMFS_HOSTNAME=linked\n');
    const looked = [outside, '/etc/hostname', '/etc/debian_version', '/var/lib/dpkg/status', '/home', '/root', '/srv'];
    const guarded = `${bare}[[ ! -f ${outside} ]] || source ${outside}
REALMFS_NAME=$(awk 'BEGIN { print "by-awk" }'; ls -d ${looked.join(' ')} 2>/dev/null)
`;
    const report = parse(await plan(caller, projectOf(caller, { 'build.conf': guarded }), ['--json']));
    const values = Object.fromEntries(report.settings.map(({ key, value }) => [key, value]));
    expect(values).toMatchObject({ REALMFS_NAME: 'by-awk' });
    expect(values.REALMFS_HOSTNAME).not.toBe('linked');
    const run = await plan(caller, projectOf(caller, { 'build.conf': `${bare}source ${outside}\n` }), []);
    expect(run.lastLine).toContain(`build.conf:5: source: ${outside} lies outside the project folder`);
    expect(run.code).toBe(2);
  });

  test('the tables for people, with a password in an option and --debug', async () => {
    const where = projectOf(caller, overridden);
    const run = await plan(caller, where, ['--debug', '--set', 'REALMFS_USER_PASSWORD=hush-hush']);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain('evaluate.sh');
    expect(run.stdout + run.stderr).not.toMatch(/hush-hush|secret/);
    expect(run.stdout).toContain('\nSETTING                    FROM                      VALUE\n');
    expect(run.stdout).toContain('\nREALMFS_USER_PASSWORD      option                    (hidden)\n');
    expect(run.stdout).toMatch(/^ 6 {2}pre\/set-hostname +function, build\.conf:12 +realmfs-modules\/set-hostname, built-in$/m);
  });

  test('all problems at once, as a build says them', async () => {
    const conf = `${bare}DEBIAN_RELEASE=a/b\nPRE_INSTALL_MODULES="crate-user broken"\nIMAGE_TARGETS=ext3\n`;
    const where = projectOf(caller, { 'build.conf': conf, 'realmfs-modules/broken': 'if\n' });
    const run = await plan(caller, where, ['--json', '--set', 'NETWORK=maybe']);
    expect([run.code, run.stdout]).toEqual([2, '']);
    expect(run.stderr).toContain("--set: NETWORK: 'maybe' is none of on, off\n");
    const build = await machine.run(['--no-confirm', '-q', '--set', 'NETWORK=maybe'], { cwd: where.project });
    expect(build.code, build.stderr).toBe(2);
    expect(run.stderr).toBe(build.stderr.replace(/; log: .*/, ''));
    expect(run.stderr.trimEnd().split('\n').length).toBeGreaterThan(5);
  });

  test.each([
    ['if true\n', /^realmfs-builder: error: config: build\.conf:2: syntax error/],
    ['exit 0\n', /^realmfs-builder: error: config: build\.conf: ended with exit code 0 before its last line/],
    ['(kill -9 -1)\n', /^realmfs-builder: error: config: build\.conf: ended with /],
  ])('%j', async (conf, message) => {
    const run = await plan(caller, projectOf(caller, { 'build.conf': conf }), []);
    expect(run.lastLine).toMatch(message);
    expect([run.code, run.stdout]).toEqual([2, '']);
  });

  test('the built-in base image, from a folder below /tmp', async () => {
    const folder = machine.shell('mktemp -d /tmp/realmfs-plan-XXXXXX').trim();
    try {
      chmodSync(folder, 0o755);
      const report = parse(await plan(caller, { project: folder, home: folder }, ['--json']));
      expect(report).toMatchObject({ config: null, output: path.join(folder, 'realmfs') });
      writeFileSync(path.join(folder, 'other.conf'), 'REALMFS_NAME=below\n');
      const other = parse(await plan(caller, { project: folder, home: folder }, ['--json', 'other.conf']));
      expect(other.settings.find(({ key }) => key === 'REALMFS_NAME')).toMatchObject({ from: 'other.conf:1', value: 'below' });
    } finally {
      machine.shell('rm -f "$1/other.conf"; rmdir "$1"', folder);
    }
  });

  test('a hostile build.conf writes nothing, reaches nobody and has no rights', async () => {
    const reached: string[] = [];
    const server = createServer((socket) => {
      reached.push('reached');
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    try {
      const { project, home } = projectOf(caller, { 'build.conf': '' });
      const tries = ['$REALMFS_PROJECT', project, home, '/run/realmfs/source', '/run/realmfs/program', '/var/tmp', '/tmp', '/dev', '/etc']
        .map((folder) => `touch "${folder}/written"; echo x >"${folder}/written"; mkdir "${folder}/made"; rm -f "${folder}/build.conf"`)
        .join('\n');
      const conf = `set +e
exec 2>/dev/null
attack() {
${tries}
chmod 0777 ${home} ${project}; echo x >>${project}/build.conf
echo x >/dev/tcp/127.0.0.1/${port}
umount -l /dev/realmfs/project /dev/realmfs /run /tmp /; mount -o remount,rw /; mount --bind /run/realmfs/source /media
}
attack
unshare --user --keep-caps --mount --pid --fork bash -c "$(declare -f attack); attack"
kill -9 1
look() { grep "^$1" /proc/self/status | cut -f 2; }
PACKAGES="eff=$(look CapEff) prm=$(look CapPrm) bnd=$(look CapBnd) new=$(look NoNewPrivs) net=$(tail -n +3 /proc/net/dev | wc -l) pids=$(ls -d /proc/[0-9]* | wc -l)"
PACKAGES+=" inner=$(unshare --user --keep-caps --mount bash -c 'umount ${home}; umount -l ${home}; ls -A ${home} | wc -l')"
PACKAGES+=" home=$(ls -A ${home} | wc -l) source=$(ls -A /run/realmfs/source | wc -l)"
`;
      writeFileSync(path.join(project, 'build.conf'), conf);
      const homeMode = machine.shell('stat -c "%a %u" "$1" "$2"; ls -A "$1"', home, project);
      const report = parse(await plan(caller, { project, home }, ['--json']));
      const said = Object.fromEntries(
        [report.settings.find(({ key }) => key === 'PACKAGES')?.value ?? []].flat().map((word) => word.split('=')),
      );
      expect(said).toMatchObject({ eff: '0'.repeat(16), prm: '0'.repeat(16), bnd: '0'.repeat(16), new: '1', net: '1', source: '0' });
      expect(Number(said.pids)).toBeLessThan(10);
      // No user namespace is made, in which what hides the folder could be taken away.
      expect(said.inner).toBe('');
      if (caller.uid === USER) expect(said.home).toBe('0');
      expect(readFileSync(path.join(project, 'build.conf'), 'utf8')).toBe(conf);
      expect(machine.shell('stat -c "%a %u" "$1" "$2"; ls -A "$1"', home, project)).toBe(homeMode);
      for (const folder of ['/var/tmp', '/tmp', '/etc', '/dev'])
        expect(readdirSync(folder).filter((name) => /^(written|made)$/.test(name))).toEqual([]);
      expect(reached).toEqual([]);
    } finally {
      server.close();
    }
  });

  test('an endless loop has ten seconds', async () => {
    const start = Date.now();
    const run = await plan(caller, projectOf(caller, { 'build.conf': 'while :; do :; done\n' }), []);
    expect(run.lastLine).toBe('realmfs-builder: error: config: build.conf: did not end within 10 s');
    expect(run.code).toBe(2);
    expect(Date.now() - start).toBeLessThan(20_000);
  });

  test.each(['SIGINT', 'SIGKILL'] as const)('%s in the middle leaves nothing', async (signal) => {
    const { project, home } = projectOf(caller, { 'build.conf': 'while :; do :; done\n' });
    const before = state(project);
    const running = machine.start(['plan', '--debug'], {
      cwd: project,
      ...(caller.uid === undefined ? {} : { uid: caller.uid }),
      env: { HOME: home },
    });
    await running.step('config');
    await sleep(300);
    running.kill(signal);
    const run = await running.ended;
    if (signal === 'SIGINT') {
      expect(run.lastLine).toBe('realmfs-builder: error: config: interrupted by SIGINT');
      expect(run.code).toBe(130);
    }
    await machine.settled(before.snapshot);
    expect(state(project)).toEqual(before);
  });
});

test('a build that holds the output folder is no hindrance', async () => {
  const { project } = projectOf({ who: 'root', uid: undefined }, { 'build.conf': bare, 'out/x': '' });
  const holder = spawn('flock', [path.join(project, 'out'), 'sleep', '60'], { stdio: 'ignore', detached: true });
  try {
    await sleep(200);
    const locked = await machine.run(['--no-confirm', '-d', 'out'], { cwd: project });
    expect(locked.code, locked.stderr).toBe(5);
    expect((await machine.run(['plan', '-d', 'out'], { cwd: project })).code).toBe(0);
  } finally {
    if (holder.pid !== undefined) process.kill(-holder.pid, 'SIGKILL');
  }
});

test('what a user may not read is named', async () => {
  const { project, home } = projectOf({ who: 'a user', uid: USER }, { 'build.conf': bare, 'realmfs-modules/mine': 'true\n' });
  chownSync(path.join(project, 'realmfs-modules/mine'), 0, 0);
  chmodSync(path.join(project, 'realmfs-modules/mine'), 0o600);
  const run = await plan({ who: 'a user', uid: USER }, { project, home }, []);
  expect(run.code).toBe(3);
  expect(run.lastLine).toMatch(
    /^realmfs-builder: error: config: the project cannot be read whole: .*realmfs-modules\/mine.*Permission denied$/,
  );
  expect(run.stderr).toContain('hint:    a build is root: run it with sudo\n');
});

test('without user namespaces: exit code 3 and the command for root', async () => {
  const { project } = projectOf({ who: 'nobody', uid: 65534 }, { 'build.conf': bare });
  // A user namespace of the test itself, in which no more can be made.
  const script =
    'echo 0 >/proc/sys/user/max_user_namespaces; cd "$1"; exec setpriv --inh-caps -all --ambient-caps -all /mnt/node /mnt/program/dist/cli.js plan';
  const command = [...asUser(USER), 'unshare', '--user', `--map-user=${USER}`, `--map-group=${USER}`, '--keep-caps', 'bash', '-c', script];
  const words = command.map((word) => `'${word}'`).join(' ');
  const before = state(project);
  const said = machine.shell(`${words} inner "$1" 2>&1 && echo code 0 || echo "code $?"`, project);
  expect(said).toMatch(
    /^ {2}hint: {4}user namespaces are off or restricted; run: sudo -- \/mnt\/node \/mnt\/program\/dist\/cli\.js plan$/m,
  );
  expect(said).toMatch(
    /^realmfs-builder: error: preflight: this machine makes no sandbox for users: unshare: unshare failed: .*\ncode 3$/m,
  );
  await machine.settled(before.snapshot);
  expect(state(project)).toEqual(before);
});
