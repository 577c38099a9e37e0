import { readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { type Evaluation, words } from '../config/evaluate.ts';
import { DEBIAN_KEYRING } from '../config/settings.ts';
import { ConfigError, type Failure, InterruptedError, toFailure } from '../errors.ts';
import { version } from '../resources.ts';
import { keyOf, LAYER_FORMAT, type Layer, LayerStore } from '../store/layers.ts';
import { prune } from '../store/prune.ts';
import { isMissing, sha256File, statOrUndefined } from '../system/files.ts';
import { type BuildContext, paths } from './context.ts';
import { type BuildInputs, type Cut, cutSteps, inputsOf, mustRun, type Sources, saysNoCache } from './cuts.ts';
import { showLists } from './fetching.ts';
import { LayeredBuild, type LayerPlan, type Made, releasesIn, rememberAsked, secondsSinceAsked } from './layered.ts';
import { manifestInputs } from './manifest.ts';
import type { Mirrors } from './mirror.ts';
import type { BuildPlan } from './plan.ts';
import { findProxy } from './release.ts';
import { askArchive, bootstrapInputs, hideUnproven, stageOne } from './stage-one.ts';
import { finalSettings, type Stage, StageTwo, signedBy } from './stage-two.ts';
import { canBeUpper, Tree } from './tree.ts';

/** The exit code of a shell by which its `retry` says what it wants. */
const RETRY = 77;

/** A build's layers. Where the disk cannot hold any, the build is made without. */
export async function openLayers(ctx: BuildContext): Promise<LayeredBuild> {
  const isLayered = await canBeUpper(paths.parts);
  if (!isLayered) ctx.steps.note('the disk of the output folder is an overlay itself: this build is made without layers');
  const canKeep = isLayered && ctx.request.layersMaxSize > 0 && (await canBeUpper(paths.layers));
  if (isLayered && ctx.request.layersMaxSize > 0 && !canKeep)
    ctx.steps.note('the disk of the cache folder is an overlay itself: no layer is kept (REALMFS_CACHE_DIR moves it)');
  const store = canKeep ? new LayerStore(paths.layers, ctx.runner, ctx.locks) : undefined;
  return new LayeredBuild(store, paths.layers, new Tree({ root: paths.root, isLayered }, ctx.runner), ctx);
}

/** Brings the store below its bound. What this build uses stays. A fault is no failure of the build. */
export async function pruneLayers(ctx: BuildContext): Promise<void> {
  try {
    await prune(paths.layers, ctx.locks, { maxSize: ctx.request.layersMaxSize });
    await ctx.runner.run({ label: 'removing layers', file: 'find', args: [`${paths.layers}/trash`, '-xdev', '-mindepth', '1', '-delete'] });
  } catch (error) {
    if (error instanceof InterruptedError) return;
    ctx.steps.warn(`old layers could not be removed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @throws ConfigError if `--rebuild-from` names no step. */
export function checkStepName(name: string, plan: BuildPlan): void {
  const known = ['bootstrap', ...plan.stageTwo.map(({ step }) => step)];
  if (name === '' || known.some((step) => step === name || step.replace(/^\w+\//, '') === name)) return;
  throw new ConfigError([{ message: `--rebuild-from: there is no step ${name} (${known.join(', ')})` }]);
}

/** Stage one, from a layer or from debootstrap. */
export async function bootstrapLayer(plan: BuildPlan, mirrors: Mirrors, layers: LayeredBuild, ctx: BuildContext): Promise<Stage> {
  const { config } = plan;
  const proxy = await findProxy(mirrors.main, ctx);
  const release = { date: 0 };
  await layers.run({
    steps: ['bootstrap'],
    inputs: await bootstrapLayerInputs(config, mirrors.main),
    mustRun: false,
    mustBeThere: ctx.request.shell !== null,
    fault: async ({ folder, meta }) => {
      if (!(await isToBeAsked(folder, ctx))) return undefined;
      const now = await askArchive(config, mirrors.main, proxy, ctx);
      if (meta.releases[now.file] !== now.sha256) return `the archive has changed: ${config.release} is of ${dateText(now.date)}`;
      await rememberAsked(folder);
      return undefined;
    },
    make: () =>
      ctx.steps.run('bootstrap', async () => {
        const made = await stageOne(config, mirrors.main, proxy, ctx);
        release.date = made.date;
        return {
          reads: {},
          releases: { [made.file]: made.sha256 },
          facts: { releaseDate: String(made.date) },
          state: undefined,
          keepsLists: false,
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
  stage: Stage,
  evaluation: Evaluation,
  sources: Sources,
  layers: LayeredBuild,
  ctx: BuildContext,
): Promise<StageTwo> {
  const { plan } = stage;
  const runner = new StageTwo(stage, ctx);
  const inputs = buildInputs(stage, evaluation, sources, ctx.request.configName !== null);
  const state = { isProven: false, lists: '' };
  for (const cut of cutsUntil(ctx.request.shell?.step ?? '', plan))
    await layers.run(await planCut({ cut, stage, evaluation, sources, inputs, runner, layers, state }, ctx));
  if (ctx.request.shell !== null && state.lists !== '') await showLists(state.lists, ctx);
  return runner;
}

/** The cuts up to a step; all of them if it is empty. */
function cutsUntil(step: string, plan: BuildPlan): readonly Cut[] {
  const cuts = cutSteps(plan.stageTwo);
  if (step === '') return cuts;
  if (step === 'bootstrap') return [];
  const last = cuts.findIndex((cut) => cut.step === step || cut.step.replace(/^\w+\//, '') === step);
  if (last >= 0) return cuts.slice(0, last + 1);
  throw new ConfigError([{ message: `shell: there is no layer after ${step} (bootstrap, ${cuts.map((cut) => cut.step).join(', ')})` }]);
}

/** Opens the terminal's shell in the tree, or runs one command there. Nothing of it is kept. */
export async function shellIn(
  step: string,
  runner: StageTwo,
  ctx: BuildContext,
  after?: { readonly failure: Failure; readonly canRetry: boolean },
): Promise<number> {
  ctx.report({ kind: 'shell-start', step, ...(after === undefined ? {} : { failure: after.failure }) });
  const code = await runner.shell(step, { command: ctx.request.shell?.command ?? null, canRetry: after?.canRetry === true });
  ctx.report({ kind: 'shell-end', code });
  return code;
}

interface CutContext {
  readonly cut: Cut;
  readonly stage: Stage;
  readonly evaluation: Evaluation;
  readonly sources: Sources;
  readonly inputs: BuildInputs;
  readonly runner: StageTwo;
  readonly layers: LayeredBuild;
  /** Whether what nobody vouches for in the package cache is out of sight; apt's lists of a layer, not shown yet. */
  readonly state: { isProven: boolean; lists: string };
}

async function planCut(context: CutContext, ctx: BuildContext): Promise<LayerPlan> {
  const { cut, stage, evaluation, sources, runner, state } = context;
  const { plan } = stage;
  const isPackages = cut.step === 'packages';
  const isLast = cut.steps.at(-1) === plan.stageTwo.at(-1);
  const inputs = await layerInputs(cut, stage, context.inputs);
  const before: { state?: string | undefined; lists?: string } = {};
  const make = async (): Promise<Made> => {
    // A second try begins with the shell that the first one began with; apt's lists stay as that one has left them.
    if ('state' in before) runner.state = before.state;
    else before.state = runner.state;
    runner.forget();
    if (state.lists !== '') await showLists(state.lists, ctx);
    state.lists = '';
    if (isPackages) await prepare(stage, ctx);
    const strange = cut.steps.some(({ module }) => module.origin !== 'built-in');
    if (strange && !state.isProven) {
      await hideUnproven(plan.config, ctx);
      state.isProven = true;
    }
    before.lists ??= await listsMark();
    for (const step of cut.steps) await ctx.steps.run(step.step, () => runner.run(step, step === plan.stageTwo.at(-1)));
    const { reads, warnings, open } = runner.forget();
    // Our own modules fetch nothing but packages, and fail without them.
    const hadNetwork = !ctx.request.offline || !strange || !plan.config.network;
    if (open) ctx.steps.note(`${cut.step} leaves background jobs or open files: nothing from here on is kept for the next build`);
    const called = await Promise.all(reads.filter((read) => read.startsWith('module ')).map((read) => sources.calledText(read.slice(7))));
    return {
      reads: Object.fromEntries(await Promise.all(reads.map(async (read) => [read, await sources.lookUp(read)]))),
      // Only of the built-in step is it known how to ask again.
      releases: isPackages && plan.config.packageModule.origin === 'built-in' ? await releasesIn(`${paths.apt}/lists`) : {},
      facts: { warnings: JSON.stringify(warnings), ...(hadNetwork ? {} : { offline: 'yes' }) },
      state: isLast ? undefined : runner.state,
      keepsLists: isPackages || (await listsMark()) !== before.lists,
      isRepeatable: !open && !called.some(saysNoCache),
    };
  };
  return {
    steps: cut.steps.map(({ step }) => step),
    inputs,
    mustRun: await runsAlways(cut, evaluation, sources),
    fault: async (layer) => (await layerFault(layer, sources, ctx)) ?? (isPackages ? archiveFault(layer, context, ctx) : undefined),
    make,
    mustBeThere: ctx.request.shell !== null,
    onFailure: async (error, canRetry) => {
      if (!ctx.request.shellOnFailure) return false;
      return (await shellIn(ctx.steps.current, runner, ctx, { failure: toFailure(error, ctx.steps.current), canRetry })) === RETRY;
    },
    take: async ({ folder, meta }) => {
      // The last step hands nothing on.
      const handedOn = path.join(folder, 'state.sh');
      runner.state = (await isMissing(handedOn)) ? undefined : handedOn;
      // Shown when a step wants to see them.
      const lists = path.join(folder, 'lists');
      if (!(await isMissing(lists))) state.lists = lists;
      for (const text of JSON.parse(meta.facts.warnings ?? '[]')) ctx.steps.warn(String(text));
    },
  };
}

/** What apt's lists are now. */
async function listsMark(): Promise<string> {
  const folder = `${paths.apt}/lists`;
  const marks = await Promise.all(
    (await readdir(folder)).sort().map(async (name) => {
      const stat = await statOrUndefined(path.join(folder, name));
      return stat?.isFile() === true && name !== 'lock' ? `${name} ${stat.size} ${stat.mtimeMs}` : '';
    }),
  );
  return marks.join('\n');
}

/** All inputs of a cut that are known before it runs, without the layer below. */
export async function layerInputs(cut: Cut, stage: Stage, build: BuildInputs): Promise<Record<string, string>> {
  return {
    ...(await inputsOf(cut, build)),
    ...(cut.step === 'packages' ? await prepareInputs(stage.plan.config) : {}),
    'whether a module comes after it': String(cut.steps.at(-1) !== stage.plan.stageTwo.at(-1)),
    ...ownInputs(),
  };
}

/** All inputs of the bootstrap. */
export async function bootstrapLayerInputs(config: Config, mirror: string): Promise<Record<string, string>> {
  return { ...(await bootstrapInputs(config, mirror)), ...ownInputs() };
}

function ownInputs(): Record<string, string> {
  return { format: String(LAYER_FORMAT), 'the version of the builder': version };
}

/** What the cuts of a build have in common. */
export function buildInputs(stage: Stage, evaluation: Evaluation, sources: Sources, hasConfig: boolean): BuildInputs {
  const { config } = stage.plan;
  const environment = {
    'apt signed-by': signedBy(config.keyring),
    network: String(config.network),
    'release date': String(stage.releaseDate),
  };
  return { hasConfig, config, evaluation, sources, settings: finalSettings(stage), environment };
}

/** Whether a step of the cut says that it runs in every build. */
export async function runsAlways(cut: Cut, evaluation: Evaluation, sources: Sources): Promise<boolean> {
  const names = words(evaluation.variables.get('NOCACHE_STEPS'));
  const texts = await Promise.all(cut.steps.map(({ module }) => sources.textOf(module)));
  return cut.steps.some((step, at) => mustRun(step, texts[at] ?? '', names));
}

/** What a layer's steps have looked up, and would find otherwise now; or that they had no network, and would have it now. */
export async function layerFault({ meta }: Layer, sources: Sources, { request }: BuildContext): Promise<string | undefined> {
  if (meta.facts.offline === 'yes' && !request.offline) return 'it was run with --offline';
  for (const [read, was] of Object.entries(meta.reads)) {
    const now = await sources.lookUp(read);
    if (now !== was) return `${read} ${now === 'missing' ? 'is gone' : was === 'missing' ? 'is new' : 'has changed'}`;
  }
  return undefined;
}

/** With --offline, never; nor for a shell, which is to show what was built. */
async function isToBeAsked(folder: string, { request }: BuildContext): Promise<boolean> {
  return !request.offline && request.shell === null && (await secondsSinceAsked(folder)) >= request.archiveAge;
}

/** Whether the Release files of a layer's packages are still those of the archive; asks it if that was not done for a while. */
async function archiveFault(layer: Layer, { runner, layers }: CutContext, ctx: BuildContext): Promise<string | undefined> {
  const { folder, meta } = layer;
  if (Object.keys(meta.releases).length === 0 || !(await isToBeAsked(folder, ctx))) return undefined;
  const before = runner.state;
  const newer = await layers.lookInto(layer, async () => {
    const handedOn = path.join(folder, 'state.sh');
    runner.state = (await isMissing(handedOn)) ? undefined : handedOn;
    await runner.update();
    const now = await releasesIn(`${paths.apt}/lists`);
    const changed = Object.keys({ ...now, ...meta.releases }).filter((name) => now[name] !== meta.releases[name]);
    if (changed.length === 0) return undefined;
    const suites = changed.map((name) => name.replace(/^.*_dists_/, '').replace(/_(?:In)?Release$/, ''));
    return [`the archive has changed: ${suites.join(', ')}`, ...(await runner.newer())];
  });
  runner.forget();
  runner.state = before;
  if (newer === undefined) await rememberAsked(folder);
  return newer?.join('; ');
}

/** What prepare.sh writes into the tree. */
async function prepareInputs(config: Config): Promise<Record<string, string>> {
  const keys: string[] = [];
  for (const key of config.extraSources.keys) keys.push(`${key} ${await sha256File(await realpath(`${paths.project}/${key}`))}`);
  return {
    'extra sources': config.extraSources.text,
    'extra keys': keys.join('\n'),
    'extra pins': config.extraPins,
    'the keyring': config.keyring === DEBIAN_KEYRING ? '' : await sha256File(await realpath(config.keyring)),
  };
}

async function prepare(stage: Stage, ctx: BuildContext): Promise<void> {
  const { config } = stage.plan;
  const sources = {
    EXTRA_SOURCES: config.extraSources.text,
    EXTRA_KEYS: config.extraSources.keys.join('\n'),
    EXTRA_PINS: config.extraPins,
  };
  const keyring = config.keyring === DEBIAN_KEYRING ? {} : { 'archive-keyring': config.keyring };
  await new StageTwo(stage, ctx).script(
    'prepare.sh',
    { ...ownSettings(stage), ...sources, DEBIAN_SIGNED_BY: signedBy(config.keyring) },
    keyring,
  );
}

/** What our own scripts in the image must know. */
export function ownSettings({ plan: { config }, mirror }: Stage): Record<string, string> {
  return {
    DEBIAN_IMAGE_MIRROR: config.imageMirror || mirror,
    DEBIAN_COMPONENTS: config.components.join(' '),
    REALMFS_HOSTNAME: config.hostname,
  };
}

/** The key of what comes out of a build: the tree, the targets, and what stands in the manifest. Empty: it cannot be told. */
export async function resultsKey(stage: Stage, top: string, sources: Sources, ctx: BuildContext): Promise<string> {
  if (top === '') return '';
  const { config } = stage.plan;
  const { packages: _, preModules: __, postModules: ___, ...rest } = config;
  return keyOf({
    top,
    framework: sources.framework,
    version: ctx.request.version,
    config: JSON.stringify({ ...rest, raw: undefined }),
    own: JSON.stringify({ ...ownSettings(stage), epoch: stage.sourceDateEpoch, mirrors: [stage.mirror, stage.securityMirror] }),
    manifest: JSON.stringify(await manifestInputs(stage, ctx)),
    keepRootfs: String(ctx.request.keepRootfs),
  });
}

/** Whether the output folder holds the results of this key, untouched. */
export async function isUpToDate(key: string, ctx: BuildContext): Promise<boolean> {
  const { request } = ctx;
  // What lies below the tree's own folder is not compared.
  if (key === '' || request.noCache || request.rebuildFrom !== '' || request.keepRootfs) return false;
  try {
    const known = JSON.parse(await readFile(path.join(paths.layers, 'results', request.output), 'utf8'));
    return known.key === key && JSON.stringify(known.results) === JSON.stringify(request.results) && request.results.length > 0;
  } catch {
    return false;
  }
}
