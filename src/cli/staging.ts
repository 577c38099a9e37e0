import { hintOf, messageOf, PreflightError } from '../errors.ts';
import { type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { namedDisk, outputDisk } from '../system/disk-faults.ts';
import { hasCode } from '../system/files.ts';
import type { HeldFolder } from '../system/held-folder.ts';

/** The file in the staging folder by which the builder is told what to do. */
const REQUEST = 'request.json';

/**
 * A folder in each staging folder: with --no-tmpfs the tree lies in it. By it they are known, since whoever owns the output folder
 * can give their names to other folders of root's that lie there. It is removed last.
 */
const MARK = 'build';

/** Tells the builder what to do. */
export async function writeRequest(staging: HeldFolder, request: unknown): Promise<void> {
  const handle = await staging.create(REQUEST, 0o600);
  try {
    await handle.writeFile(JSON.stringify(request));
  } finally {
    await handle.close();
  }
}

/** Makes a staging folder below the output folder. */
export async function makeStaging(output: HeldFolder): Promise<HeldFolder> {
  try {
    const staging = await output.makeFolder('.realmfs-', '.partial');
    await (await staging.makeNamed(MARK, 0o755)).close();
    return staging;
  } catch (error) {
    const known = namedDisk(error, [outputDisk(output.path)]);
    // What a disk refuses names the folder already.
    const cause = known === error ? `the output folder ${output.path} cannot be written: ${messageOf(error)}` : messageOf(known);
    throw new PreflightError(cause, { step: 'preflight', hint: hintOf(known) });
  }
}

/** The staging folders that ended builds have left in an output folder, for whoever has its lock. */
export async function leftStaging(output: HeldFolder): Promise<HeldFolder[]> {
  const left: HeldFolder[] = [];
  for (const name of (await output.list()).filter((each) => /^\.realmfs-.*\.partial$/.test(each))) {
    const folder = await output.folder(name).catch((error: unknown) => {
      // A link, a file, or gone.
      if (['ELOOP', 'ENOTDIR', 'ENOENT'].some((code) => hasCode(error, code))) return undefined;
      throw error;
    });
    if (folder === undefined) continue;
    if (await isStaging(folder)) left.push(folder);
    else await folder.close();
  }
  return left;
}

async function isStaging(folder: HeldFolder): Promise<boolean> {
  const uid = process.geteuid?.();
  if ((await folder.own()).uid !== uid) return false;
  const mark = await folder.stat(MARK);
  return mark === undefined ? (await folder.list()).length === 0 : mark.isDirectory() && mark.uid === uid;
}

/**
 * Removes staging folders of an output folder whose lock is held. What is not empty is emptied inside a sandbox: never recursively
 * from here.
 */
export async function removeStaging(staging: HeldFolder, output: HeldFolder, cache: string): Promise<void> {
  await staging.remove(REQUEST);
  if (await removeIfEmpty(staging, output)) return;
  const end = await emptyFolder(staging, output, cache);
  if (await removeIfEmpty(staging, output)) return;
  const said = end.exitCode === 0 ? '' : `: ${end.noise.at(-1) ?? 'the sandbox ended'}`;
  throw new Error(`${staging.path} could not be removed${said}; the next build in ${output.path} does`);
}

/** Removes a staging folder that holds nothing but its mark. True if it is gone. */
export async function removeIfEmpty(staging: HeldFolder, output: HeldFolder): Promise<boolean> {
  if ((await staging.list()).some((name) => name !== MARK)) return false;
  const mark = await staging.folder(MARK).catch(() => undefined);
  try {
    if (mark !== undefined && !(await staging.removeFolder(mark))) return false;
  } finally {
    await mark?.close();
  }
  return output.removeFolder(staging);
}

/** Empties a folder below the output folder inside a sandbox. */
export async function emptyFolder(staging: HeldFolder, output: HeldFolder, cache: string): Promise<SandboxEnd> {
  const { silent, release, ended } = startSandbox({
    mode: 'clean',
    staging,
    output,
    left: [],
    cache,
    project: '',
    tmpfsSize: 0,
    onEvent: () => {},
  });
  await silent;
  release();
  return ended;
}
