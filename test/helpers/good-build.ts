import { expect } from 'vitest';
import type { FailingOptions } from './failing-build.ts';
import { bare, type Machine, type Run } from './machine.ts';

/** What `buildWell` is told, but for the machine. */
export type GoodBuildArguments = [name: string, conf: string | Buffer, options?: FailingOptions];

/** A build that must end well; returns the run and what its module `look` wrote to /report. */
export async function buildWell(
  machine: Machine,
  name: string,
  conf: string | Buffer,
  options: FailingOptions = {},
): Promise<{ run: Run; report: string; project: string }> {
  const project = machine.project(name, { 'build.conf': conf, ...options.files });
  if (options.prepare !== undefined) machine.shell(`cd "$1"; ${options.prepare}`, project);
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '-t', '--progress', 'plain', ...(options.args ?? [])], { cwd: project, ...options });
  expect(run.code, run.stderr).toBe(0);
  expect(await machine.settled(before)).toEqual(before);
  return { run, report: machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report', project), project };
}

/** A build.conf whose module `look` reports something. */
export const looking = (conf: string, look: string): string => `${bare}PRE_INSTALL_MODULES=look\nlook() {\n${look}\n}\n${conf}`;
