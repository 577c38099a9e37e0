import { existsSync } from 'node:fs';
import path from 'node:path';
import { bare, Machine, testCache } from './machine.ts';

/** Before the first test of a machine: one build fills the package cache that tests share. */
export default async function prepare(): Promise<void> {
  if (existsSync(path.join(testCache, 'apt'))) return;
  const machine = new Machine();
  try {
    const run = await machine.run(['--no-confirm', '-t'], { cwd: machine.project('first', { 'build.conf': bare }) });
    if (run.code !== 0) throw new Error(`the first build has failed: ${run.stderr}`);
  } finally {
    machine.close();
  }
}
