import { PreflightError } from '../errors.ts';
import { isRecordFile, SIGNATURE } from '../records/names.ts';
import type { HeldFolder } from '../system/held-folder.ts';
import { isTargetFile } from '../targets/all.ts';
import type { Owner } from './place.ts';

/** Gives the results their final names, the manifest last. */
export async function publish(options: {
  staging: HeldFolder;
  output: HeldFolder;
  files: readonly string[];
  rootfs: boolean;
  owner: Owner | undefined;
  /** Names that results may take the place of, beside those of targets; what else is there is in the way. */
  known: readonly string[];
}): Promise<void> {
  const { staging, output, files, rootfs, owner, known } = options;
  if ((await output.stat(SIGNATURE))?.isDirectory())
    throw new PreflightError(`${output.shown(SIGNATURE)} is a folder: it is the name of a signature`, { step: 'publish' });
  for (const file of files) {
    const there = await output.stat(file);
    if (there?.isDirectory())
      throw new PreflightError(`${output.shown(file)} is a folder: the result cannot take its name`, { step: 'publish' });
    if (there !== undefined && !known.includes(file) && !isTargetFile(file) && !isRecordFile(file))
      throw new PreflightError(`${output.shown(file)} is in the way: it is no result of an earlier build`, {
        step: 'publish',
        hint: 'move it away, or put the results elsewhere with --directory',
      });
    // Where nobody else can reach it.
    await staging.giveTo(file, owner);
  }
  await dropSignature(staging, output);
  for (const file of rootfs ? files.slice(0, -1) : files) await staging.rename(file, output);
  if (rootfs) {
    if ((await output.stat('rootfs')) !== undefined) await output.rename('rootfs', staging, 'replaced-rootfs');
    await staging.rename('rootfs', output);
    for (const manifest of files.slice(-1)) await staging.rename(manifest, output);
  }
  await output.sync();
}

/** A signature is one of these checksums and no others: it stays if they are the same. */
async function dropSignature(staging: HeldFolder, output: HeldFolder): Promise<void> {
  const [is, was] = await Promise.all([staging, output].map((folder) => folder.read('SHA256SUMS')));
  if (is === undefined || was === undefined || !is.equals(was)) await output.remove(SIGNATURE);
}

/** Keeps debootstrap's own log beside ours, if the build has left it. */
export async function publishLog(staging: HeldFolder, output: HeldFolder, owner: Owner | undefined): Promise<void> {
  const name = 'debootstrap.log';
  if (!(await staging.stat(name))?.isFile()) return;
  await staging.giveTo(name, owner);
  await staging.rename(name, output);
}
