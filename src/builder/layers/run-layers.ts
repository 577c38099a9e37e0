import type { Evaluation } from '../../config/evaluate.ts';
import { ConfigError, InterruptedError } from '../../errors.ts';
import type { Mirrors } from '../../host/mirrors.ts';
import { LayerStore } from '../../store/layer-store.ts';
import { waitFor } from '../../store/locks.ts';
import { prune } from '../../store/prune.ts';
import type { Seal } from '../../store/seal.ts';
import { trashOf } from '../../store/take-away.ts';
import { tidyCache } from '../../store/tidy.ts';
import { isToBeAsked, rememberAsked } from '../archive/answers.ts';
import { bootstrapPackages, ownAuthorities } from '../archive/certificates.ts';
import { findProxy } from '../archive/release.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { BuildPlan } from '../model/plan.ts';
import type { StepTexts } from '../project/step-texts.ts';
import { askArchive, stageOne } from '../steps/bootstrap.ts';
import { PackageStep } from '../steps/packages.ts';
import { StepRunner } from '../steps/step-runner.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { bootstrapLayerInputs, buildInputs } from './layer-key.ts';
import { LayerStack } from './layer-stack.ts';
import { canBeUpper, OverlayTree } from './overlay-tree.ts';
import { cutSteps, type StepGroup } from './step-groups.ts';
import { planCut } from './step-job.ts';

/** A build's layers. Where the disk cannot hold any, the build is made without. */
export async function openLayers(ctx: BuildContext): Promise<LayerStack> {
  const isLayered = await canBeUpper(paths.parts);
  if (!isLayered) ctx.steps.note('the disk of the output folder is an overlay itself: this build is made without layers');
  const canKeep = isLayered && ctx.request.layersMaxSize > 0 && (await canBeUpper(paths.layers));
  if (isLayered && ctx.request.layersMaxSize > 0 && !canKeep)
    ctx.steps.note('the disk of the cache folder is an overlay itself: no layer is kept (REALMFS_CACHE_DIR moves it)');
  const tools = { runner: ctx.runner, program: paths.program };
  const store = canKeep ? new LayerStore(paths.layers, tools, ctx.locks) : undefined;
  return new LayerStack(store, paths.layers, new OverlayTree({ root: paths.root, isLayered }, ctx.runner), ctx);
}

/** Takes out of the cache what stands there in the place of something else; warns of it. */
export async function tidy(ctx: BuildContext): Promise<void> {
  const taken = await tidyCache(paths.cache);
  if (taken.length > 0) ctx.steps.warn(`removed from the cache, since another kind of file belongs there: ${taken.join(', ')}`);
}

/** Brings the store below its bound. What this build uses stays. A fault is no failure of the build. */
export async function pruneLayers(ctx: BuildContext): Promise<void> {
  try {
    await prune(paths.layers, ctx.locks, { maxSize: ctx.request.layersMaxSize });
    const trash = trashOf(paths.layers);
    // Two that empty it would be in each other's way.
    await waitFor(ctx.locks, trash, ctx.runner.isStopped, () => {});
    try {
      await ctx.runner.run({ label: 'removing layers', file: 'find', args: [trash, '-xdev', '-mindepth', '1', '-delete'] });
    } finally {
      await ctx.locks.release(trash);
    }
  } catch (error) {
    if (error instanceof InterruptedError) return;
    ctx.steps.warn(`old layers could not be removed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Stage one, from a layer or from debootstrap. */
export async function bootstrapLayer(
  plan: BuildPlan,
  mirrors: Mirrors,
  seal: Seal,
  layers: LayerStack,
  ctx: BuildContext,
): Promise<BuildFacts> {
  const { config } = plan;
  const proxy = await findProxy(mirrors.main, ctx);
  const origin = { mirror: mirrors.main, packages: await bootstrapPackages(plan, mirrors) };
  const access = { proxy, authorities: await ownAuthorities(plan.customisation) };
  const release = { date: 0 };
  await layers.run({
    steps: ['bootstrap'],
    inputs: await bootstrapLayerInputs(config, origin, seal),
    mustRun: false,
    mustBeThere: ctx.request.shell !== null,
    fault: async ({ folder, meta }) => {
      if (!(await isToBeAsked(folder, ctx))) return undefined;
      const now = await askArchive(config, mirrors.main, access, ctx);
      if (meta.releases[now.file] !== now.sha256) return `the archive has changed: ${config.release} is of ${dateText(now.date)}`;
      await rememberAsked(folder);
      return undefined;
    },
    make: () =>
      ctx.steps.run('bootstrap', async () => {
        const made = await stageOne(config, origin, access, ctx);
        release.date = made.date;
        return {
          reads: {},
          releases: { [made.file]: made.sha256 },
          askedAt: ctx.request.offline ? 0 : Date.now() / 1000,
          facts: { releaseDate: String(made.date) },
          state: undefined,
          isRepeatable: true,
        };
      }),
    take: async ({ meta }) => {
      release.date = Number(meta.facts.releaseDate);
    },
  });
  return {
    plan,
    mirror: mirrors.main,
    securityMirror: mirrors.security,
    proxy,
    releaseDate: release.date,
    sourceDateEpoch: config.sourceDateEpoch ?? release.date,
  };
}

function dateText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Stage two, each cut from a layer or by running its steps. */
export async function stageTwoLayers(
  stage: BuildFacts,
  evaluation: Evaluation,
  sources: StepTexts,
  seal: Seal,
  layers: LayerStack,
  ctx: BuildContext,
): Promise<StepRunner> {
  const { plan } = stage;
  const runner = new StepRunner(stage, ctx, sources);
  const packages = new PackageStep(stage, runner, ctx);
  const inputs = buildInputs(stage, evaluation, sources, seal, ctx.request.configName !== null);
  for (const cut of cutsUntil(ctx.request.shell?.step ?? '', plan))
    await layers.run(await planCut({ cut, stage, evaluation, sources, inputs, runner, packages, layers }, ctx));
  return runner;
}

/** The cuts up to a step; all of them if it is empty. */
function cutsUntil(step: string, plan: BuildPlan): readonly StepGroup[] {
  const cuts = cutSteps(plan.stageTwo);
  if (step === '') return cuts;
  if (step === 'bootstrap') return [];
  const last = cuts.findIndex((cut) => cut.step === step || cut.step.replace(/^\w+\//, '') === step);
  if (last >= 0) return cuts.slice(0, last + 1);
  const names = cuts.map((cut) => cut.step).join(', ');
  throw new ConfigError([
    { message: `shell: there is no layer after ${step} (bootstrap, ${names}); modules before the packages share theirs` },
  ]);
}
