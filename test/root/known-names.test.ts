import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { bare, Machine } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());

test('pipes, devices, links and huge files under the names of results: a build replaces them, a second build is not begun', async () => {
  const project = machine.project('strange', { 'build.conf': bare, victim: 'precious' });
  const out = path.join(project, 'realmfs');
  const script = `mkdir -p "$1"; cd "$1"
    mkfifo SHA256SUMS SHA256SUMS.gpg; ln -s /dev/zero manifest.json; mknod realmfs-rootfs.tar c 1 5; truncate --size=3G base.mtree; ln -s ../victim base.manifest`;
  machine.shell(script, out);
  const run = await machine.run(['--no-confirm', '-t', '--timeout', '5m'], { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  expect((await machine.run(['verify', out])).code).toBe(0);
  expect(machine.shell('cd "$1"; find . ! -type f ! -type d; cat ../victim', out)).toBe('precious');
  for (const [name, make] of [
    ['SHA256SUMS', 'mkfifo'],
    ['manifest.json', 'ln -s /dev/zero'],
  ] as const) {
    machine.shell(`cd "$1"; rm ${name}; ${make} ${name}`, out);
    const again = await machine.run(['verify', '--rebuild'], { cwd: project });
    expect([again.code, again.lastLine]).toEqual([expect.toSatisfy((code) => code === 1 || code === 2), expect.stringContaining(name)]);
  }
});

test('a name that leads out of the folder, in a manifest or among the checksums, is refused', async () => {
  const project = machine.project('names', { 'build.conf': bare });
  expect((await machine.run(['--no-confirm', '--targets', 'realmfs'], { cwd: project })).code).toBe(0);
  const file = path.join(project, 'realmfs/manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  for (const [name, of] of [
    ['../../x', 'artifact'],
    ['/etc/passwd', 'artifact'],
    ['..', 'image'],
    ['a/b', 'image'],
  ] as const) {
    const artifacts = manifest.artifacts.map((each: { target: string }) =>
      of === 'artifact' && each.target === 'realmfs' ? { ...each, file: name } : each,
    );
    writeFileSync(file, JSON.stringify({ ...manifest, artifacts, ...(of === 'image' ? { name } : {}) }));
    const run = await machine.run(['verify', '--rebuild'], { cwd: project });
    expect([run.code, run.lastLine]).toEqual([1, expect.stringContaining(`no name of a file: ${JSON.stringify(name)}`)]);
  }
});

test('a thread that waits for the kernel keeps no command: the second signal ends it', async () => {
  const project = machine.project('waits', { image: 'x' });
  machine.shell('mkfifo "$1/key"', project);
  const running = machine.start(['verify', '--key', 'key', 'image'], { cwd: project });
  // The file of a key is whatever the user names, and is waited for: this opens the other end, and writes nothing.
  const end = await new Promise<number>((resolve) => {
    const look = (): void => {
      try {
        resolve(openSync(path.join(project, 'key'), constants.O_WRONLY | constants.O_NONBLOCK));
      } catch {
        setTimeout(look, 20);
      }
    };
    look();
  });
  for (const _ of [1, 2, 3]) {
    running.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const ended = await running.ended;
  closeSync(end);
  expect([ended.signal, ended.lastLine]).toEqual([
    'SIGTERM',
    'realmfs-builder: error: interrupted by SIGTERM; the process was ended before all was done',
  ]);
});
