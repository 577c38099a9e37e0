import { readdirSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { killOnce, signalEachStep, sleep, slow } from '../helpers/kills.ts';
import { bare, Machine } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

const machine = new Machine();
afterAll(() => machine.close());

test('kill -9 at 15 random moments leaves nothing, and the next run just works', async () => {
  const project = machine.project('random', { 'build.conf': slow, 'realmfs/realmfs-rootfs.tar': 'good' });
  const before = machine.snapshot();
  for (let round = 0; round < 15; round += 1) {
    const args = round % 3 === 0 ? ['--no-tmpfs'] : [];
    await killOnce(machine, project, before, args, () => sleep(Math.random() * 4500));
  }
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.code).toBe(0);
  expect(readdirSync(`${project}/realmfs`).sort()).toEqual(
    ['SHA256SUMS', 'manifest.json', 'realmfs-build.log', 'realmfs-rootfs.tar', ...records].sort(),
  );
});

test('30 times kill -9 right after the start', async () => {
  const project = machine.project('start', { 'build.conf': slow, 'realmfs/x': '' });
  const before = machine.snapshot();
  for (let round = 0; round < 30; round += 1) {
    await killOnce(machine, project, before, [], () => sleep(150 + Math.random() * 150));
  }
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
});

test('SIGTERM in each step ends the build with its code, a good image stays', () => signalEachStep(machine, 'SIGTERM', 143));

test('--timeout ends the build with 124', async () => {
  const project = machine.project('timeout', {
    'build.conf': `${bare}PRE_INSTALL_MODULES=hang\nhang() { trap "" TERM INT HUP; while :; do sleep 1; done; }\n`,
  });
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '-t', '--timeout', '4s'], { cwd: project });
  expect(run.code).toBe(124);
  expect(run.lastLine).toMatch(/^realmfs-builder: error: pre\/hang: not done within the time limit of 4 s; log: /);
  expect(await machine.settled(before)).toEqual(before);
});

test('a second signal ends a build that does not stop', async () => {
  const project = machine.project('twice', { 'build.conf': slow });
  const build = machine.start(['--no-confirm', '-t', '--progress', 'plain'], { cwd: project });
  await build.step('pre/slow');
  build.kill('SIGINT');
  build.kill('SIGINT');
  expect((await build.ended).code).toBe(130);
});

test('a reader of standard output that goes away is no crash', async () => {
  const project = machine.project('pipe', { 'build.conf': bare });
  const run = await machine.run(['--no-confirm', '-t', '--progress', 'json'], {
    cwd: project,
    via: ['bash', '--norc', '-c', '"$@" | head -n 1 | cut -c 1-6; echo "${PIPESTATUS[0]}"', 'shell'],
  });
  expect(run.stdout).toBe('{"v":1\n0\n');
});
