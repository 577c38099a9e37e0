import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeDeb } from '../helpers/debs.ts';
import { failingBuild } from '../helpers/failing-build.ts';
import { bare, Machine, sha256 } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());

const post = (body: string): string => `${bare}POST_INSTALL_MODULES=bad\nbad() {\n${body}\n}\n`;

// The table of facts/reliability 2.k: what reached "success" in the original.
test.each([
  ['false', post('false'), 'realmfs-builder: error: post/bad: build.conf:7: exit code 1 from: false'],
  ['missing-program', post('missing-program'), 'realmfs-builder: error: post/bad: build.conf:7: exit code 127 from: missing-program'],
  ['exit-7', post('exit 7'), 'realmfs-builder: error: post/bad: module bad failed with exit code 7 before it was complete'],
  ['exec', post('exec true'), 'realmfs-builder: error: post/bad: module bad ended the shell before it was complete'],
  ['return-3', post('return 3'), 'realmfs-builder: error: post/bad: '],
  [
    'required',
    post('echo "${UNSET:?is needed}"'),
    'realmfs-builder: error: post/bad: module bad failed with exit code 1 before it was complete: build.conf: line 7: UNSET: is needed',
  ],
  ['killed', post('kill -9 $$'), 'realmfs-builder: error: post/bad: module bad was killed by SIGKILL'],
  ['killed-all', post('(kill -9 -1)'), 'realmfs-builder: error: post/bad: module bad was killed by SIGKILL'],
  ['stdout-closed', post('exec >&-; echo hello'), 'realmfs-builder: error: post/bad: build.conf:7: exit code 1 from: echo hello'],
  ['pipe', post('false | true'), 'realmfs-builder: error: post/bad: build.conf:7: exit code 1 from: true'],
  ['fatal', post('fatal "100 % wrong"'), 'realmfs-builder: error: post/bad: build.conf:7: 100 % wrong'],
  ['fatal-in-subshell', post('x=$(fatal "deep" || true); true'), 'realmfs-builder: error: post/bad: build.conf:7: deep'],
])('module: %s', async (name, conf, cause) => {
  await failingBuild(machine, `module-${name}`, conf, 1, cause);
});

test.each([
  ['a package', { 'packages/device.deb': makeDeb('makes-device', { postinst: 'cd /dev; mknod null- c 1 3 || { seq 60; exit 1; }' }) }, ''],
  ['a module', {}, 'PRE_INSTALL_MODULES=bad\nbad() { mknod /disk b 8 0 || { seq 60; false; }; }\n'],
])('a device node cannot be made by %s, and the reason is shown', async (name, files, more) => {
  const lists = 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\n';
  const run = await machine.run(['--no-confirm', '-t'], { cwd: machine.project(name, { 'build.conf': lists + more, ...files }) });
  expect(run.code).toBe(1);
  expect(run.stderr).toMatch(/^ {2}denied: {2}mknod: .*(?:Read-only file system|Operation not permitted)$/m);
  expect(run.stderr).toContain('  hint:    nothing in a build can make device nodes');
});

test('a failing file module is named with its line', async () => {
  await failingBuild(
    machine,
    'file-module',
    `${bare}PRE_INSTALL_MODULES=broken\n`,
    1,
    'realmfs-builder: error: pre/broken: realmfs-modules/broken:2: exit code 2 from: ls /nowhere',
    {
      files: { 'realmfs-modules/broken': 'true\nls /nowhere\n' },
    },
  );
});

test('a build.conf or a module that is a link: within the project it works, out of it is an error', async () => {
  const project = machine.project('linked-conf', {
    'configs/real.conf': `${bare}PRE_INSTALL_MODULES=linked\n`,
    'lib/module': 'info "it runs"\n',
    'realmfs-modules/other': '',
  });
  machine.shell('ln -s configs/real.conf "$1/build.conf"; ln -s ../lib/module "$1/realmfs-modules/linked"', project);
  const run = await machine.run(['--no-confirm', '-t', '-v'], { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr).toContain('[+] it runs');
  machine.shell(
    'ln -sf /etc/hostname "$1/realmfs-modules/linked"; ln -sf ../../nowhere.conf "$1/other.conf"; cp "$1/build.conf" "$1/../nowhere.conf"; mkdir -p "$1/deep"; ln -s ../../nowhere.conf "$1/deep/out.conf"',
    project,
  );
  expect((await machine.run(['--no-confirm', '-t', path.join(project, 'deep/out.conf')], { cwd: project })).lastLine).toMatch(
    /out\.conf: is a link that leads out of the project folder, to \S+: copy what it leads to into the project/,
  );
});

test('--set does not lose against a readonly variable in silence', async () => {
  await failingBuild(
    machine,
    'readonly',
    `${bare}readonly REALMFS_HOSTNAME=mine\n`,
    2,
    /^realmfs-builder: error: config: build\.conf.*REALMFS_HOSTNAME is readonly in build\.conf: --set cannot change it/,
    {
      args: ['--set', 'REALMFS_HOSTNAME=other'],
    },
  );
});

test('defaults are not there yet when build.conf is read, neither before nor inside the image', async () => {
  const conf = `${bare}[[ -z \${DEBIAN_RELEASE-}\${DEBIAN_MIRROR-}\${SOURCE_DATE_EPOCH-} ]] && POST_INSTALL_MODULES=set-hostname\n`;
  const project = machine.project('defaults', { 'build.conf': conf });
  const run = await machine.run(['--no-confirm', '-t', '-d', 'out/deep'], { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  // Its own results are not part of the project.
  const again = await machine.run(['--no-confirm', '-t', '-d', 'out/deeper', '-v'], { cwd: project });
  expect(again.code, again.stderr).toBe(0);
});

test('a dead mirror is a fetch error', async () => {
  const real = new Machine({ realDebootstrap: true });
  try {
    const project = real.project('dead', { 'build.conf': `${bare}DEBIAN_MIRROR=http://user:secret@127.0.0.1:9/debian\n` });
    const run = await real.run(['--no-confirm', '-v', '--debug'], { cwd: project });
    expect(run.code).toBe(4);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: bootstrap: /);
    expect(run.stderr).not.toContain('secret');
    expect(readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8')).not.toContain('secret');
  } finally {
    real.close();
  }
});

test('a full tmpfs names the figures and the way out', async () => {
  const project = machine.project('full', { 'build.conf': post('head -c 1200M /dev/zero >/big') });
  const run = await machine.run(['--no-confirm', '-t', '--tmpfs-size', '900M'], { cwd: project });
  expect(run.lastLine).toMatch(/^realmfs-builder: error: post\/bad: no space left on the build's file system \(.* of 900\.0 MiB/);
  expect(run.stderr).toContain('--tmpfs-size');
  expect(run.code).toBe(3);
});

test.each(['-t', '-i'])('a full output disk, with %s: figures, and the old result stays', async (target) => {
  const project = machine.project(`disk${target}`, { 'build.conf': `${bare}IMAGE_FREE_SPACE=10M\n` });
  machine.shell('mkdir -p "$1/realmfs"; mount -t tmpfs -o size=60m small "$1/realmfs"; echo good >"$1/realmfs/manifest.json"', project);
  const run = await machine.run(['--no-confirm', target], { cwd: project });
  expect(run.lastLine).toMatch(/^realmfs-builder: error: target\/\w+: no space left on the build's output disk \(.* of 60\.0 MiB/);
  expect(run.code).toBe(3);
  expect(machine.shell('cd "$1/realmfs"; ls -A; cat manifest.json; cd ..; umount realmfs', project)).toBe(
    'manifest.json\nrealmfs-build.log\ngood\n',
  );
});

test('an output folder that cannot be written, or is no folder', async () => {
  const project = machine.project('output', { 'build.conf': bare, file: 'x' });
  expect(await machine.run(['--no-confirm', '-d', 'file'], { cwd: project })).toMatchObject({
    code: 2,
    lastLine: 'realmfs-builder: error: --directory: file is not a folder',
  });
  const run = await machine.run(['--no-confirm', '-d', '/proc/self'], { cwd: project });
  expect(run.code).toBe(3);
  expect(run.lastLine).toMatch(/^realmfs-builder: error: preflight: the output folder .* cannot be written/);
});

test('a second build of the same output is refused and names the holder; another output is free', async () => {
  const project = machine.project('locked', { 'build.conf': `${bare}PRE_INSTALL_MODULES=slow\nslow() { sleep 3; }\n` });
  const first = machine.start(['--no-confirm', '-t', '--progress', 'plain'], { cwd: project });
  await first.step('pre/slow');
  const second = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(second.code).toBe(5);
  expect(second.lastLine).toMatch(/^realmfs-builder: error: preflight: another build \(process \d+\) is writing to /);
  expect(readdirSync(path.join(project, 'realmfs')).filter((name) => name.endsWith('.partial'))).toHaveLength(1);
  expect(second.stderr).not.toContain('also:');
  const other = await machine.run(['--no-confirm', '-t', '-d', 'other'], { cwd: project });
  expect(other.code).toBe(0);
  expect((await first.ended).code).toBe(0);
});

test('a result that is a link or a folder', async () => {
  const project = machine.project('existing', { 'build.conf': bare, victim: 'precious' });
  machine.shell('mkdir "$1/realmfs"; ln -s ../victim "$1/realmfs/realmfs-rootfs.tar"; ln -s ../victim "$1/realmfs/manifest.json"', project);
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  expect(readFileSync(path.join(project, 'victim'), 'utf8')).toBe('precious');
  const good = sha256(path.join(project, 'realmfs/realmfs-rootfs.tar'));
  machine.shell('rm "$1/realmfs/manifest.json"; mkdir "$1/realmfs/manifest.json"', project);
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run).toMatchObject({ code: 3 });
  expect(sha256(path.join(project, 'realmfs/realmfs-rootfs.tar'))).toBe(good);
  // A log that is a link is not followed.
  machine.shell(
    'rm -f "$1/realmfs/realmfs-build.log"; ln -s ../victim "$1/realmfs/realmfs-build.log"; rmdir "$1/realmfs/manifest.json"',
    project,
  );
  const linked = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(linked.lastLine).toMatch(/^realmfs-builder: error: preflight: the log in .* cannot be written: ELOOP/);
  expect(linked.code).toBe(3);
  expect(readFileSync(path.join(project, 'victim'), 'utf8')).toBe('precious');
});

test('what a killed build has left is removed by the next one', async () => {
  const project = machine.project('stale', { 'build.conf': bare });
  const left = path.join(project, 'realmfs/.realmfs-old.partial');
  machine.shell('mkdir -p "$1/build/root/usr"; echo x >"$1/build/root/usr/file"', left);
  writeFileSync(path.join(project, 'realmfs/.keep'), '');
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  expect(existsSync(left)).toBe(false);
  expect(existsSync(path.join(project, 'realmfs/.keep'))).toBe(true);
});
