import { lstat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hintOf, messageOf, PreflightError } from '../errors.ts';
import { type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { namedDisk, outputDisk } from '../system/disk-faults.ts';
import { makeFolder, removeEmpty, removeFile, statOrUndefined } from '../system/files.ts';

/** The file in the staging folder by which the builder is told what to do. */
const REQUEST = 'request.json';

/** The folder in which a build works, and its device and inode. */
export interface Staging {
  readonly staging: string;
  readonly stagingId: string;
}

/** Tells the builder what to do. */
export async function writeRequest({ staging }: Staging, request: unknown): Promise<void> {
  await writeFile(path.join(staging, REQUEST), JSON.stringify(request), { flag: 'wx', mode: 0o600 });
}

/** Makes a staging folder below the output folder. */
export async function makeStaging(output: string): Promise<Staging> {
  try {
    const staging = await makeFolder(output, '.realmfs-', '.partial');
    const { dev, ino, uid } = await lstat(staging, { bigint: true });
    if (uid !== 0n) throw new Error(`${staging} does not belong to root`);
    return { staging, stagingId: `${dev}:${ino}` };
  } catch (error) {
    const known = namedDisk(error, [outputDisk(output)]);
    throw new PreflightError(`the output folder ${output} cannot be written: ${messageOf(known)}`, {
      step: 'preflight',
      hint: hintOf(known),
    });
  }
}

/**
 * Removes this build's staging folder, and those in `left`, which the builder has emptied. What is
 * not empty is emptied inside a sandbox: never recursively from here.
 */
export async function removeStaging(
  { staging, stagingId }: Staging,
  left: readonly string[],
  output: string,
  cache: string,
): Promise<void> {
  await removeFile(path.join(staging, REQUEST));
  if (!(await removeEmpty(staging))) {
    // A build that has begun in the meantime holds the lock, and empties what it finds.
    if ((await emptyFolder({ staging, stagingId }, output, cache)).locked) return;
    if (!(await removeEmpty(staging))) throw new Error(`${staging} could not be emptied; the next build in ${output} does`);
  }
  for (const folder of left) if ((await statOrUndefined(folder))?.isDirectory()) await removeEmpty(folder);
}

/** Empties a folder below the output folder inside a sandbox, and those that killed builds have left there. */
export async function emptyFolder(folder: Staging, output: string, cache: string): Promise<SandboxEnd> {
  const { silent, release, ended } = startSandbox({
    mode: 'clean',
    ...folder,
    output,
    cache,
    project: '',
    tmpfsSize: 0,
    onEvent: () => {},
  });
  await silent;
  release();
  return ended;
}
