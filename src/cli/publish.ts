import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { isRecordFile, SIGNATURE } from '../records/names.ts';
import { giveTo, readForeign, removeFile, statOrUndefined, syncPath } from '../system/files.ts';
import { isTargetFile } from '../targets/all.ts';
import type { Owner } from './place.ts';

/** Gives the results their final names, the manifest last. Returns their paths. */
export async function publish(options: {
  staging: string;
  output: string;
  files: readonly string[];
  rootfs: boolean;
  owner: Owner | undefined;
  /** Names that results may take the place of, beside those of targets; what else is there is in the way. */
  known: readonly string[];
}): Promise<string[]> {
  const { staging, output, files, rootfs, owner, known } = options;
  const moves: [from: string, to: string][] = [];
  if ((await statOrUndefined(path.join(output, SIGNATURE)))?.isDirectory())
    throw new PreflightError(`${path.join(output, SIGNATURE)} is a folder: it is the name of a signature`, { step: 'publish' });
  for (const file of files) {
    const final = path.join(output, file);
    const there = await statOrUndefined(final);
    if (there?.isDirectory()) throw new PreflightError(`${final} is a folder: the result cannot take its name`, { step: 'publish' });
    if (there !== undefined && !known.includes(file) && !isTargetFile(file) && !isRecordFile(file))
      throw new PreflightError(`${final} is in the way: it is no result of an earlier build`, {
        step: 'publish',
        hint: 'move it away, or put the results elsewhere with --directory',
      });
    await giveTo(path.join(staging, file), owner);
    moves.push([path.join(staging, file), final]);
  }
  if (rootfs) {
    const kept = path.join(output, 'rootfs');
    const manifest = moves.splice(-1);
    if ((await statOrUndefined(kept)) !== undefined) moves.push([kept, path.join(staging, 'replaced-rootfs')]);
    moves.push([path.join(staging, 'rootfs'), kept], ...manifest);
  }
  await dropSignature(staging, output);
  for (const [from, to] of moves) await rename(from, to);
  await syncPath(output);
  return [...(rootfs ? [path.join(output, 'rootfs')] : []), ...files.map((file) => path.join(output, file))];
}

/** A signature is one of these checksums and no others: it stays if they are the same. */
async function dropSignature(staging: string, output: string): Promise<void> {
  const [is, was] = await Promise.all([staging, output].map((folder) => readForeign(path.join(folder, 'SHA256SUMS'))));
  if (is === undefined || was === undefined || !is.equals(was)) await removeFile(path.join(output, SIGNATURE));
}

/** Keeps debootstrap's own log beside ours, if the build has left it. */
export async function publishLog(staging: string, output: string, owner: Owner | undefined): Promise<void> {
  const from = path.join(staging, 'debootstrap.log');
  if (!(await statOrUndefined(from))?.isFile()) return;
  await giveTo(from, owner);
  await rename(from, path.join(output, 'debootstrap.log'));
}

/** Staging folders in the output folder. */
export async function stagingFolders(output: string): Promise<string[]> {
  return (await readdir(output)).filter((name) => /^\.realmfs-.*\.partial$/.test(name)).map((name) => path.join(output, name));
}
