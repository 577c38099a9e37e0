import { afterAll, expect, test } from 'vitest';
import { killOnce, signalEachStep, sleep } from '../helpers/kills.ts';
import { Machine } from '../helpers/machine.ts';

const machine = new Machine({ realDebootstrap: true });
const quick = new Machine();
afterAll(() => quick.close());
afterAll(() => machine.close());

const conf = 'REALMFS_PROFILE=minimal\nPOST_INSTALL_MODULES=busy\nbusy() { (setsid sleep 1000 &); head -c 200M /dev/urandom >/random; }\n';

test('100 times kill -9 at a random moment of a real build', async () => {
  const project = machine.project('random', { 'build.conf': conf, 'realmfs/realmfs-rootfs.tar': 'good' });
  const before = machine.snapshot();
  const started = Date.now();
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  const whole = Date.now() - started;
  for (let round = 0; round < 100; round += 1) {
    await killOnce(machine, project, before, round % 10 === 0 ? ['--no-tmpfs'] : [], () => sleep(Math.random() * whole));
  }
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
});

test('300 times kill -9 right after the start', async () => {
  const project = machine.project('start', { 'build.conf': conf, 'realmfs/x': '' });
  const before = machine.snapshot();
  for (let round = 0; round < 300; round += 1) {
    await killOnce(machine, project, before, [], () => sleep(Math.random() * 400));
  }
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
});

test.each([
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)('%s in each step ends the build with its code, a good image stays', (signal, code) => signalEachStep(quick, signal, code));
