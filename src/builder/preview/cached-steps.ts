import path from 'node:path';
import type { Evaluation } from '../../config/evaluate.ts';
import type { Mirrors } from '../../host/mirrors.ts';
import { BELOW_RUNS, RUNS_WITH, type StepState } from '../../messages/plan.ts';
import { lastBuild } from '../../store/last-build.ts';
import { stateFault } from '../../store/layer-check.ts';
import { keyOf, type Layer, layersOf } from '../../store/layers.ts';
import { readForeign, statOrUndefined } from '../../system/files.ts';
import { secondsSinceAsked } from '../archive/answers.ts';
import { bootstrapPackages } from '../archive/certificates.ts';
import { bootstrapLayerInputs, buildInputs, layerFault, layerInputs, makeSeal, runsAlways } from '../layers/layer-key.ts';
import { cutSteps } from '../layers/step-groups.ts';
import { differences } from '../layers/why-it-runs.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { BuildPlan } from '../model/plan.ts';
import { frameworkDigest, readSources } from '../project/step-texts.ts';

/** Looks at the store as a build would, and changes nothing. Undefined: the store cannot be seen. */
export async function planLayers(
  plan: BuildPlan,
  mirrors: Mirrors,
  evaluation: Evaluation,
  ctx: BuildContext,
): Promise<ReadonlyMap<string, StepState> | undefined> {
  if (ctx.request.layersMaxSize === 0 || (await statOrUndefined(paths.layers)) === undefined) return undefined;
  const states = new Map<string, StepState>();
  const sources = readSources(evaluation, plan.customisation, await frameworkDigest(), ctx.runner);
  const seal = await makeSeal(evaluation);
  let below: Layer | undefined;
  /** Looks a layer up; undefined: the steps run. */
  const look = async (steps: readonly string[], inputs: Readonly<Record<string, string>>, always: boolean): Promise<Layer | undefined> => {
    const last = steps.at(-1) ?? '';
    const whole = { ...inputs, 'the layer below': below?.meta.id ?? '' };
    const faults: string[] = [];
    for (const layer of always ? [] : await layersOf(paths.layers, keyOf(whole))) {
      const damaged = await stateFault(layer);
      const fault = damaged === undefined ? await layerFault(layer, sources, ctx) : `its layer is damaged: ${damaged}`;
      if (fault === undefined) {
        const isOld = (await secondsSinceAsked(layer.folder)) >= ctx.request.archiveAge && Object.keys(layer.meta.releases).length > 0;
        for (const step of steps) states.set(step, { cached: true, why: isOld ? ['unless the archive has changed: it is asked'] : [] });
        return layer;
      }
      faults.push(fault);
    }
    const before = (await lastBuild(paths.layers, ctx.request.project, last))?.inputs;
    const reasons = before === undefined ? ['no build of this project has made it'] : differences(before, whole);
    const why = always ? ['it runs in every build: "cache: no", or NOCACHE_STEPS'] : faults.length > 0 ? faults : reasons;
    for (const step of steps) states.set(step, { cached: false, why: step === last ? why : [`${RUNS_WITH}${last}`] });
    return undefined;
  };
  const origin = { mirror: mirrors.main, packages: await bootstrapPackages(plan, mirrors) };
  below = await look(['bootstrap'], await bootstrapLayerInputs(plan.config, origin, seal), false);
  const releaseDate = Number(below?.meta.facts.releaseDate ?? 0);
  const sourceDateEpoch = plan.config.sourceDateEpoch ?? releaseDate;
  const stage = { plan, mirror: mirrors.main, securityMirror: mirrors.security, proxy: {}, releaseDate, sourceDateEpoch };
  const inputs = buildInputs(stage, evaluation, sources, seal, ctx.request.configName !== null);
  for (const cut of cutSteps(plan.stageTwo)) {
    const steps = cut.steps.map(({ step }) => step);
    if (below === undefined) for (const step of steps) states.set(step, { cached: false, why: [BELOW_RUNS] });
    else {
      const handedOn = (await readForeign(path.join(below.folder, 'state.sh')))?.toString('utf8') ?? '';
      below = await look(steps, await layerInputs(cut, stage, inputs, handedOn), await runsAlways(cut, evaluation, sources));
    }
  }
  return states;
}
