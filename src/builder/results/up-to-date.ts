import path from 'node:path';
import { type Evaluation, words } from '../../config/evaluate.ts';
import { findProgram } from '../../host/tools.ts';
import { knownResultsForm } from '../../store/known-results.ts';
import { keyOf } from '../../store/layers.ts';
import { readSealed } from '../../store/sealed.ts';
import { statOrUndefined } from '../../system/files.ts';
import { findTarget } from '../../targets/all.ts';
import { mustRun } from '../layers/step-groups.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { StepTexts } from '../project/step-texts.ts';
import { buildArchives } from '../steps/packages.ts';
import { type BuildFacts, ownSettings } from '../steps/step-settings.ts';
import { hookVariables } from './binary-hooks.ts';
import { manifestInputs } from './manifest.ts';

/** The key of what comes out of a build: the tree, the targets, and what stands in the manifest. Empty: it cannot be told. */
export async function resultsKey(
  stage: BuildFacts,
  top: string,
  evaluation: Evaluation,
  sources: StepTexts,
  ctx: BuildContext,
): Promise<string> {
  if (top === '') return '';
  const { config } = stage.plan;
  const { packages: _, preModules: __, postModules: ___, ...rest } = config;
  const { customisation, binaryHooks } = stage.plan;
  const always = words(evaluation.variables.get('NOCACHE_STEPS'));
  for (const { step, hook } of binaryHooks) {
    const module = { name: hook.file, origin: 'hook' } as const;
    if (mustRun({ step, module }, await sources.textOf(module), always)) return '';
  }
  return keyOf({
    top,
    framework: sources.framework,
    version: ctx.request.version,
    config: JSON.stringify({ ...rest, raw: undefined }),
    own: JSON.stringify({ ...ownSettings(stage), epoch: stage.sourceDateEpoch, mirrors: [stage.mirror, stage.securityMirror] }),
    manifest: JSON.stringify(await manifestInputs(stage, sources, ctx)),
    programs: await programs(customisation.targets),
    targets: JSON.stringify([customisation.targets, customisation.provides]),
    archives: buildArchives(customisation.archives),
    // They see all of the project.
    hooks: binaryHooks.length === 0 ? '' : `${JSON.stringify(hookVariables(stage, evaluation))} ${await sources.everything()}`,
    keepRootfs: String(ctx.request.keepRootfs),
  });
}

/** The programs that write targets, as far as they can be told apart without running them. */
async function programs(names: readonly string[]): Promise<string> {
  const wanted = [...new Set(['tar', 'xz', 'mkfs.ext4', 'debugfs', ...names.flatMap((name) => Object.keys(findTarget(name).tools ?? {}))])];
  const lines = wanted.map(async (name) => {
    const stat = await statOrUndefined((await findProgram(name)) ?? '/nonexistent');
    return `${name} ${stat?.size} ${stat?.mtimeMs}`;
  });
  return (await Promise.all(lines)).join('\n');
}

/** The names of the results, if the output folder holds those of this key, untouched. */
export async function upToDate(key: string, rootfs: boolean, ctx: BuildContext): Promise<readonly string[] | undefined> {
  const { request } = ctx;
  // What lies below the tree's own folder is not compared.
  if (key === '' || request.noCache || request.rebuildFrom !== '' || rootfs) return undefined;
  const known = await readSealed(path.join(paths.layers, 'results', request.output), knownResultsForm);
  const isSame = known?.key === key && JSON.stringify(known.results) === JSON.stringify(request.results) && request.results.length > 0;
  return isSame ? known.files : undefined;
}
