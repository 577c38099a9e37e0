import path from 'node:path';
import { findSetting, isSecret } from '../../config/settings.ts';
import type { Artifact } from '../../messages/events.ts';
import { MANIFEST_FORMAT, type Manifest, manifestSchema } from '../../records/manifest-schema.ts';
import type { InstalledPackage } from '../../records/packages.ts';
import { version } from '../../resources.ts';
import { hideCredentials } from '../../system/credentials.ts';
import { sha256File, statOrUndefined } from '../../system/files.ts';
import { insideOf } from '../../system/inside.ts';
import { namesIn, plainWord } from '../../system/names.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { linkFree } from '../project/project-file.ts';
import { fileOf, type StepTexts, sha256 } from '../project/step-texts.ts';
import type { BuildFacts } from '../steps/step-settings.ts';

/** SHA256SUMS in the form that `sha256sum --check` reads. */
export function sumsText(artifacts: readonly Artifact[]): string {
  return artifacts.map(({ sha256, file }) => `${sha256}  ${file}\n`).join('');
}

/** What a build is made from, as the manifest says it. */
export async function manifestInputs(
  stage: BuildFacts,
  sources: StepTexts,
  ctx: BuildContext,
): Promise<Omit<Manifest['inputs'], 'releases'>> {
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
  const realmfsFiles = await insideOf(paths.project, 'realmfs-files');
  return {
    config: configName === null ? null : { file: configName, sha256: await sha256Linked(path.join(paths.project, configName)) },
    settings: Object.fromEntries(given.map(([key, value]) => [key, hideCredentials(value)])),
    // Names alone: a password is known to be missing.
    overrides: Object.keys(overrides).filter((key) => findSetting(key)?.type !== 'builder'),
    modules,
    binaryHooks,
    localPackages,
    files: realmfsFiles === undefined ? [] : await digests(realmfsFiles, ''),
  };
}

/** What is said of a build in manifest.json. */
export async function makeManifest(
  stage: BuildFacts,
  made: {
    readonly packages: readonly InstalledPackage[];
    readonly artifacts: readonly Artifact[];
    readonly releases: Readonly<Record<string, string>>;
  },
  sources: StepTexts,
  ctx: BuildContext,
): Promise<Manifest> {
  const { config, customisation } = stage.plan;
  const manifest: Manifest = {
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
    targets: [...customisation.targets],
    inputs: {
      ...(await manifestInputs(stage, sources, ctx)),
      // Their names are made of addresses, which may hold a password.
      releases: Object.entries(made.releases).map(([file, sha256]) => ({ file: file.replace(/^.*@/, ''), sha256 })),
    },
    steps: ctx.steps.records.map((record) => ({ ...record })),
    packages: made.packages.map((one) => ({ ...one })),
    artifacts: made.artifacts.map((artifact) => ({ ...artifact })),
  };
  return manifestSchema.parse(manifest);
}

/** build.conf and modules may be links within the project: what they lead to counts. */
async function sha256Linked(file: string): Promise<string> {
  return sha256File(await linkFree(file));
}

async function digests(folder: string, below: string): Promise<{ file: string; sha256: string }[]> {
  const found: { file: string; sha256: string }[] = [];
  if ((await statOrUndefined(path.join(folder, below)))?.isDirectory() !== true) return found;
  for (const each of await namesIn(path.join(folder, below))) {
    const file = path.posix.join(below, each);
    const stat = await statOrUndefined(path.join(folder, file));
    if (stat?.isDirectory()) found.push(...(await digests(folder, file)));
    else if (stat?.isFile()) found.push({ file: plainWord(file), sha256: await sha256File(path.join(folder, file)) });
  }
  return found;
}
