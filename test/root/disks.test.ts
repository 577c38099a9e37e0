import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bare, Machine, type Run } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
beforeAll(async () => {
  // The tree of debootstrap is recorded in the cache of the tests: in a small one of ours it would fill the disk.
  const recording = new Machine();
  try {
    const run = await recording.run(['--no-confirm'], { cwd: recording.project('recorded', { 'build.conf': packages }) });
    expect(run.code, run.stderr).toBe(0);
  } finally {
    recording.close();
  }
});
const disks: string[] = [];
afterAll(() => {
  for (const folder of disks) machine.shell('umount "$1"', folder);
  machine.close();
});

/** The smallest build with a package step. */
const packages =
  'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=write-apt-sources\nBASE_POST_INSTALL_MODULES=\nPACKAGES="less tree"\nIMAGE_TARGETS=tarball\n';
const project = machine.project('project', { 'build.conf': packages });
const out = path.join(project, 'realmfs');

/** Mounts a small disk on a new folder. */
function disk(name: string, options: string): string {
  const folder = machine.project(name);
  machine.shell('mount -t tmpfs -o "$2" "$3" "$1"', folder, `mode=0755,${options}`, name);
  disks.push(folder);
  return folder;
}

/** Makes a cache on a disk that looks as if it had served a build, and fills the disk but for so many KiB. */
function usedCache(name: string, size: string, left: number): string {
  const cache = path.join(disk(name, `size=${size}`), 'cache');
  machine.shell('mkdir -p -m 700 "$1"/apt/archives "$1"/mnt; : >"$1"/apt/archives/old_1_all.deb', cache);
  fill(path.dirname(cache), left);
  return cache;
}

/** Fills a disk but for so many KiB. */
function fill(folder: string, left = 0): void {
  machine.shell(
    'rm -f "$1/fill"; free=$(df --output=avail -k "$1" | tail -n 1); head -c "$(((free - $2) * 1024))" /dev/zero >"$1/fill"',
    folder,
    String(left),
  );
}

function build(cache: string, ...more: string[]): Promise<Run> {
  return machine.run(['--no-confirm', '--progress', 'plain', ...more], { cwd: project, env: { REALMFS_CACHE_DIR: cache } });
}

function expectNothingLeft(cache: string): void {
  const left = machine.shell('find "$1" -path "*/partial/*" -type f -o -name "*.part" -o -path "*/layers/new/?*"', cache);
  expect(left).toBe('');
}

describe('a cache disk', () => {
  test('without room for packages is named before work', async () => {
    const folder = disk('tiny', 'size=1m');
    const run = await build(path.join(folder, 'cache'));
    expect(run.lastLine).toMatch(
      /^realmfs-builder: error: preflight: only 1\.0 MiB free on the disk of the cache folder .*tiny\/cache, and the packages of a build take 64\.0 MiB at least/,
    );
    expect(run.stderr).toContain('REALMFS_CACHE_DIR');
    expect(run.code).toBe(3);
  });

  test.each([
    [
      'files',
      'nr_inodes=4',
      /the cache folder .* cannot be made: no space left on the disk of the cache folder .* and 4 of 4 inodes in use/,
    ],
    ['files-later', 'nr_inodes=9', /no (space left|inodes)[^\n]* the (cache disk|disk of the cache folder)/],
  ])('without inodes for %s', async (name, options, said) => {
    const folder = disk(name, `size=100m,${options}`);
    const run = await build(path.join(folder, 'cache'));
    expect(run.lastLine).toMatch(said);
    expect(run.code, run.stderr).toBe(3);
  });

  test.each([
    ['lists', 0, 'bootstrap'],
    ['package-files', 230, 'packages'],
  ])('that fills with %s', async (name, left, step) => {
    const cache = usedCache(name, '20m', left);
    const run = await build(cache);
    expect(run.stderr).toMatch(/warning: only [^\n]* free on the disk of the cache folder/);
    expect(run.lastLine).toMatch(
      new RegExp(`^realmfs-builder: error: ${step}: no space left on the cache disk \\(.* of 20\\.0 MiB and .* inodes in use`),
    );
    expect(run.stderr).toContain('REALMFS_CACHE_DIR');
    expect(run.code).toBe(3);
    expectNothingLeft(cache);
    machine.shell('mount -o remount,size=2g "$1"', path.dirname(cache));
    const again = await build(cache);
    expect(again.code, again.stderr).toBe(0);
  });

  test('that has no room for layers costs a warning; when it is full at the end, too', async () => {
    const cache = usedCache('layers', '100m', 90 * 1024);
    const run = await build(cache);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toMatch(
      /warning: the layer of bootstrap could not be kept: it takes .* MiB, and only .* MiB are free on the cache disk/,
    );
    expectNothingLeft(cache);
    expect(machine.shell('ls "$1"/apt/archives', cache).match(/^(less|tree)_.*\.deb$/gm)).toHaveLength(2);

    machine.shell('mount -o remount,size=2g "$1"', path.dirname(cache));
    expect((await build(cache)).code).toBe(0);
    machine.shell('mount -o remount,size=1g "$1"; rm "$2/realmfs-rootfs.tar"', path.dirname(cache), out);
    fill(path.dirname(cache));
    const end = await build(cache);
    expect(end.code, end.stderr).toBe(0);
    expect(end.stderr).toMatch(
      /warning: what the results were made of is not remembered: no space left on the disk of the cache folder .* \(.* of 1\.0 GiB/,
    );
    expect(machine.shell('cd "$1"; sha256sum --check SHA256SUMS', out)).toContain('realmfs-rootfs.tar: OK');
  });
});

describe('an output disk', () => {
  test.each(['4k', '8k', '16k', '64k', '1m'])('of %s is named, whatever fills it', async (size) => {
    const folder = disk(`out-${size}`, `size=${size}`);
    const run = await machine.run(['--no-confirm', '-t', '-d', folder], { cwd: machine.project(`small-${size}`, { 'build.conf': bare }) });
    expect(run.lastLine).toMatch(/no space left on the (build's output disk|disk of the output folder)/);
    expect(run.stderr).toContain('--directory');
    expect(run.code, run.stderr).toBe(3);
    expect(machine.shell('ls -A "$1"', folder)).not.toContain('partial');
  });

  test('that fills while the log is written', async () => {
    const folder = disk('log', 'size=300m');
    const conf = `${bare}POST_INSTALL_MODULES=talk\ntalk() { seq 1 300000; }\n`;
    fill(folder, 512);
    const run = await machine.run(['--no-confirm', '-t', '-d', folder], { cwd: machine.project('talk', { 'build.conf': conf }) });
    expect(run.stderr).toMatch(/the log lacks lines: no space left on the disk of the output folder/);
    expect(run.code, run.stderr).toBe(3);
  });
});

test('standard output on a full disk', async () => {
  const folder = disk('stdout', 'size=64k');
  fill(folder);
  const run = await machine.run(['plan', '--json', path.join(project, 'build.conf')], {
    via: ['bash', '-c', 'exec "$@" >"$0"', path.join(folder, 'plan.json')],
  });
  expect(run.lastLine).toMatch(/^realmfs-builder: error: standard output cannot be written: ENOSPC/);
  expect(run.code).toBe(3);
});
