import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PreflightError, UsageError } from '../errors.ts';
import { programRoot } from '../resources.ts';
import { hasCode } from '../system/files.ts';
import type { Owner } from './place.ts';

/** Writes build.conf from the template, never over an existing file. Returns its path. */
export async function writeNew(cwd: string, owner: Owner | undefined): Promise<string> {
  const file = path.join(cwd, 'build.conf');
  try {
    const text = await readFile(path.join(programRoot, 'templates/build.conf'));
    const handle = await open(file, 'wx', 0o644);
    try {
      await handle.writeFile(text);
      if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw new UsageError('there is a build.conf already; it is left as it is');
    throw new PreflightError(`build.conf cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
  return file;
}
