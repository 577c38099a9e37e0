import { copyProgram } from '../config/project.ts';
import { type HostRepository, knownRepositories } from '../host/mirrors.ts';
import { together } from '../system/together.ts';
import { rootDir } from '../targets/root-dir.ts';
import { findMirrors } from './archive/mirrors.ts';
import { type FinishedTree, finalize } from './finish/finalize.ts';
import { makeSeal } from './layers/layer-key.ts';
import { bootstrapLayer, openLayers, pruneLayers, stageTwoLayers, tidy } from './layers/run-layers.ts';
import { type BuildContext, paths } from './model/context.ts';
import { checkNoCacheSteps, checkStepName, needsProgram, planBuild } from './model/plan.ts';
import { type ReadProject, readConfig } from './project/read-project.ts';
import { frameworkDigest, readSources, type StepTexts } from './project/step-texts.ts';
import { makeResults } from './results/make-results.ts';
import { resultsKey, upToDate } from './results/up-to-date.ts';
import { type StepRunner, shellIn } from './steps/step-runner.ts';

/** What a build has left in the staging folder. */
export interface BuildResult {
  /** Names of files, in the order in which they get their final names; the manifest is the last. */
  readonly files: readonly string[];
  /** Whether the finished tree lies there as `rootfs`. */
  readonly rootfs: boolean;
  /** What the results are made of; empty: they cannot be looked up again. */
  readonly key: string;
  /** They are there already: nothing was done. */
  readonly upToDate: boolean;
}

/** Runs a whole build: one step a line. */
export async function build(ctx: BuildContext): Promise<BuildResult> {
  await tidy(ctx);
  const { config, customisation, evaluation, sources, hosts } = await ctx.steps.run('config', () => readAll(ctx));
  const plan = planBuild(config, customisation, ctx.request);
  ctx.steps.plan(plan.steps);
  checkStepName(ctx.request.rebuildFrom, plan);
  checkNoCacheSteps(evaluation, plan);
  if (needsProgram(plan)) await copyProgram(paths.program, `${paths.library}/program`);
  const mirrors = await findMirrors(config, hosts, ctx);
  const layers = await openLayers(ctx);
  let kept: Promise<void> | undefined;
  // Beside the targets, or after a failure.
  const keepLayers = (): Promise<void> => {
    kept ??= layers.finish().then(() => (layers.hasGrown ? pruneLayers(ctx) : undefined));
    return kept;
  };
  try {
    const seal = await makeSeal(evaluation);
    const { shell } = ctx.request;
    const goOn = await layers.sound(async () => {
      const stage = await bootstrapLayer(plan, mirrors, seal, layers, ctx);
      const steps = await stageTwoLayers(stage, evaluation, sources, seal, layers, ctx);
      const finish = (): Promise<FinishedTree> => ctx.steps.run('finalize', () => finalize(stage, steps.drawn, ctx));
      if (shell !== null) {
        await layers.last(async () => (shell.step === '' ? finish() : undefined));
        return () => lookAround(shell.step === '' ? 'finished' : ctx.steps.current, steps, ctx);
      }
      const rootfs = plan.targets.includes(rootDir.name);
      const key = await resultsKey(stage, layers.top, evaluation, sources, ctx);
      const there = await upToDate(key, rootfs, ctx);
      if (there !== undefined) {
        ctx.steps.note('nothing has changed: the results are up to date');
        return async () => ({ rootfs, key, files: there, upToDate: true });
      }
      if (!layers.hasMissed) ctx.steps.note('every step is taken from its layer; the results are written again');
      const tree = await layers.last(finish);
      return async () => {
        const { files, isRepeatable } = await makeResults({ stage, evaluation, sources, tree, releases: layers.releases }, ctx);
        return { rootfs, key: isRepeatable ? key : '', files, upToDate: false };
      };
    });
    // A fault of it is told at the end.
    keepLayers().catch(() => {});
    return await goOn();
  } finally {
    await keepLayers();
  }
}

/** Opens the user's shell in the tree. There are no results. */
async function lookAround(step: string, steps: StepRunner, ctx: BuildContext): Promise<BuildResult> {
  await shellIn(step, steps, ctx);
  return { files: [], rootfs: false, key: '', upToDate: false };
}

/** What a build is made from; side by side, since apt needs a while. All has ended when this ends. */
async function readAll(ctx: BuildContext): Promise<ReadProject & { sources: StepTexts; hosts: HostRepository[] }> {
  const [read, hosts, framework] = await together([readConfig(ctx), knownRepositories(paths.layers, ctx.runner), frameworkDigest()]);
  return { ...read, sources: readSources(read.evaluation, read.customisation, framework, ctx.runner), hosts };
}
