import path from 'node:path';
import type { Evaluation } from '../../config/evaluate.ts';
import { toFailure } from '../../errors.ts';
import type { Layer } from '../../store/layers.ts';
import { aptLists, isToBeAsked, releasesIn, rememberAsked } from '../archive/answers.ts';
import { drawnSince } from '../finish/identities.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { parseDrawn } from '../model/drawn.ts';
import { hasShell, isForeign, type StepPlan } from '../model/plan.ts';
import type { StepTexts } from '../project/step-texts.ts';
import { BaseFiles } from '../steps/base-files.ts';
import { Folders } from '../steps/folders.ts';
import type { PackageStep } from '../steps/packages.ts';
import { type StepRunner, shellIn } from '../steps/step-runner.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import type { LayerJob, Made } from './layer-job.ts';
import { isShellHandedOn, layerFault, layerInputs, runsAlways } from './layer-key.ts';
import type { LayerStack } from './layer-stack.ts';
import { type BuildInputs, type StepGroup, saysNoCache, seesProject, WHOLE_PROJECT } from './step-groups.ts';

/** The exit code of a shell by which its `retry` says what it wants. */
const RETRY = 77;

/** What a cut of stage two needs. */
export interface CutContext {
  readonly cut: StepGroup;
  readonly stage: BuildFacts;
  readonly evaluation: Evaluation;
  readonly sources: StepTexts;
  readonly inputs: BuildInputs;
  readonly runner: StepRunner;
  readonly packages: PackageStep;
  readonly layers: LayerStack;
}

/** How the steps of a cut are looked up, run and kept. */
export async function planCut(context: CutContext, ctx: BuildContext): Promise<LayerJob> {
  const { cut, stage, evaluation, sources, runner } = context;
  const isPackages = cut.step === 'packages';
  const before: Before = {};
  const inputs = await layerInputs(cut, stage, context.inputs, await handedOn(runner));
  return {
    steps: cut.steps.map(({ step }) => step),
    inputs,
    mustRun: await runsAlways(cut, evaluation, sources),
    fault: async (layer) => (await layerFault(layer, sources, ctx)) ?? (isPackages ? archiveFault(layer, context, ctx) : undefined),
    begin: () => {
      if (cut.steps.some(isForeign)) runner.begin();
    },
    make: () => make(context, before, WHOLE_PROJECT in inputs, ctx),
    mustBeThere: ctx.request.shell !== null,
    onFailure: async (error, canRetry) => {
      if (!ctx.request.shellOnFailure) return false;
      return (await shellIn(ctx.steps.current, runner, ctx, { failure: toFailure(error, ctx.steps.current), canRetry })) === RETRY;
    },
    take: async (layer) => {
      takeState(layer, runner);
      if (isPackages) runner.drawn = parseDrawn(layer.meta.facts.drawn);
      for (const text of JSON.parse(layer.meta.facts.warnings ?? '[]')) ctx.steps.warn(String(text));
    },
  };
}

/** What a first try has found: a second one begins with the same. */
interface Before {
  state?: string | undefined;
}

/** `counts`: the layer depends on all of the project. */
async function make(context: CutContext, before: Before, counts: boolean, ctx: BuildContext): Promise<Made> {
  const { cut, stage, sources, runner, packages } = context;
  const { plan } = stage;
  const isPackages = cut.step === 'packages';
  if ('state' in before) runner.state = before.state;
  else before.state = runner.state;
  runner.forget();
  if (isPackages) await packages.prepare();
  const base = new BaseFiles(paths.root);
  if (isPackages) await base.begin();
  const last = plan.stageTwo.findLast(hasShell);
  const folders = new Folders(plan.customisation, runner, ctx);
  for (const step of cut.steps)
    await ctx.steps.run(step.step, async () => {
      if (!hasShell(step)) return folders.run(step.module);
      if (step.step === 'packages') await folders.remember();
      // Of steps that share a layer only those that name the project see it.
      runner.seesProject = counts && (await seesProject([step], context.inputs, await handedOn(runner)));
      const isLast = step === last;
      const started = Date.now() / 1000;
      if (isBuiltInPackages(step)) runner.state = await packages.run(isLast);
      else if (!isPackages || step.module.origin !== 'built-in') runner.state = await runner.run(step.module, isLast);
      else runner.state = await base.during((names) => runner.run(step.module, isLast, { 'of-project': names }));
      // The last one hands nothing on: there is no such file.
      if (isLast) runner.state = undefined;
      if (step.step !== 'packages') return;
      await folders.putBack();
      runner.drawn = await drawnSince(started, ctx);
    });
  if (isPackages) await packages.putAway();
  const { reads, warnings, open } = runner.forget();
  // Our own modules fetch nothing but packages, and fail without them.
  const hadNetwork = !ctx.request.offline || !cut.steps.some(isForeign) || !plan.config.network;
  if (open) ctx.steps.note(`${cut.step} leaves background jobs or open files: nothing from here on is kept for the next build`);
  const called = await Promise.all(reads.filter((read) => read.startsWith('module ')).map((read) => sources.calledText(read.slice(7))));
  // Only of the built-in step is it known how to ask again.
  const asks = cut.steps.some(isBuiltInPackages);
  return {
    reads: Object.fromEntries(await Promise.all(reads.map(async (read) => [read, await sources.lookUp(read)]))),
    releases: asks ? await releasesIn(aptLists) : {},
    askedAt: asks ? packages.askedAt : 0,
    facts: {
      warnings: JSON.stringify(warnings),
      ...(isPackages ? { drawn: JSON.stringify(runner.drawn) } : {}),
      ...(hadNetwork ? {} : { offline: 'yes' }),
    },
    state: isShellHandedOn(cut, plan) ? runner.state : undefined,
    isRepeatable: !open && !called.some(saysNoCache),
  };
}

function isBuiltInPackages({ step, module }: StepPlan): boolean {
  return step === 'packages' && module.origin === 'built-in';
}

/** The shell of a layer's last step, for the next one; the last of all hands nothing on. */
function takeState({ folder, meta }: Layer, runner: StepRunner): void {
  runner.state = meta.state === '' ? undefined : path.join(folder, 'state.sh');
}

/** The text of the shell that the next step begins with. */
async function handedOn(runner: StepRunner): Promise<string> {
  return runner.state === undefined ? '' : runner.handedBack(runner.state);
}

/** Whether the Release files of a layer's packages are still those of the archive; asks it if that was not done for a while. */
async function archiveFault(layer: Layer, { runner, packages, layers }: CutContext, ctx: BuildContext): Promise<string | undefined> {
  const { folder, meta } = layer;
  if (Object.keys(meta.releases).length === 0 || !(await isToBeAsked(folder, ctx))) return undefined;
  const before = runner.state;
  const newer = await layers.lookInto(layer, async () => {
    takeState(layer, runner);
    runner.seesProject = WHOLE_PROJECT in meta.inputs;
    await packages.update();
    const now = await releasesIn(aptLists);
    const changed = Object.keys({ ...now, ...meta.releases }).filter((name) => now[name] !== meta.releases[name]);
    if (changed.length === 0) return undefined;
    const suites = changed.map((name) => name.replace(/^.*_dists_/, '').replace(/_(?:In)?Release$/, ''));
    return [`the archive has changed: ${suites.join(', ')}`, ...(await packages.newer())];
  });
  runner.forget();
  runner.state = before;
  if (newer === undefined) await rememberAsked(folder);
  return newer?.join('; ');
}
