import path from 'node:path';
import { PreflightError } from '../errors.ts';
import { ImageError } from '../images/bytes.ts';
import type { Artifact } from '../messages/events.ts';
import type { Reading } from '../messages/reading.ts';
import { parseDpkgStatus } from '../records/dpkg-status.ts';
import type { Manifest } from '../records/manifest-schema.ts';
import type { FileEntry } from '../records/mtree.ts';
import type { InstalledPackage } from '../records/packages.ts';
import { parseMtree } from '../records/read-mtree.ts';
import { statOrUndefined } from '../system/files.ts';
import { buildOf, filesOfBuild, isListed, readManifest } from './build-beside.ts';
import { descriptionOf } from './inspect.ts';
import { isTree, textsOfTree } from './root-folder.ts';

/** One of the two things that `diff` compares. */
export interface Side {
  readonly path: string;
  readonly kind: string;
  readonly description: string;
  /** Bytes of a file; null: it is a folder. */
  readonly size: number | null;
  /** Of the output folder of a build. */
  readonly artifacts: readonly Artifact[] | null;
  readonly packages: readonly InstalledPackage[] | null;
  readonly files: ReadonlyMap<string, FileEntry> | null;
  /** Where the list of files comes from; empty: there is none. */
  readonly filesFrom: string;
  readonly notes: readonly string[];
}

/** Reads an image with all its files, or a tree, in a sandbox. */
export type ReadFiles = (file: string) => Promise<Reading>;

/** Targets in the order in which their files are read with the least effort. */
const CHEAPEST = ['ext4', 'realmfs', 'erofs', 'tarball', 'tarball-zst', 'squashfs', 'tarball-xz', 'squashfs-xz', 'realmfs-xz'];

/** The side that a path names; undefined: the folder is nothing that is known. */
export async function loadSide(file: string, size: number | undefined, isRoot: boolean, read: ReadFiles): Promise<Side | undefined> {
  if (size !== undefined) return imageSide(file, size, read);
  if (await isTree(file)) return treeSide(file, isRoot, read);
  const manifest = await readManifest(file, true);
  return manifest === undefined ? undefined : buildSide(file, manifest, read);
}

async function imageSide(file: string, size: number, read: ReadFiles): Promise<Side> {
  const build = await buildOf(file);
  const name = path.basename(file);
  const known = build === undefined || !isListed(build.manifest, name) ? undefined : await filesOfBuild(build.folder, build.manifest);
  if (build !== undefined && known?.files !== undefined) {
    const target = build.manifest.artifacts.find((artifact) => artifact.file === name)?.target ?? '';
    const common = { path: file, kind: target, description: target, size, packages: build.manifest.packages };
    return side({ ...common, files: known.files, filesFrom: 'the list of files of its build' });
  }
  const reading = await read(file);
  const { kind, compression, facts, notes } = reading;
  return side({
    path: file,
    kind,
    description: descriptionOf(kind, compression, facts),
    size,
    ...contentOf(file, reading),
    notes: [...(known?.notes ?? []), ...notes],
  });
}

async function treeSide(file: string, isRoot: boolean, read: ReadFiles): Promise<Side> {
  if (!isRoot) throw new PreflightError(`${file}: to read all files of a root folder, and to see their owners, takes root`);
  const texts = await textsOfTree(file);
  const { files } = await read(file);
  return side({ path: file, kind: 'tree', description: descriptionOf('tree', '', {}), ...contentOf(file, { ...texts, files }) });
}

async function buildSide(folder: string, manifest: Manifest, read: ReadFiles): Promise<Side> {
  const { artifacts, packages } = manifest;
  const common = { path: folder, kind: 'build', description: 'output folder of a build', artifacts, packages };
  const known = await filesOfBuild(folder, manifest);
  if (known.files !== undefined) return side({ ...common, files: known.files, filesFrom: 'the list of files of the build' });
  for (const target of CHEAPEST) {
    const artifact = artifacts.find((one) => one.target === target);
    const file = artifact === undefined ? '' : path.join(folder, path.basename(artifact.file));
    if (artifact === undefined || (await statOrUndefined(file))?.size !== artifact.size) continue;
    const { files, filesFrom, notes } = contentAndNotes(await read(file), artifact.file);
    return side({ ...common, files, filesFrom, notes: [...known.notes, ...notes] });
  }
  return side({
    ...common,
    notes: [...known.notes, 'it has neither a list of files nor a result whose files can be read: only packages are compared'],
  });
}

function contentAndNotes(reading: Reading, name: string) {
  const { files } = contentOf(name, reading);
  return { files, filesFrom: files === null ? '' : name, notes: reading.notes };
}

function contentOf(file: string, { files, dpkgStatus }: Pick<Reading, 'files' | 'dpkgStatus'>) {
  return {
    files: files === null ? null : filesIn(file, files),
    filesFrom: files === null ? '' : 'itself',
    packages: dpkgStatus === null ? null : parseDpkgStatus(dpkgStatus),
  };
}

/** A list that the reader has made of an image: what no list can hold is in the image. */
function filesIn(file: string, list: string): Map<string, FileEntry> {
  try {
    return parseMtree(list);
  } catch (error) {
    throw new ImageError(`${file}: cannot be compared: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function side(known: Pick<Side, 'path' | 'kind' | 'description'> & Partial<Side>): Side {
  return { size: null, artifacts: null, packages: null, files: null, filesFrom: '', notes: [], ...known };
}
