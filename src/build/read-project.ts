import { type Config, makeConfig } from '../config/config.ts';
import { checkScript, type Evaluation } from '../config/evaluate.ts';
import { copyProject, projectContents } from '../config/project.ts';
import { type Customisation, noCustomisation, readCustomisation } from '../customize/customisation.ts';
import type { Findings } from '../customize/problems.ts';
import { seriesNames } from '../customize/series.ts';
import { ConfigError, PreflightError } from '../errors.ts';
import { isMissing } from '../system/files.ts';
import { together } from '../system/together.ts';
import { targets } from '../targets/all.ts';
import { type BuildContext, paths } from './context.ts';
import { evaluate } from './evaluation.ts';
import { checkKeyring, knownSuites } from './stage-one.ts';

/** What a project says. */
export interface ReadProject {
  readonly config: Config;
  readonly customisation: Customisation;
  readonly evaluation: Evaluation;
}

/** Reads and checks the configuration; `bindData` as in copyProject. */
export async function readConfig(ctx: BuildContext, options: { bindData?: boolean } = {}): Promise<ReadProject> {
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
  return { config, customisation: await readBeside(config, ctx), evaluation };
}

/** Reads what the project has beside build.conf and its modules. */
async function readBeside(config: Config, ctx: BuildContext): Promise<Customisation> {
  if (!ctx.request.hasProject) return noCustomisation(config.targets);
  const findings: Findings = { problems: [], warnings: [] };
  const { arch, release, components, targets: names } = config;
  const builtIn = new Map(targets.map(({ name, file }) => [name, file]));
  const customisation = await readCustomisation(
    { project: paths.project, arch, release, components, names, builtIn, runner: ctx.runner },
    findings,
  );
  const { packages, localPackages } = customisation;
  if (localPackages.length > 0 && (await isMissing('/usr/bin/apt-ftparchive'))) {
    throw new PreflightError('apt-ftparchive is missing: packages of the project need it', {
      step: 'preflight',
      hint: 'apt-get install apt-utils',
    });
  }
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
