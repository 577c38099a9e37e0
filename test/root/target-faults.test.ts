import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { targets } from '../../src/targets/all.ts';
import { sleep } from '../helpers/kills.ts';
import { bare, Machine, type Run, type RunningBuild } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const names = targets.filter(({ name, isFolder }) => !name.endsWith('-xz') && !isFolder).map(({ name }) => name);
const project = machine.project('faults');
const out = path.join(project, 'realmfs');
let builds = 0;

/** Changes the project; all the rest of it comes from layers. The tree is as small as steps can still run in. */
function change(): void {
  builds += 1;
  const conf = `${bare}IMAGE_FREE_SPACE=8M\nPOST_INSTALL_MODULES="small change"
small() {
    rm -rf /usr/share /usr/lib/systemd /usr/lib/*/{gconv,perl-base,systemd} /var/lib/dpkg/info/*
    find /usr -type f -size +160k ! -regex '.*/\\(bash\\|dpkg.*\\|find\\|grep\\|ld-.*\\|lib\\([cm]\\.so\\|crypto\\|pcre\\|tinfo\\|selinux\\).*\\)' -delete
}
change() {
    echo ${builds} >/change
    head -c 1M /dev/urandom >/random
}
`;
  writeFileSync(path.join(project, 'build.conf'), conf);
}

/** Every file in and below an output folder, with its digest; the log and staging folders are left out. */
function artefacts(folder: string): string[] {
  const script = `cd "$1"; find . -name '.realmfs-*.partial' -prune -o -type f ! -name realmfs-build.log -exec sha256sum {} + | sort`;
  return machine.shell(script, folder).trimEnd().split('\n');
}

/** The staging folders in an output folder. */
function staging(folder = out): string[] {
  return machine.shell('ls -A "$1"', folder).match(/^\.realmfs-.*\.partial$/gm) ?? [];
}

/** Builds all targets, the named one first. */
function all(first: string, folder = out): string[] {
  const order = [first, ...names.filter((name) => name !== first)];
  return ['--no-confirm', '--targets', order.join(), '-d', folder, path.join(project, 'build.conf')];
}

/** Expects that a changed build leaves the artefacts as they are, and nothing else; returns how it ended. */
async function failing(args: readonly string[], folder = out, meanwhile?: (build: RunningBuild) => Promise<void>): Promise<Run> {
  change();
  const good = artefacts(folder);
  const before = machine.snapshot();
  const build = machine.start(args);
  await meanwhile?.(build);
  const run = await build.ended;
  expect(await machine.settled(before)).toEqual(before);
  expect(artefacts(folder)).toEqual(good);
  expect(staging(folder)).toEqual([]);
  expect(run.stderr.match(/^realmfs-builder: error: /gm)).toHaveLength(1);
  return run;
}

/** Expects that a changed build works: its artefacts are new and complete, and nothing is left of those that failed. */
async function works(folder = out, wanted = names): Promise<void> {
  change();
  const old = artefacts(folder);
  const run = await machine.run(['--no-confirm', '--targets', wanted.join(), '-d', folder, path.join(project, 'build.conf')]);
  expect(run.code, run.stderr).toBe(0);
  const made = artefacts(folder);
  // Beside those of the targets: records, SHA256SUMS and the manifest; the list of packages is the same each time.
  expect(made).toHaveLength(names.length + records.length + 2);
  expect(made.filter((each) => !old.includes(each)).length).toBeGreaterThanOrEqual(wanted.length + records.length + 1);
  expect(machine.shell('cd "$1"; sha256sum --check SHA256SUMS', folder).match(/: OK$/gm)).toHaveLength(wanted.length + records.length);
  expect(staging(folder)).toEqual([]);
}

beforeAll(async () => {
  mkdirSync(out);
  await works();
});

/** Puts a script in the place of a program of the machine for the time of a body. */
async function instead<T>(file: string, script: string, body: () => Promise<T>): Promise<T> {
  const wrapper = path.join(machine.folder, `wrapper-${path.basename(file)}`);
  writeFileSync(wrapper, `#!/bin/bash\n${script}\n`, { mode: 0o755 });
  machine.shell('mount --bind "$1" "$2"', wrapper, file);
  try {
    return await body();
  } finally {
    machine.shell('umount "$1"', file);
  }
}

describe('a target that fails', () => {
  // Which target ends last is not known: the one that fails is the first, in the middle or the last of the list.
  test.each([
    [
      'squashfs',
      'in the middle of its output',
      '/usr/bin/mksquashfs',
      'head -c 4M /dev/urandom >"$2"; echo "FATAL ERROR: it is broken"; kill -SEGV $$',
      'mksquashfs failed with exit code 139',
    ],
    ['realmfs', 'behind its file system', '/usr/sbin/e2fsck', 'echo it is broken; exit 4', 'e2fsck failed with exit code 4'],
    ['tarball-zst', 'in a program of its program', '/usr/bin/zstd', 'head -c 1M; exit 3', 'tar failed with exit code 2'],
  ])('%s, %s', async (name, _, program, script, cause) => {
    const run = await instead(program, script, () => failing(all(name)));
    const step = name === 'realmfs' ? 'target/(realmfs|ext4)' : `target/${name}`;
    expect(run.lastLine).toMatch(new RegExp(`^realmfs-builder: error: ${step}: ${cause}; log: .*/realmfs-build\\.log$`));
    if (program !== '/usr/bin/zstd') expect(run.stderr).toContain('it is broken');
    expect(run.code).toBe(1);
  });

  // With one processor there are no others beside it.
  test.skipIf(availableParallelism() < 2)('ends the others at once, and its own failure is told', async () => {
    const args = ['--no-confirm', '--targets', 'erofs,squashfs', '--progress', 'json', '-d', out, path.join(project, 'build.conf')];
    const endless = 'head -c 1M /dev/zero >"${@: -2:1}"; sleep 250';
    const run = await instead('/usr/bin/mkfs.erofs', endless, () =>
      instead('/usr/bin/mksquashfs', 'sleep 5; echo it is broken; exit 7', () => failing(args)),
    );
    expect(run.lastLine).toMatch(/^realmfs-builder: error: target\/squashfs: mksquashfs failed with exit code 7; log: /);
    expect(run.code).toBe(1);
    const events = run.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const ended = events.filter(({ kind, step }) => kind === 'step-end' && step.startsWith('target/'));
    expect(ended.map(({ step, ok }) => [step, ok]).sort()).toEqual([
      ['target/erofs', false],
      ['target/squashfs', false],
    ]);
    for (const { seconds } of ended) expect(seconds).toBeLessThan(100);
  });
});

test('a disk that is full in the middle of targets', async () => {
  const disk = machine.project('disk');
  machine.shell('mount -t tmpfs -o size=2g,mode=0755 disk "$2"; cp --archive "$1"/. "$2"', out, disk);
  const shrink = 'used=$(df --block-size=1M --output=used "$1" | tail -n 1); mount -o "remount,size=$((used + 5))M" "$1"';
  try {
    const run = await failing([...all('realmfs', disk), '--progress', 'plain'], disk, async (build) => {
      await build.step('target/realmfs');
      machine.shell(shrink, disk);
      await build.ended;
      machine.shell('mount -o remount,size=2g "$1"', disk);
    });
    expect(run.lastLine).toMatch(/^realmfs-builder: error: target\/[a-z0-9-]+: no space left on the build's output disk \(/);
    expect(run.stderr).toContain('make room there, or put the results elsewhere with --directory');
    expect(run.code).toBe(3);
    await works(disk, ['erofs', 'tarball']);
  } finally {
    machine.shell('umount "$1"', disk);
  }
});

describe('an end from outside in the middle of targets', () => {
  test.each(['realmfs', 'tarball-zst'])('SIGKILL of the launcher: %s', async (name) => {
    change();
    const good = artefacts(out);
    const old = staging();
    const before = machine.snapshot();
    const build = machine.start([...all(name), '--progress', 'plain']);
    await build.step(`target/${name}`);
    await sleep(Math.random() * 300);
    build.kill('SIGKILL');
    expect((await build.ended).signal).toBe('SIGKILL');
    expect(await machine.settled(before)).toEqual(before);
    expect(artefacts(out)).toEqual(good);
    expect(staging().filter((folder) => !old.includes(folder))).toHaveLength(1);
    // What builds before it have left is empty, but for the mark by which it is known: the disk does not fill up.
    for (const folder of old) expect(readdirSync(path.join(out, folder), { recursive: true })).toEqual(['build']);
  });

  test.each(['ext4'])('SIGTERM: %s', async (name) => {
    // Those that were killed have left their staging folders: this build removes them.
    const run = await failing([...all(name), '--progress', 'plain'], out, async (build) => {
      await build.step(`target/${name}`);
      await sleep(Math.random() * 300);
      build.kill('SIGTERM');
    });
    expect(run.lastLine).toMatch(/^realmfs-builder: error: target\/[a-z0-9-]+: interrupted by SIGTERM; log: /);
    expect(run.code).toBe(143);
  });

  test('the next run works', () => works());
});
