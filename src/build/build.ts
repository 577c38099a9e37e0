import { readdir } from 'node:fs/promises';
import type { Config } from '../config/config.ts';
import { copyProgram } from '../config/project.ts';
import { together } from '../system/together.ts';
import { rootDir } from '../targets/root-dir.ts';
import { type BuildContext, paths } from './context.ts';
import { shellIn } from './cut-layer.ts';
import { finalize } from './finalize.ts';
import { makeSeal } from './layer-inputs.ts';
import { bootstrapLayer, checkNoCacheSteps, checkStepName, openLayers, pruneLayers, stageTwoLayers, tidy } from './layer-steps.ts';
import { chooseMirrors, type HostRepository, knownRepositories, type Mirrors } from './mirror.ts';
import { type BuildPlan, planBuild } from './plan.ts';
import { type ReadProject, readConfig } from './read-project.ts';
import { listFiles, writeRecords } from './records.ts';
import { resultsKey, upToDate } from './results.ts';
import { frameworkDigest, readSources, type Sources } from './sources.ts';
import { defaultMirror } from './stage-one.ts';
import { writeTargets } from './targets.ts';

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
    const row = await layers.sound(async () => {
      const stage = await bootstrapLayer(plan, mirrors, seal, layers, ctx);
      const steps = await stageTwoLayers(stage, evaluation, sources, seal, layers, ctx);
      if (ctx.request.shell !== null) {
        await layers.open();
        return { stage, steps };
      }
      const key = await resultsKey(stage, layers.top, evaluation, sources, ctx);
      const results = { rootfs: plan.targets.includes(rootDir.name), key };
      const there = await upToDate(key, results.rootfs, ctx);
      if (there === undefined) await layers.open();
      return { stage, steps, results, there };
    });
    const { stage, steps, results, there } = row;
    if (results === undefined) {
      if (ctx.request.shell?.step === '') await ctx.steps.run('finalize', () => finalize(stage, steps.drawn, ctx));
      await shellIn(ctx.request.shell?.step === '' ? 'finished' : ctx.steps.current, steps, ctx);
      return { files: [], rootfs: false, key: '', upToDate: false };
    }
    if (there !== undefined) {
      ctx.steps.note('nothing has changed: the results are up to date');
      return { ...results, files: there, upToDate: true };
    }
    if (!layers.hasMissed) ctx.steps.note('every step is taken from its layer; the results are written again');
    // A fault of it is told at the end.
    keepLayers().catch(() => {});
    const { lists, survey } = await ctx.steps.run('finalize', () => finalize(stage, steps.drawn, ctx));
    const listing = listFiles(survey);
    const { artifacts, isRepeatable } = await writeTargets(stage, evaluation, survey, ctx).catch(async (error: unknown) => {
      await listing.stop();
      throw error;
    });
    const made = { artifacts, releases: layers.releases, lists, listing };
    const files = await ctx.steps.run('manifest', () => writeRecords(stage, made, sources, ctx));
    await checkThere(files);
    return { ...results, key: isRepeatable ? results.key : '', files, upToDate: false };
  } finally {
    await keepLayers();
  }
}

/** What a build is made from; side by side, since apt needs a while. All has ended when this ends. */
async function readAll(ctx: BuildContext): Promise<ReadProject & { sources: Sources; hosts: HostRepository[] }> {
  const [read, hosts, framework] = await together([readConfig(ctx), knownRepositories(paths.layers, ctx.runner), frameworkDigest()]);
  return { ...read, sources: readSources(read.evaluation, read.customisation, framework, ctx.runner), hosts };
}

/** The module that puts the program into the image. */
const SELF = 'install-realmfs-builder';

/** Whether a step puts the program into the image. */
export function needsProgram(plan: BuildPlan): boolean {
  return plan.stageTwo.some(({ module }) => module.name === SELF && module.origin === 'built-in');
}

/** The mirrors of a build; warns if one is missing. */
export async function findMirrors(config: Config, hosts: readonly HostRepository[], ctx: BuildContext): Promise<Mirrors> {
  const found = chooseMirrors({ main: config.mirror, security: config.securityMirror }, hosts);
  const mirrors = found.main === '' ? chooseMirrors({ main: await defaultMirror(), security: config.securityMirror }, []) : found;
  if (mirrors.security === '')
    ctx.steps.warn('no mirror of security updates is known: the image names none (DEBIAN_SECURITY_MIRROR sets one)');
  return mirrors;
}

async function checkThere(files: readonly string[]): Promise<void> {
  const there = new Set(await readdir(paths.staging));
  const missing = files.filter((file) => !there.has(file));
  if (missing.length > 0) throw new Error(`not written: ${missing.join(', ')}`);
}
