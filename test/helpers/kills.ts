import { readdirSync } from 'node:fs';
import { expect } from 'vitest';
import type { Machine, Snapshot } from './machine.ts';

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
