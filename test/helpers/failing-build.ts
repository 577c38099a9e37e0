import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { Machine, Run, RunOptions } from './machine.ts';

/** How a build that must fail is run. */
export interface FailingOptions extends RunOptions {
  readonly args?: readonly string[];
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** A script that runs in the project first. */
  readonly prepare?: string;
}

/** A build that must fail: the promised last line and exit code, nothing left, the old result untouched. */
export async function failingBuild(
  machine: Machine,
  name: string,
  conf: string | Buffer,
  code: number,
  cause: string | RegExp,
  options: FailingOptions = {},
): Promise<Run> {
  const project = machine.project(name, { 'build.conf': conf, 'realmfs/realmfs-rootfs.tar': 'the good one', ...options.files });
  if (options.prepare !== undefined) machine.shell(`cd "$1"; ${options.prepare}`, project);
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '-t', ...(options.args ?? [])], { cwd: project, ...options });
  const log = path.join(project, 'realmfs/realmfs-build.log');
  expect(run.lastLine, run.stderr).toMatch(
    typeof cause === 'string' ? new RegExp(`^${cause.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`) : cause,
  );
  expect(run.stderr.match(/^realmfs-builder: error: /gm)).toHaveLength(1);
  if (run.lastLine.includes('; log: ')) expect(run.lastLine.endsWith(`; log: ${log}`)).toBe(true);
  expect(run.code).toBe(code);
  expect(run.stdout).toBe('');
  expect(run.stderr).not.toMatch(/^\s+at .*\.js:\d/m);
  expect(await machine.settled(before)).toEqual(before);
  expect(readdirSync(path.join(project, 'realmfs')).filter((file) => file.startsWith('.'))).toEqual([]);
  expect(readFileSync(path.join(project, 'realmfs/realmfs-rootfs.tar'), 'utf8')).toBe('the good one');
  return run;
}
