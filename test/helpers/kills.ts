import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { bare, type Machine, type Snapshot } from './machine.ts';

/** A build with a step that takes a second, and one that leaves a daemon. */
export const slow = `${bare}PRE_INSTALL_MODULES=slow\nslow() { sleep 1; }\nPOST_INSTALL_MODULES=busy\nbusy() { (setsid sleep 1000 &); head -c 50M /dev/urandom >/random; }\n`;

const steps = ['config', 'bootstrap', 'pre/slow', 'packages', 'post/busy', 'finalize', 'target/tarball'];

/** Sends a signal to a build in each of its steps, one build a step. */
export async function signalEachStep(machine: Machine, signal: NodeJS.Signals, code: number): Promise<void> {
  const project = machine.project(`signal-${signal}`, { 'build.conf': slow, 'realmfs/realmfs-rootfs.tar': 'good' });
  const before = machine.snapshot();
  for (const step of steps) {
    const build = machine.start(['--no-confirm', '-t', '--progress', 'plain'], { cwd: project });
    await build.step(step);
    const asked = Date.now();
    build.kill(signal);
    const run = await build.ended;
    expect(Date.now() - asked).toBeLessThan(6000);
    expect(run.code).toBe(code);
    expect(run.lastLine).toMatch(new RegExp(`^realmfs-builder: error: [a-z/]+: interrupted by ${signal}; log: `));
    expect(await machine.settled(before)).toEqual(before);
    expect(readdirSync(`${project}/realmfs`).sort()).toEqual(['realmfs-build.log', 'realmfs-rootfs.tar']);
    expect(readFileSync(`${project}/realmfs/realmfs-rootfs.tar`, 'utf8')).toBe('good');
  }
}

/** Kills a build after a time; nothing but a hidden staging folder may be left. */
export async function killOnce(
  machine: Machine,
  project: string,
  before: Snapshot,
  args: readonly string[],
  wait: () => Promise<void>,
): Promise<void> {
  const build = machine.start(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project });
  await Promise.race([wait(), build.ended]);
  build.kill('SIGKILL');
  await build.ended;
  expect(await machine.settled(before)).toEqual(before);
  const left = readdirSync(`${project}/realmfs`).filter((name) => !/^\.realmfs-[^.]+\.partial$/.test(name));
  expect(left.filter((name) => name.startsWith('.'))).toEqual([]);
}

/** Resolves after so many milliseconds. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
