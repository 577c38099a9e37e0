import { constants } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { PreflightError, UsageError } from '../errors.ts';
import { programRoot } from '../resources.ts';
import { giveTo, hasCode } from '../system/files.ts';
import type { Owner } from './place.ts';

/** Writes build.conf from the template, never over an existing file. Returns its path. */
export async function writeNew(cwd: string, owner: Owner | undefined): Promise<string> {
  const file = path.join(cwd, 'build.conf');
  try {
    await copyFile(path.join(programRoot, 'templates/build.conf'), file, constants.COPYFILE_EXCL);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw new UsageError('there is a build.conf already; it is left as it is');
    throw new PreflightError(`build.conf cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
  await giveTo(file, owner);
  return file;
}
