import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { bare, Machine, mirror, type Run, sha256 } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());
beforeEach(() => mirror.clear());

const cache = path.join(machine.folder, 'cache');
const archives = path.join(cache, 'apt/archives');
const tarball = (project: string): string => path.join(project, 'realmfs/realmfs-rootfs.tar');
const conf =
  'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=no-install-recommends\nBASE_POST_INSTALL_MODULES=\nPACKAGES=fixture-plain\nPOST_INSTALL_MODULES=last\nlast() { :; }\n';

function build(project: string, text: string, ...args: string[]): Promise<Run> {
  writeFileSync(path.join(project, 'build.conf'), text);
  return machine.run(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project });
}

/** The lines that name what is not in the cache. */
const missing = (run: Run): string[] => [...run.stderr.matchAll(/^ *missing: (.*)$/gm)].map(([, name = '']) => name);

describe('--offline', () => {
  const project = machine.project('offline', { 'build.conf': conf });

  test('builds from the cache, with layers or without, and asks nothing of anybody', async () => {
    expect((await build(project, conf)).code).toBe(0);
    const online = sha256(tarball(project));
    mirror.clear();
    for (const args of [[], ['--rebuild-from', 'packages'], ['--no-cache']]) {
      const run = await build(project, conf, '--offline', ...args);
      expect(run.code, run.stderr).toBe(0);
      expect(sha256(tarball(project))).toBe(online);
    }
    expect(mirror.requests).toEqual([]);
    // What was built without asking has not asked.
    expect((await build(project, conf)).code).toBe(0);
    expect(mirror.requests.some((name) => name.endsWith('InRelease'))).toBe(true);
    mirror.clear();
  });

  test('packages that are not there are named, all of them', async () => {
    for (const name of readdirSync(archives)) if (/^(?:tree|less)_/.test(name)) rmSync(path.join(archives, name));
    const run = await build(project, conf.replace('fixture-plain', '"fixture-plain tree less"'), '--offline');
    expect(run.code, run.stderr).toBe(4);
    expect(missing(run).map((name) => name.replace(/_.*/, ''))).toEqual(['less', 'tree']);
    expect(run.stderr).toContain('packages: 2 files are not in the cache, and --offline fetches nothing');
    expect(mirror.requests).toEqual([]);
  });

  test('a file of the cache that is damaged is missing, too', async () => {
    const file = readdirSync(archives).find((name) => name.startsWith('fixture-plain_')) ?? '';
    const there = path.join(archives, file);
    machine.shell('head -c "$(stat -c %s "$1")" /dev/zero >"$1.new"; mv "$1.new" "$1"', there);
    const run = await build(project, conf, '--offline', '--rebuild-from', 'packages');
    expect(run.code, run.stderr).toBe(4);
    expect(missing(run)).toEqual([file]);
  });

  test('the lists of apt: of a suite that was never looked at', async () => {
    const extra =
      'EXTRA_SOURCES="Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie-proposed-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"\n';
    const run = await build(project, conf + extra, '--offline');
    expect(run.code, run.stderr).toBe(4);
    expect(missing(run)).toEqual(['mirror.example_debian_dists_trixie-proposed-updates_InRelease']);
  });

  test('the Release file of the bootstrap', async () => {
    const empty = machine.project('empty cache');
    const run = await machine.run(['--no-confirm', '-t', '--offline', '--set', `REALMFS_CACHE_DIR=${empty}`], { cwd: project });
    expect(run.code, run.stderr).toBe(4);
    expect(missing(run)).toEqual(['http://mirror.example/debian/dists/trixie/InRelease']);
  });

  test('what modules have done without the network is not taken by a build that has it', async () => {
    const own = machine.project('modules', { 'build.conf': '' });
    const text = `${bare}POST_INSTALL_MODULES=asks\nasks() { ip -o link show up 2>/dev/null | grep -c . >/links || :; ls /sys/class/net | wc -l >/devices; }\n`;
    expect((await build(own, text, '--offline')).code).toBe(0);
    const again = await build(own, text, '--offline');
    expect(again.stderr).toContain('up to date');
    const online = await build(own, text);
    expect(online.stderr).toContain('packages runs again: it was run with --offline');
    expect((await build(own, text)).stderr).toContain('up to date');
    expect((await build(own, text, '--offline')).stderr).toContain('up to date');
  });

  test('with --refresh it makes no sense', async () => {
    const run = await build(project, conf, '--offline', '--refresh');
    expect(run.code).toBe(2);
  });
});

test('two builds at once fetch no file twice', async () => {
  const own = { REALMFS_CACHE_DIR: machine.makeCache('fetching') };
  const there = path.join(own.REALMFS_CACHE_DIR, 'apt/archives');
  for (const name of readdirSync(there)) if (name.endsWith('.deb')) rmSync(path.join(there, name));
  mirror.fault(/(?:fixture|tree|less)[^/]*\.deb$/, { kind: 'slow', rate: 30 * 1024 });
  const texts = ['tree', 'less'].map((name) => conf.replace('fixture-plain', `"fixture-plain fixture-conffile ${name}"`));
  const projects = texts.map((text, at) => machine.project(`fetching-${at}`, { 'build.conf': text }));
  const runs = await Promise.all(projects.map((cwd) => machine.run(['--no-confirm', '-t', '--progress', 'plain'], { cwd, env: own })));
  for (const { code, stderr } of runs) expect(code, stderr).toBe(0);
  const fetched = mirror.requests.filter((name) => /\.deb$|Packages/.test(name)).sort();
  expect(fetched.filter((name) => name.includes('fixture-plain'))).toHaveLength(1);
  expect(fetched).toEqual([...new Set(fetched)]);
});

test('a build waits while another one fetches, and says so', async () => {
  const text = conf.replace('last() { :; }', 'last() { echo waited; }');
  const own = { REALMFS_CACHE_DIR: machine.makeCache('waiting') };
  const lock = path.join(own.REALMFS_CACHE_DIR, 'apt/fetch.lock');
  writeFileSync(lock, '');
  const holder = spawn('flock', ['--no-fork', lock, 'sleep', '60']);
  const project = machine.project('waiting', { 'build.conf': text });
  const running = machine.start(['--no-confirm', '-t', '--progress', 'json'], { cwd: project, env: own });
  try {
    await running.sees('waiting for another build that fetches packages');
    expect(mirror.requests).toEqual([]);
  } finally {
    holder.kill();
  }
  expect((await running.ended).code).toBe(0);
});

test('where memory would not hold a step it is built on disk, and says so: the same image', async () => {
  const text = `${bare}POST_INSTALL_MODULES="one two"\none() { ln /etc/hostname /linked; head -c 300M /dev/zero >/big; }\ntwo() { echo two >>/linked; rm /big; }\n`;
  const project = machine.project('short', { 'build.conf': '' });
  const small = await build(project, text, '--rebuild-from', 'packages', '--tmpfs-size', '600M');
  expect(small.code, small.stderr).toBe(0);
  expect(small.stderr).toMatch(/packages is built on disk: it may need 1\.0 GiB, and \d+\.\d MiB of memory are left/);
  const digest = sha256(tarball(project));
  expect((await build(project, text, '--rebuild-from', 'packages')).stderr).not.toContain('built on disk');
  expect(sha256(tarball(project))).toBe(digest);
  // Now it is known what each of them leaves.
  const known = await build(project, text, '--rebuild-from', 'packages', '--tmpfs-size', '400M');
  expect(known.stderr).not.toContain('packages is built on disk');
  expect(known.stderr).toMatch(/post\/one is built on disk: it may need 4\d\d\.\d MiB/);
  expect(sha256(tarball(project))).toBe(digest);
});

test('a package that leaves far more than the step did the last time: the figures, and the way out', async () => {
  const project = machine.project('grows', { 'build.conf': '' });
  expect((await build(project, conf)).code).toBe(0);
  const run = await build(project, conf.replace('fixture-plain', 'fixture-big'), '--tmpfs-size', '160M');
  expect(run.code, run.stderr).toBe(3);
  expect(run.stderr).not.toContain('built on disk');
  expect(run.lastLine).toMatch(/error: packages: no space left on the build's file system \(.* of 160\.0 MiB/);
  expect(run.stderr).toContain('--tmpfs-size');
  expect(readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8')).toContain('fixture-big');
});
