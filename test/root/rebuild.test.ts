import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bare, Machine, type Run, testCache } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

const machine = new Machine();
afterAll(() => machine.close());

const rebuild = (project: string, ...args: string[]): Promise<Run> => machine.run(['verify', '--rebuild', ...args], { cwd: project });

/** Builds a project, and returns its folder. */
async function built(
  name: string,
  config: string,
  args: readonly string[] = ['-t'],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const project = machine.project(name, { 'build.conf': `${bare}${config}` });
  const run = await machine.run(['--no-confirm', ...args], { cwd: project, env });
  expect(run.code, run.stderr).toBe(0);
  return project;
}

describe('verify --rebuild', () => {
  test('says that all is the same, and leaves nothing; settings of the command line and the environment are those of the build', async () => {
    const config = 'POST_INSTALL_MODULES=say\n: "${WHAT:=default}"\nsay() { echo "$WHAT $REALMFS_HOSTNAME $SOURCE_DATE_EPOCH" >/said; }\n';
    const project = await built('same', config, ['--targets', 'tarball,erofs,realmfs', '--set', 'WHAT=given'], {
      REALMFS_HOSTNAME: 'from-env',
    });
    const before = machine.snapshot();
    const names = readdirSync(path.join(project, 'realmfs')).sort();
    // The second build has no key: the same image has the same signature.
    const key = path.join(project, 'key');
    for (const args of [
      ['keygen', key],
      ['sign', '--key', key, path.join(project, 'realmfs/base-realmfs.img')],
    ])
      expect((await machine.run(args)).code).toBe(0);
    const run = await rebuild(project);
    expect(run.code, run.stderr).toBe(0);
    const results = ['realmfs-rootfs.tar', 'base.erofs', 'base-realmfs.img', ...records];
    expect(run.stdout).toBe(results.map((name) => `${name}: the same\n`).join(''));
    expect(machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./said', project)).toMatch(/^given from-env \d+\n$/);
    expect(readdirSync(path.join(project, 'realmfs')).sort()).toEqual(names);
    expect(await machine.settled(before)).toEqual(before);
  });

  test.each([
    ['time', 'date >/etc/built; cat /proc/sys/kernel/random/uuid >/etc/drawn', '/etc/built: content', 'the time of the build: '],
    ['name', 'touch "/opt/$(date +%s%N)"', '/opt/', 'is not made any more'],
    ['pipe', 'mkfifo /var/lib/dpkg/info/0.list; date >/etc/built', '/etc/built: content', 'the time of the build: '],
    ['owner', 'touch /opt/a; chown "$(od -An -N3 -tu4 /dev/urandom | tr -d " ")" /opt/a', '/opt/a: owner', 'its owner depends'],
  ])('names what is not the same: %s', async (name, command, file, cause) => {
    const project = await built(`differs-${name}`, `POST_INSTALL_MODULES=stamp\nstamp() { ${command}; }\n`);
    const before = machine.snapshot();
    const run = await rebuild(project);
    expect(run.code, run.stdout).toBe(1);
    expect(run.stderr).toContain('realmfs-rootfs.tar: differs\n');
    expect(run.stderr).toContain('base.manifest: the same\n');
    if (name === 'time') expect(run.stderr).toContain('drawn anew by each build: /etc/drawn: a random identifier\n');
    expect(run.lastLine).toContain(`: ${file}`);
    expect(run.lastLine).toContain(cause);
    expect(await machine.settled(before)).toEqual(before);
  });

  test('names the package of a file', async () => {
    const project = await built('package', 'POST_INSTALL_MODULES=stamp\nstamp() { date >>/etc/debian_version; }\n');
    const run = await rebuild(project, 'realmfs');
    expect(run.code).toBe(1);
    expect(run.lastLine).toContain('/etc/debian_version: content (package base-files)');
  });

  test('a project that is another one now', async () => {
    const project = await built('changed', 'POST_INSTALL_MODULES=stamp\nstamp() { echo one >/one; }\n');
    writeFileSync(path.join(project, 'build.conf'), readFileSync(path.join(project, 'build.conf'), 'utf8').replace('echo one', 'echo two'));
    const run = await rebuild(project);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('made from something else: build.conf has changed\n');
    expect(run.lastLine).toContain(
      '/one: content (no package: a module, a hook or a file of the project); likely cause: build.conf has changed',
    );
  });

  test('results that are damaged are not compared', async () => {
    const project = await built('damaged', '');
    writeFileSync(path.join(project, 'realmfs/realmfs-rootfs.tar'), 'x');
    const run = await rebuild(project);
    expect(run.code).toBe(1);
    expect(run.lastLine).toContain('realmfs-rootfs.tar: is not what SHA256SUMS says');
  });

  test('a second build that fails', async () => {
    const project = await built('fails', 'POST_INSTALL_MODULES=stamp\nstamp() { [[ $REALMFS_HOSTNAME != x ]]; }\n');
    const run = await rebuild(project, '--set', 'REALMFS_HOSTNAME=x');
    expect(run.code).toBe(1);
    expect(run.lastLine).toContain('the second build failed: post/stamp');
    // Its own exit code says of what kind the failure is.
    const network = await rebuild(project, '--set', 'DEBIAN_MIRROR=http://mirror.example/nowhere');
    expect([network.code, network.lastLine]).toEqual([4, expect.stringContaining('cannot be fetched')]);
    expect(network.lastLine).not.toContain('log:');
  });

  test('what cannot be compared', async () => {
    const empty = machine.project('empty', { 'realmfs/x': '' });
    expect((await rebuild(empty)).lastLine).toContain('has no manifest.json');
    expect((await rebuild(empty, 'nowhere')).code).toBe(2);
    expect((await rebuild(empty, 'a', 'b')).lastLine).toContain('compares one folder');
    expect((await machine.run(['verify', '--set', 'A=b', 'x'], { cwd: empty })).code).toBe(2);
    const project = await built('secret', ': "${MY_PASSWORD:=}"\n', ['-t', '--set', 'MY_PASSWORD=x']);
    expect((await rebuild(project)).lastLine).toContain('MY_PASSWORD was set for the build');
  });

  test('a manifest of others reaches no program: nothing but settings is taken from it', async () => {
    const project = await built('foreign', '');
    const file = path.join(project, 'realmfs/manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    for (const key of ['LD_PRELOAD', 'BASH_ENV', 'PATH', 'REALMFS_CACHE_DIR', 'http_proxy']) {
      const settings = { ...manifest.inputs.settings, [key]: '/evil' };
      writeFileSync(file, JSON.stringify({ ...manifest, inputs: { ...manifest.inputs, settings } }));
      const run = await rebuild(project);
      expect(run.code).toBe(2);
      expect(run.lastLine).toContain(`a setting that no build can have taken from its environment: "${key}"`);
    }
  });

  test('while it runs nobody else builds there, nor begins a second one; SIGTERM ends it, and nothing is left', async () => {
    const project = await built('stopped', '');
    const before = machine.snapshot();
    const running = machine.start(['verify', '--rebuild'], { cwd: project });
    await running.step('packages');
    expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(5);
    expect((await rebuild(project)).code).toBe(5);
    running.kill('SIGTERM');
    const ended = await running.ended;
    expect([ended.code, ended.lastLine]).toEqual([143, 'realmfs-builder: error: rebuild: interrupted by SIGTERM']);
    expect(await machine.settled(before)).toEqual(before);
    expect(readdirSync(path.join(project, 'realmfs')).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(readdirSync(testCache).filter((name) => name.startsWith('rebuild-'))).toEqual([]);
  });

  test('kill -9: no process and no mount is left, and the next run removes its folder', async () => {
    const project = await built('killed', 'POST_INSTALL_MODULES=wait\nwait() { sleep 5; }\n');
    const before = machine.snapshot();
    const running = machine.start(['verify', '--rebuild'], { cwd: project });
    await running.step('post/wait');
    running.kill('SIGKILL');
    expect((await running.ended).signal).toBe('SIGKILL');
    expect(await machine.settled(before)).toEqual(before);
    expect(readdirSync(testCache).filter((name) => name.startsWith('rebuild-'))).toHaveLength(1);
    expect((await rebuild(project)).code).toBe(0);
    expect(readdirSync(testCache).filter((name) => name.startsWith('rebuild-'))).toEqual([]);
  });
});
