import { copyFile, stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { BuilderError } from '../../errors.ts';
import type { Artifact } from '../../messages/events.ts';
import { RECORD, recordNames } from '../../records/names.ts';
import { packageLines } from '../../records/packages.ts';
import { provenance } from '../../records/provenance.ts';
import { spdxDocument } from '../../records/spdx.ts';
import { version } from '../../resources.ts';
import { hasCode, sha256File, syncPath, writeWhole } from '../../system/files.ts';
import { type Survey, unlisted } from '../finish/survey.ts';
import type { TreeLists } from '../finish/tree-lists.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { explained } from '../model/failures.ts';
import type { StepTexts } from '../project/step-texts.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { makeManifest, sumsText } from './manifest.ts';

/** Memory for the newest objects of the thread that lists files, in MiB. */
const YOUNG_MEBIBYTES = 8;

/** A list of the tree's files that is being made. */
export interface FileListing {
  /** Rejected if it cannot be made. */
  readonly done: Promise<void>;
  /** Nobody wants it any more. */
  stop(): Promise<unknown>;
}

/** Begins to list and hash the finished tree, in a thread of its own: the targets are written meanwhile. Zeros without end are not hashed. */
export function listFiles(survey: Survey): FileListing {
  const worker = new Worker(`${paths.program}/dist/file-list.js`, {
    workerData: { root: paths.root, file: `${paths.work}/files.mtree`, unlisted: unlisted(survey) },
    // What a file leaves behind is garbage at once: more room would only hold more of it.
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES },
  });
  const done = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the list of files ended with exit code ${code}`))));
  });
  // Who waits for it is told.
  done.catch(() => {});
  return { done, stop: () => worker.terminate() };
}

/**
 * Writes what describes a build beside its artefacts: the lists of packages and files, the bill of materials, the provenance,
 * SHA256SUMS, manifest.json. A file of the same name that a hook has made stays. Returns all names of results.
 */
export async function writeRecords(
  stage: BuildFacts,
  made: {
    readonly artifacts: readonly Artifact[];
    readonly releases: Readonly<Record<string, string>>;
    readonly lists: TreeLists;
    readonly listing: FileListing;
  },
  sources: StepTexts,
  ctx: BuildContext,
): Promise<string[]> {
  const { name } = stage.plan.config;
  const names = recordNames(name);
  const artifacts = [...made.artifacts];
  const { packages } = made.lists;
  const add = async (file: string, make: (where: string) => Promise<void>): Promise<void> => {
    if (artifacts.some((artifact) => artifact.file === file)) {
      ctx.steps.note(`${file} is what a hook has made`);
      return;
    }
    const where = `${paths.staging}/${file}`;
    await make(where);
    artifacts.push({ target: RECORD, file, size: (await stat(where)).size, sha256: await sha256File(where) });
  };
  const write = (file: string, text: string): Promise<void> => add(file, (where) => writeWhole(where, text));
  await explained(paths.staging, async () => {
    await write(names.packages, packageLines(packages));
    await add(names.files, (where) => takeFileList(made.listing, where));
    await write(names.sbom, jsonText(billOfMaterials(stage, made.lists, artifacts)));
    const parts = { packages, artifacts, releases: made.releases };
    await write(names.provenance, jsonText(provenance(await makeManifest(stage, parts, sources, ctx))));
    const manifest = await makeManifest(stage, parts, sources, ctx);
    await writeWhole(`${paths.staging}/SHA256SUMS`, sumsText(artifacts));
    await writeWhole(`${paths.staging}/manifest.json`, jsonText(manifest));
    await syncPath(paths.staging);
  });
  return [...artifacts.map(({ file }) => file), 'SHA256SUMS', 'manifest.json'];
}

/** It is as long as the tree has files: it is not read. */
async function takeFileList({ done }: FileListing, where: string): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!hasCode(error, 'ENAMETOOLONG')) throw error;
    throw new BuilderError('the tree has a path of more than 4096 bytes: its files cannot be listed', { step: 'manifest', cause: error });
  }
  await copyFile(`${paths.work}/files.mtree`, where);
  await syncPath(where);
}

function billOfMaterials(stage: BuildFacts, { packages, licences }: TreeLists, artifacts: readonly Artifact[]): object {
  const { name, release } = stage.plan.config;
  return spdxDocument({
    name,
    release,
    builder: { name: 'realmfs-builder', version },
    created: stage.sourceDateEpoch,
    packages,
    licences,
    // The list of files is among them.
    identity: artifacts.map(({ sha256 }) => sha256).join(),
  });
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
