import { readdir, rmdir } from 'node:fs/promises';
import { type Config, makeConfig } from '../config/config.ts';
import { checkScript, type Evaluation } from '../config/evaluate.ts';
import { copyLibrary, copyProgram, copyProject, projectContents } from '../config/project.ts';
import { DEBIAN_KEYRING } from '../config/settings.ts';
import { ConfigError, PreflightError } from '../errors.ts';
import type { Artifact } from '../events.ts';
import { targets } from '../targets/all.ts';
import { type BuildContext, paths } from './context.ts';
import { evaluate } from './evaluation.ts';
import { explained } from './failures.ts';
import { writeManifest } from './manifest.ts';
import { chooseMirrors, type HostRepository, hostRepositories, type Mirrors } from './mirror.ts';
import { type BuildPlan, planBuild } from './plan.ts';
import { findProxy } from './release.ts';
import { checkKeyring, defaultMirror, knownSuites, stageOne } from './stage-one.ts';
import { type Stage, StageTwo, signedBy } from './stage-two.ts';
import { writeTargets } from './targets.ts';

/** What a build has left in the staging folder. */
export interface BuildResult {
  /** Names of files, in the order in which they get their final names; the manifest is the last. */
  readonly files: readonly string[];
  /** Whether the finished tree lies there as `rootfs`. */
  readonly rootfs: boolean;
}

/** Runs a whole build: one step a line. */
export async function build(ctx: BuildContext): Promise<BuildResult> {
  const { config, hosts } = await ctx.steps.run('config', () => readAll(ctx));
  const plan = planBuild(config);
  ctx.steps.plan(plan.steps);
  if (plan.stageTwo.some(({ module }) => module.name === SELF && module.origin === 'built-in')) {
    await copyProgram(paths.program, `${paths.library}/program`);
  }
  const mirrors = await findMirrors(config, hosts, ctx);
  const stage = await ctx.steps.run('bootstrap', () => bootstrap(plan, mirrors, ctx));
  const packageList = await runStageTwo(stage, ctx);
  const artifacts = await writeTargets(stage, ctx);
  await ctx.steps.run('manifest', () => writeManifest(stage, packageList, artifacts, ctx));
  return finish(artifacts, ctx);
}

/** The configuration and the repositories of the host, side by side: apt needs a while. Both have ended when this ends. */
async function readAll(ctx: BuildContext): Promise<{ config: Config; hosts: HostRepository[] }> {
  const [read, hosts] = await Promise.allSettled([readConfig(ctx), hostRepositories(ctx.runner)]);
  if (read.status === 'rejected') throw read.reason;
  if (hosts.status === 'rejected') throw hosts.reason;
  return { config: read.value.config, hosts: hosts.value };
}

/** The module that puts the program into the image. */
const SELF = 'install-realmfs-builder';

/** Parts of a project that are not built in yet. */
const notYet: readonly string[] = ['overlay', 'packages', 'hooks', 'hooks.d'];

/** Reads and checks the configuration; `bindData` as in copyProject. */
export async function readConfig(
  ctx: BuildContext,
  options: { bindData?: boolean } = {},
): Promise<{ config: Config; evaluation: Evaluation }> {
  const { request, runner } = ctx;
  await copyLibrary(paths.program, paths.library);
  if (request.hasProject) {
    const names = await projectContents(paths.source, request.configName !== null, request.outputNames);
    for (const name of names.filter((entry) => notYet.includes(entry)))
      ctx.steps.warn(`${name}/ is there, but this version makes no use of it`);
    if (request.configName !== null && !names.includes(request.configName)) names.push(request.configName);
    await copyProject({ source: paths.source, project: paths.project, evaluate: paths.evaluate, names, runner, ...options });
  }
  if (request.configName !== null) {
    const problems = await checkScript(`${paths.project}/${request.configName}`, request.configName, runner);
    if (problems.length > 0) throw new ConfigError(problems);
  }
  const evaluation = await evaluate(request, paths.work, runner);
  const hostArch = (await runner.capture({ label: 'dpkg', file: 'dpkg', args: ['--print-architecture'] })).trim();
  const config = await makeConfig({
    request,
    evaluation,
    project: paths.project,
    folders: { project: `${paths.project}/realmfs-modules`, builtIn: `${paths.library}/modules` },
    targets: targets.map(({ name }) => name),
    suites: await knownSuites(),
    hostArch,
    runner,
  });
  await checkKeyring(config);
  await checkArchitecture(config.arch, hostArch, ctx);
  return { config, evaluation };
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

async function bootstrap(plan: BuildPlan, mirrors: Mirrors, ctx: BuildContext): Promise<Stage> {
  const { config } = plan;
  const proxy = await findProxy(mirrors.main, ctx);
  const releaseDate = await stageOne(config, mirrors.main, proxy, ctx);
  const stage = {
    plan,
    mirror: mirrors.main,
    securityMirror: mirrors.security,
    proxy,
    releaseDate,
    sourceDateEpoch: config.sourceDateEpoch ?? releaseDate,
  };
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
  return stage;
}

/** Runs the modules, the packages and finalize; returns the file with the package list. */
async function runStageTwo(stage: Stage, ctx: BuildContext): Promise<string> {
  const runner = new StageTwo(stage, ctx);
  const { stageTwo } = stage.plan;
  for (const [index, step] of stageTwo.entries()) {
    await ctx.steps.run(step.step, () => runner.run(step, index === stageTwo.length - 1));
  }
  return ctx.steps.run('finalize', async () => {
    const out = await runner.script('finalize.sh', ownSettings(stage));
    // The mount point of the steps: nothing can be mounted on it from out here.
    await rmdir(`${paths.root}/run/realmfs`);
    // No file is younger than the image's time stamp. No process of the tree is left, nothing is mounted on it.
    const epoch = `@${stage.sourceDateEpoch}`;
    const clamp = [paths.root, '-xdev', '-newermt', epoch, '-exec', 'touch', '--no-dereference', `--date=${epoch}`, '{}', '+'];
    await ctx.runner.run({ label: 'setting times', file: 'find', args: clamp });
    return `${out}/packages`;
  });
}

/** What our own scripts in the image must know. */
function ownSettings({ plan: { config }, mirror }: Stage): Record<string, string> {
  return {
    DEBIAN_IMAGE_MIRROR: config.imageMirror || mirror,
    DEBIAN_COMPONENTS: config.components.join(' '),
    REALMFS_HOSTNAME: config.hostname,
  };
}

async function finish(artifacts: readonly Artifact[], ctx: BuildContext): Promise<BuildResult> {
  if (ctx.request.keepRootfs) {
    // On disk the work folder lies in the staging folder: within one mount a rename is enough.
    const [file, option, from] = ctx.request.tmpfs ? ['cp', '--archive', paths.root] : ['mv', '--verbose', `${paths.staging}/build/root`];
    const command = { label: 'keeping the tree', file, args: [option, '--no-target-directory', '--', from, `${paths.staging}/rootfs`] };
    await explained(paths.staging, () => ctx.runner.run(command));
  }
  const files = [...artifacts.map(({ file }) => file), 'SHA256SUMS', 'manifest.json'];
  const there = new Set(await readdir(paths.staging));
  const missing = files.filter((file) => !there.has(file));
  if (missing.length > 0) throw new Error(`not written: ${missing.join(', ')}`);
  return { files, rootfs: ctx.request.keepRootfs };
}
