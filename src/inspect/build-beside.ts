import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { MANIFEST_FORMAT, type Manifest, manifestSchema } from '../records/manifest-schema.ts';
import type { FileEntry } from '../records/mtree.ts';
import { RECORD } from '../records/names.ts';
import { parseMtree } from '../records/read-mtree.ts';
import { hasCode, readForeign, sha256File, statOrUndefined } from '../system/files.ts';
import { targets } from '../targets/all.ts';

/** Bytes of a manifest, and of a list of files: some hundred bytes for each file of a tree. */
const LONGEST = { manifest: 64 * 1024 ** 2, files: 512 * 1024 ** 2 } as const;
const MANIFEST = 'manifest.json';

/** Reads the manifest in a folder, which is called `shown`; undefined: there is none. `isSure`: one that cannot be read is a failure. */
export async function readManifest(folder: string, isSure: boolean, shown = folder): Promise<Manifest | undefined> {
  const file = path.join(folder, MANIFEST);
  const fail = (why: string): undefined => {
    if (isSure) throw new BuilderError(`${path.join(shown, MANIFEST)} ${why}`);
  };
  const bytes = await readForeign(file, LONGEST.manifest).catch((error: unknown) => {
    if (hasCode(error, 'EACCES')) return undefined;
    throw error;
  });
  if (bytes === undefined) return undefined;
  let said: unknown;
  try {
    said = JSON.parse(bytes.toString('utf8'));
  } catch {
    return fail('is no JSON');
  }
  const read = manifestSchema.safeParse(said);
  if (read.success) return read.data;
  const format = said !== null && typeof said === 'object' && 'format' in said ? said.format : undefined;
  return fail(
    format !== undefined && format !== MANIFEST_FORMAT
      ? `is of the format ${String(format)}, and this version reads ${MANIFEST_FORMAT}`
      : 'is no manifest of a build',
  );
}

/** The build that an image comes from, if its folder has a manifest that names this very file. */
export async function buildOf(file: string): Promise<{ readonly manifest: Manifest; readonly folder: string } | undefined> {
  const folder = path.dirname(await realpath(file));
  const manifest = await readManifest(folder, false);
  const own = manifest?.artifacts.find((artifact) => artifact.file === path.basename(file));
  if (manifest === undefined || own === undefined || (await statOrUndefined(file))?.size !== own.size) return undefined;
  return (await sha256File(file)) === own.sha256 ? { manifest, folder } : undefined;
}

/** The list of files that a build has left in its folder; undefined: there is none, or, as notes say, it is no such list. */
export async function filesOfBuild(
  folder: string,
  manifest: Manifest,
): Promise<{ readonly files: Map<string, FileEntry> | undefined; readonly notes: readonly string[] }> {
  const name = `${manifest.name}.mtree`;
  const nothing = (...notes: readonly string[]) => ({ files: undefined, notes });
  if (path.basename(name) !== name) return nothing();
  const file = path.join(folder, name);
  const bytes = await readForeign(file, LONGEST.files);
  if (bytes === undefined) return nothing();
  if (manifest.artifacts.some((artifact) => artifact.file === name && artifact.target !== RECORD))
    return nothing(`${name} is what a hook has made, and not the list of files of the build: it is not used`);
  const sums = (await readForeign(path.join(folder, 'SHA256SUMS')))?.toString('utf8') ?? '';
  const said = sums.split('\n').find((line) => line.slice(66) === name);
  if (said !== undefined && said.slice(0, 64) !== (await sha256File(file)))
    throw new BuilderError(`${file} is not what SHA256SUMS says`, { hint: 'it has been changed since the build' });
  try {
    return { files: parseMtree(bytes.toString('latin1')), notes: [] };
  } catch (error) {
    return nothing(`${name} is not used: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Whether the list of files of a build says what one of its results holds: hooks may have changed results, or have made others. */
export function isListed(manifest: Manifest, artifactFile: string): boolean {
  const artifact = manifest.artifacts.find(({ file }) => file === artifactFile);
  return manifest.inputs.binaryHooks.length === 0 && targets.some(({ name }) => name === artifact?.target);
}
