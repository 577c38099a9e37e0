import { readdir, rmdir, writeFile } from 'node:fs/promises';
import { type Config, makeConfig } from '../config/config.ts';
import { checkScript, type Evaluation } from '../config/evaluate.ts';
import { copyProgram, copyProject, projectContents } from '../config/project.ts';
import { type Customisation, noCustomisation, readCustomisation } from '../customize/customisation.ts';
import type { Findings } from '../customize/problems.ts';
import { seriesNames } from '../customize/series.ts';
import { ConfigError, PreflightError } from '../errors.ts';
import { together } from '../system/together.ts';
import { findTarget, targets } from '../targets/all.ts';
import { type BuildContext, paths } from './context.ts';
import { shellIn } from './cut-layer.ts';
import { evaluate } from './evaluation.ts';
import { explained } from './failures.ts';
import { bootstrapLayer, checkNoCacheSteps, checkStepName, openLayers, pruneLayers, stageTwoLayers } from './layer-steps.ts';
import { writeManifest } from './manifest.ts';
import { chooseMirrors, type HostRepository, knownRepositories, type Mirrors } from './mirror.ts';
import { type BuildPlan, planBuild } from './plan.ts';
import { resultsKey, upToDate } from './results.ts';
import { frameworkDigest, readSources, type Sources } from './sources.ts';
import { ownSettings, type Stage } from './stage.ts';
import { checkKeyring, defaultMirror, knownSuites } from './stage-one.ts';
import { StageTwo } from './stage-two.ts';
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
  const { config, customisation, evaluation, sources, hosts } = await ctx.steps.run('config', () => readAll(ctx));
  const plan = planBuild(config, customisation);
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
    const stage = await bootstrapLayer(plan, mirrors, layers, ctx);
    const steps = await stageTwoLayers(stage, evaluation, sources, layers, ctx);
    if (ctx.request.shell !== null) {
      await layers.open();
      if (ctx.request.shell.step === '') await finalize(stage, ctx);
      await shellIn(ctx.request.shell.step === '' ? 'finished' : ctx.steps.current, steps, ctx);
      return { files: [], rootfs: false, key: '', upToDate: false };
    }
    const key = await resultsKey(stage, layers.top, evaluation, sources, ctx);
    const results = { rootfs: ctx.request.keepRootfs, key };
    const there = await upToDate(key, ctx);
    if (there !== undefined) {
      ctx.steps.note('nothing has changed: the results are up to date');
      return { ...results, files: there, upToDate: true };
    }
    if (!layers.hasMissed) ctx.steps.note('every step is taken from its layer; the results are written again');
    await layers.open();
    // A fault of it is told at the end.
    keepLayers().catch(() => {});
    const packageList = await finalize(stage, ctx);
    const artifacts = await writeTargets(stage, evaluation, ctx);
    await ctx.steps.run('manifest', () => writeManifest(stage, packageList, artifacts, sources, ctx));
    const files = [...artifacts.map(({ file }) => file), 'SHA256SUMS', 'manifest.json'];
    await finish(files, ctx);
    return { ...results, files, upToDate: false };
  } finally {
    await keepLayers();
  }
}

/** What a build is made from; side by side, since apt needs a while. All has ended when this ends. */
async function readAll(ctx: BuildContext): Promise<Read & { sources: Sources; hosts: HostRepository[] }> {
  const [read, hosts, framework] = await together([readConfig(ctx), knownRepositories(paths.layers, ctx.runner), frameworkDigest()]);
  return { ...read, sources: readSources(read.evaluation, read.customisation, framework), hosts };
}

/** The module that puts the program into the image. */
const SELF = 'install-realmfs-builder';

/** Whether a step puts the program into the image. */
export function needsProgram(plan: BuildPlan): boolean {
  return plan.stageTwo.some(({ module }) => module.name === SELF && module.origin === 'built-in');
}

/** What a project says. */
interface Read {
  readonly config: Config;
  readonly customisation: Customisation;
  readonly evaluation: Evaluation;
}

/** Reads and checks the configuration; `bindData` as in copyProject. */
export async function readConfig(ctx: BuildContext, options: { bindData?: boolean } = {}): Promise<Read> {
  const { request, runner } = ctx;
  if (request.hasProject) {
    const names = await projectContents(paths.source, request.configName !== null, request.outputNames);
    if (request.configName !== null && !names.includes(request.configName)) names.push(request.configName);
    await copyProject({ source: paths.source, project: paths.project, evaluate: paths.evaluate, names, runner, ...options });
  }
  // Side by side: each needs a while to start. What is wrong with the script comes first.
  const { configName } = request;
  const check = async (): Promise<void> => {
    const problems = configName === null ? [] : await checkScript(`${paths.project}/${configName}`, configName, runner);
    if (problems.length > 0) throw new ConfigError(problems);
  };
  const [, evaluation] = await together([check(), evaluate(request, paths.work, runner)]);
  const config = await makeConfig({
    request,
    evaluation,
    project: paths.project,
    folders: { project: `${paths.project}/realmfs-modules`, builtIn: `${paths.library}/modules` },
    targets: [...targets.map(({ name }) => name), ...(await seriesNames(`${paths.project}/hooks.d`))],
    suites: await knownSuites(),
    hostArch: ctx.hostArch,
    runner,
  });
  await checkKeyring(config);
  await checkArchitecture(config.arch, ctx.hostArch, ctx);
  return { config, customisation: await readCustom(config, ctx), evaluation };
}

/** Reads what the project has beside build.conf and its modules. */
async function readCustom(config: Config, ctx: BuildContext): Promise<Customisation> {
  if (!ctx.request.hasProject) return noCustomisation(config.targets);
  const findings: Findings = { problems: [], warnings: [] };
  const { arch, release, components, targets: names } = config;
  const builtIn = new Map(targets.map(({ name, file }) => [name, file]));
  const customisation = await readCustomisation(
    { project: paths.project, arch, release, components, names, builtIn, runner: ctx.runner },
    findings,
  );
  const { packages, localPackages } = customisation;
  for (const text of findings.warnings) ctx.steps.warn(text);
  if (findings.problems.length > 0) throw new ConfigError(findings.problems);
  if (packages.length + localPackages.length > 0 && config.packageModule.origin !== 'built-in')
    ctx.steps.warn('install-packages is another module here: it must install REALMFS_PROJECT_PACKAGES itself');
  for (const { file, name, version, arch: of, sha256, scripts } of localPackages)
    ctx.steps.note(`${file}: ${name} ${version} (${of}), ${scripts.length === 0 ? 'no scripts' : scripts.join(', ')}, SHA-256 ${sha256}`);
  return customisation;
}

async function checkArchitecture(arch: string, host: string, ctx: BuildContext): Promise<void> {
  if (arch === host) return;
  const test = await ctx.runner.attempt({ label: 'arch-test', file: 'arch-test', args: [arch] });
  if (test.exitCode !== 0) {
    throw new PreflightError(`this machine (${host}) is not known to run programs for ${arch}`, {
      step: 'preflight',
      hint: 'install arch-test, and for a foreign architecture qemu-user-static and binfmt-support',
    });
  }
}

/** The mirrors of a build; warns if one is missing. */
export async function findMirrors(config: Config, hosts: readonly HostRepository[], ctx: BuildContext): Promise<Mirrors> {
  const found = chooseMirrors({ main: config.mirror, security: config.securityMirror }, hosts);
  const mirrors = found.main === '' ? chooseMirrors({ main: await defaultMirror(), security: config.securityMirror }, []) : found;
  if (mirrors.security === '')
    ctx.steps.warn('no mirror of security updates is known: the image names none (DEBIAN_SECURITY_MIRROR sets one)');
  return mirrors;
}

async function finalize(stage: Stage, ctx: BuildContext): Promise<string> {
  return ctx.steps.run('finalize', async () => {
    const buildOnly = `${paths.work}/build-archives`;
    const { archives } = stage.plan.customisation;
    await writeFile(buildOnly, archives.sources.map(({ name, isKept }) => (isKept ? '' : `${name}\n`)).join(''));
    const out = await new StageTwo(stage, ctx).script('finalize.sh', ownSettings(stage), { 'build-archives': buildOnly });
    // The mount point of the steps: nothing can be mounted on it from out here.
    await rmdir(`${paths.root}/run/realmfs`);
    const { request } = ctx;
    // tar does it by itself.
    if (
      request.keepRootfs ||
      request.shell !== null ||
      stage.plan.customisation.targets.some((name) => findTarget(name).takesTimes) ||
      stage.plan.binaryHooks.length > 0
    ) {
      // No file is younger than the image's time stamp. No process of the tree is left, nothing is mounted on it.
      const epoch = `@${stage.sourceDateEpoch}`;
      const clamp = [paths.root, '-xdev', '-newermt', epoch, '-exec', 'touch', '--no-dereference', `--date=${epoch}`, '{}', '+'];
      await ctx.runner.run({ label: 'setting times', file: 'find', args: clamp });
    }
    return `${out}/packages`;
  });
}

async function finish(files: readonly string[], ctx: BuildContext): Promise<void> {
  if (ctx.request.keepRootfs) {
    const args = ['--archive', '--no-target-directory', '--', paths.root, `${paths.staging}/rootfs`];
    await explained(paths.staging, () => ctx.runner.run({ label: 'keeping the tree', file: 'cp', args }));
  }
  const there = new Set(await readdir(paths.staging));
  const missing = files.filter((file) => !there.has(file));
  if (missing.length > 0) throw new Error(`not written: ${missing.join(', ')}`);
}
