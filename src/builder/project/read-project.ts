import { type Config, makeConfig } from '../../config/config.ts';
import { checkScript, type Evaluation } from '../../config/evaluate.ts';
import { contradictions } from '../../config/package-words.ts';
import { copyProject, projectContents } from '../../config/project.ts';
import { type Customisation, noCustomisation, readCustomisation } from '../../customize/customisation.ts';
import type { Findings } from '../../customize/problems.ts';
import { seriesNames } from '../../customize/series.ts';
import { BuilderError, ConfigError, PreflightError } from '../../errors.ts';
import { knownSuites } from '../../host/suites.ts';
import { findProgram, installCommand } from '../../host/tools.ts';
import { isMissing, statOrUndefined } from '../../system/files.ts';
import { together } from '../../system/together.ts';
import { targetNames, targetsOf } from '../../targets/all.ts';
import { isRealmfsName } from '../../targets/realmfs-format.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { evaluate } from './run-evaluation.ts';

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
    const { configName } = request;
    const names = await projectContents(paths.source, configName, request.outputNames);
    if (configName !== null && !names.includes(configName)) names.push(configName);
    await copyProject({ source: paths.source, project: paths.project, evaluate: paths.evaluate, names, configName, runner, ...options });
  }
  const { configName } = request;
  // Side by side: each needs a while to start. What is wrong with the script comes first.
  const check = async (): Promise<void> => {
    const problems = configName === null ? [] : await checkScript(paths.project, configName, runner);
    if (problems.length > 0) throw new ConfigError(problems);
  };
  const [, evaluation] = await together([check(), evaluate(request, paths.work, runner)]);
  const config = await makeConfig({
    request,
    evaluation,
    project: paths.project,
    builtIn: `${paths.library}/modules`,
    targets: [...targetNames, ...(await namesOfSeries())],
    suites: await knownSuites(),
    hostArch: ctx.hostArch,
    runner,
  });
  await checkKeyring(config);
  await checkArchitecture(config.arch, ctx.hostArch, ctx);
  return { config, customisation: await readBeside(config, evaluation, ctx), evaluation };
}

async function namesOfSeries(): Promise<string[]> {
  try {
    return await seriesNames({ project: paths.project, folder: 'hooks.d' });
  } catch (error) {
    if (!(error instanceof BuilderError)) throw error;
    throw new ConfigError([{ file: 'hooks.d', message: error.message }]);
  }
}

/** Reads what the project has beside build.conf and its modules. */
async function readBeside(config: Config, evaluation: Evaluation, ctx: BuildContext): Promise<Customisation> {
  if (!ctx.request.hasProject) return withTargets(noCustomisation(config.targets), config);
  const findings: Findings = { problems: [], warnings: [] };
  const { arch, release, components, targets: names } = config;
  const builtIn = new Map(targetNames.map((name) => [name, targetsOf(name).map((target) => target.file(config.name))]));
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
  // The base lists give way to the project's; what PACKAGES itself says does not.
  const bases = evaluation.bases.get('BASE_PACKAGES') ?? [];
  const listed = [...packages, ...localPackages.map(({ name }) => name)];
  for (const { name, word } of contradictions([...config.packages.filter((one) => !bases.includes(one)), ...listed]))
    findings.problems.push({
      message: `${word} installs a package, and ${name}- takes it away: PACKAGES, lists and package files of the project must agree`,
    });
  for (const text of findings.warnings) ctx.steps.warn(text);
  if (findings.problems.length > 0) throw new ConfigError(findings.problems);
  if (packages.length + localPackages.length > 0 && config.packageModule.origin !== 'built-in')
    ctx.steps.warn('install-packages is another module here: it must install REALMFS_PROJECT_PACKAGES itself');
  for (const { file, name, version, arch: of, sha256, scripts } of localPackages)
    ctx.steps.note(`${file}: ${name} ${version} (${of}), ${scripts.length === 0 ? 'no scripts' : scripts.join(', ')}, SHA-256 ${sha256}`);
  return withTargets(customisation, config);
}

/** Replaces groups of targets by what they stand for, and checks whether this machine and this image can have them. */
async function withTargets(customisation: Customisation, config: Config): Promise<Customisation> {
  const targets = [...new Set(customisation.targets.flatMap(targetsOf))];
  const missing: string[] = [];
  for (const { tools } of targets)
    for (const [program, from] of Object.entries(tools ?? {})) if ((await findProgram(program)) === undefined) missing.push(from);
  if (missing.length > 0) {
    const names = targets.filter(({ tools }) => Object.values(tools ?? {}).some((from) => missing.includes(from))).map(({ name }) => name);
    throw new PreflightError(`programs are missing for ${names.join(', ')}`, { step: 'preflight', hint: installCommand(missing) });
  }
  const realm = targets.find(({ name }) => name.startsWith('realmfs'));
  if (realm !== undefined && !isRealmfsName(config.name)) {
    throw new ConfigError([
      {
        message: `REALMFS_NAME: '${config.name}' is no name for ${realm.name}: a letter, then letters, digits and -, 40 characters at most`,
      },
    ]);
  }
  return { ...customisation, targets: targets.map(({ name }) => name) };
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

/** Refuses a keyring that is not there: debootstrap would go on without one. */
async function checkKeyring(config: Config): Promise<void> {
  const keyring = await statOrUndefined(config.keyring);
  if (keyring === undefined || (keyring.isFile() && keyring.size === 0)) {
    throw new PreflightError(`there is no keyring at ${config.keyring}`, {
      step: 'preflight',
      hint: 'install it (apt-get install debian-archive-keyring) or name another one in DEBIAN_KEYRING',
    });
  }
}
