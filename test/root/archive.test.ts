import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { bare, Machine, mirror, type Run, sha256 } from '../helpers/machine.ts';
import { steps } from '../helpers/steps.ts';

// When the archive is asked whether it has changed, and what follows.
const machine = new Machine({ layers: true });
afterAll(() => machine.close());
afterEach(() => mirror.clear());

const conf =
  'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=no-install-recommends\nBASE_POST_INSTALL_MODULES=\nPACKAGES=tree\nPOST_INSTALL_MODULES=last\nlast() { :; }\n';

function build(project: string, ...args: string[]): Promise<Run> {
  return machine.run(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project });
}

const tarball = (project: string): string => path.join(project, 'realmfs/realmfs-rootfs.tar');
const inTree = (project: string, file: string): string => machine.shell('tar -xOf "$1" "./$2"', tarball(project), file);

test('is asked once in a while, and with --refresh; a change is a miss that says so', async () => {
  const project = machine.project('archive', { 'build.conf': conf });
  // Layers of another state of the archive are not for the tests after this one.
  const own = `REALMFS_CACHE_DIR=${machine.makeCache('cache-archive')}`;
  await build(project, '--set', own);
  mirror.clear();
  expect(steps(await build(project, '--set', own)).ran).toEqual([]);
  expect(mirror.requests).toEqual([]);
  expect(steps(await build(project, '--set', own, '--refresh')).ran).toEqual([]);
  expect(mirror.requests.some((name) => name.endsWith('InRelease'))).toBe(true);
  expect(mirror.requests.some((name) => name.endsWith('.deb'))).toBe(false);
  mirror.release({ date: new Date(Date.now() - 3000) });
  expect(steps(await build(project, '--set', own)).ran).toEqual([]);
  const changed = await build(project, '--set', own, '--refresh');
  expect(changed.code, changed.stderr).toBe(0);
  expect(steps(changed).ran).toEqual(['bootstrap', 'pre/no-install-recommends', 'packages', 'post/last']);
  expect(changed.stderr).toContain('bootstrap runs again: the archive has changed: trixie is of ');
});

test('a security update of an installed package is a miss that says so', async () => {
  const text = conf
    .replace('PACKAGES=tree', 'PACKAGES=fixture-plain')
    .replace('no-install-recommends', '"no-install-recommends write-apt-sources"');
  const project = machine.project('security', { 'build.conf': text });
  const own = `REALMFS_CACHE_DIR=${machine.makeCache('cache-security')}`;
  await build(project, '--set', own);
  mirror.update();
  const run = await build(project, '--set', own, '--refresh');
  expect(run.code, run.stderr).toBe(0);
  expect(steps(run)).toEqual({
    ran: ['pre/no-install-recommends', 'pre/write-apt-sources', 'packages', 'post/last'],
    cached: ['bootstrap'],
  });
  expect(run.stderr).toContain('packages runs again: the archive has changed: trixie-security; fixture-plain 1 -> 2');
  expect(inTree(project, 'usr/share/fixture-plain')).toBe('mended\n');
  mirror.clear();
  mirror.update();
  expect(steps(await build(project, '--set', own, '--refresh')).ran).toEqual([]);
  // What has been fetched to look at it is there.
  expect(mirror.requests.filter((name) => !name.endsWith('InRelease'))).toEqual([]);
});

test.each([
  ['with an install-packages of the user', `${bare}V=asked\nPOST_INSTALL_MODULES=last\nlast() { :; }\n`],
  ['without any module', 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\nPACKAGES=fixture-plain\n'],
])('is asked %s', async (name, text) => {
  const project = machine.project(`asked ${name}`, { 'build.conf': text });
  expect((await build(project)).code).toBe(0);
  const run = await build(project, '--refresh');
  expect(run.code, run.stderr).toBe(0);
  expect(steps(run).ran).toEqual([]);
});

test('one package more: the bootstrap stays, and what was asked a short while ago is not asked again', async () => {
  const project = machine.project('package', { 'build.conf': conf });
  const cache = machine.makeCache('cache-package');
  const with_ = (packages: string, ...args: string[]): Promise<Run> => {
    writeFileSync(path.join(project, 'build.conf'), conf.replace('PACKAGES=tree', `PACKAGES="${packages}"`));
    mirror.requests.length = 0;
    return build(project, '--set', `REALMFS_CACHE_DIR=${cache}`, ...args);
  };
  const asked = (): number => mirror.requests.filter((name) => name.endsWith('InRelease')).length;
  expect((await with_('tree')).code).toBe(0);
  expect(asked()).toBeGreaterThan(0);
  const more = await with_('tree less');
  expect(steps(more).cached).toEqual(['bootstrap']);
  expect(more.stderr).toContain('packages was tree, is tree less');
  expect(asked()).toBe(0);
  const without = await with_('tree less', '--no-cache', '-d', path.join(machine.folder, 'without'));
  expect(without.code, without.stderr).toBe(0);
  expect(asked()).toBeGreaterThan(0);
  expect(sha256(tarball(project))).toBe(sha256(path.join(machine.folder, 'without/realmfs-rootfs.tar')));
  for (const args of [['--refresh'], ['--rebuild-from', 'packages'], ['--set', 'ARCHIVE_MAX_AGE=0']]) {
    expect((await with_(`tree less fixture-plain${' '.repeat(args.length)}`, ...args)).code).toBe(0);
    expect(asked(), args.join(' ')).toBeGreaterThan(0);
  }
});

test('what is not there any more since the archive was asked is asked for once more', async () => {
  const text = conf
    .replace('PACKAGES=tree', 'PACKAGES="tree less"')
    .replace('no-install-recommends', '"no-install-recommends write-apt-sources"');
  const project = machine.project('gone', { 'build.conf': text });
  const own = `REALMFS_CACHE_DIR=${machine.makeCache('cache-gone')}`;
  expect((await build(project, '--set', own)).code).toBe(0);
  mirror.update();
  // New since then, and of no package that the first build has fetched.
  writeFileSync(path.join(project, 'build.conf'), text.replace('tree less', 'tree less fixture-plain=2'));
  const run = await build(project, '-v', '--set', own);
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr).toMatch(/was asked a short while ago[\s\S]*Fetching packages\n/);
  expect(inTree(project, 'usr/share/fixture-plain')).toBe('mended\n');
});
