import { readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { z } from 'zod';
import { findSetting, isSecret } from '../config/settings.ts';
import { BuilderError } from '../errors.ts';
import type { Artifact } from '../events.ts';
import { MANIFEST_FORMAT, manifestSchema } from '../records/manifest-schema.ts';
import { parsePackageList } from '../records/packages.ts';
import { version } from '../resources.ts';
import { readForeign, sha256File, statOrUndefined, writeWhole } from '../system/files.ts';
import { type BuildContext, paths } from './context.ts';
import { hideCredentials } from './failures.ts';
import { fileOf, type Sources, sha256 } from './sources.ts';
import type { Stage } from './stage.ts';

/** SHA256SUMS in the form that `sha256sum --check` reads. */
export function sumsText(artifacts: readonly Artifact[]): string {
  return artifacts.map(({ sha256, file }) => `${sha256}  ${file}\n`).join('');
}

/** What a build is made from, as the manifest says it. */
export async function manifestInputs(stage: Stage, sources: Sources, ctx: BuildContext): Promise<z.infer<typeof manifestSchema>['inputs']> {
  const { configName, overrides, environment, envFile } = ctx.request;
  const modules = [];
  for (const { step, module } of stage.plan.stageTwo) {
    const file = fileOf(module);
    const files = Object.entries(await sources.filesOf(module)).map((entry) => entry.join(' '));
    const digest = file !== undefined ? await sha256Linked(file) : files.length > 0 ? sha256(files.join('\n')) : undefined;
    modules.push({ step, origin: module.origin, ...(digest === undefined ? {} : { sha256: digest }) });
  }
  const binaryHooks = [];
  for (const { step, hook } of stage.plan.binaryHooks)
    binaryHooks.push({ step, file: hook.file, sha256: await sha256Linked(path.join(paths.project, hook.file)) });
  const localPackages = stage.plan.customisation.localPackages.map(({ scripts: _, ...one }) => one);
  const given = Object.entries({ ...envFile, ...environment, ...overrides }).filter(
    ([key]) => !isSecret(key) && findSetting(key)?.type !== 'builder',
  );
  return {
    config: configName === null ? null : { file: configName, sha256: await sha256Linked(path.join(paths.project, configName)) },
    settings: Object.fromEntries(given.map(([key, value]) => [key, hideCredentials(value)])),
    modules,
    binaryHooks,
    localPackages,
    files: await digests(`${paths.project}/realmfs-files`, ''),
  };
}

/** Writes manifest.json and SHA256SUMS to the staging folder. */
export async function writeManifest(
  stage: Stage,
  packageList: string,
  artifacts: readonly Artifact[],
  sources: Sources,
  ctx: BuildContext,
): Promise<void> {
  const { config } = stage.plan;
  const manifest: z.infer<typeof manifestSchema> = {
    format: MANIFEST_FORMAT,
    builder: { name: 'realmfs-builder', version },
    name: config.name,
    release: config.release,
    arch: config.arch,
    profile: config.profile,
    mirror: hideCredentials(stage.mirror),
    imageMirror: hideCredentials(config.imageMirror || stage.mirror),
    securityMirror: hideCredentials(stage.securityMirror),
    components: [...config.components],
    sourceDateEpoch: stage.sourceDateEpoch,
    releaseDate: stage.releaseDate,
    checkDates: config.checkDates,
    keyring: config.keyring,
    extraSources: hideCredentials(config.extraSources.text),
    extraPins: config.extraPins,
    network: config.network,
    inputs: await manifestInputs(stage, sources, ctx),
    steps: ctx.steps.records.map((record) => ({ ...record })),
    packages: parsePackageList(await packageText(packageList)),
    artifacts: artifacts.map((artifact) => ({ ...artifact })),
  };
  await writeWhole(`${paths.staging}/SHA256SUMS`, sumsText(artifacts));
  await writeWhole(`${paths.staging}/manifest.json`, `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`);
}

async function packageText(file: string): Promise<string> {
  const bytes = await readForeign(file);
  if (bytes === undefined) throw new BuilderError('finalize has left no list of packages behind', { step: 'manifest' });
  return bytes.toString('utf8');
}

/** build.conf and modules may be links within the project: what they lead to counts. */
async function sha256Linked(file: string): Promise<string> {
  return sha256File(await realpath(file));
}

async function digests(folder: string, below: string): Promise<{ file: string; sha256: string }[]> {
  const found: { file: string; sha256: string }[] = [];
  const stat = await statOrUndefined(folder);
  if (stat === undefined || !stat.isDirectory()) return found;
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = path.posix.join(below, entry.name);
    if (entry.isDirectory()) found.push(...(await digests(path.join(folder, entry.name), name)));
    else if (entry.isFile()) found.push({ file: name, sha256: await sha256File(path.join(folder, entry.name)) });
  }
  return found;
}
