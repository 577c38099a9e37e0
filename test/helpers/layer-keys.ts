import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildInputs, layerInputs, makeSeal, runsAlways } from '../../src/builder/layers/layer-key.ts';
import { cutSteps } from '../../src/builder/layers/step-groups.ts';
import { paths } from '../../src/builder/model/context.ts';
import { planBuild } from '../../src/builder/model/plan.ts';
import { frameworkDigest, readSources, type StepTexts } from '../../src/builder/project/step-texts.ts';
import { makeConfig } from '../../src/config/config.ts';
import { type Evaluation, parseEvaluation, settingsAfter, settingsBefore } from '../../src/config/evaluate.ts';
import { settingKeys } from '../../src/config/settings.ts';
import { readCustomisation } from '../../src/customize/customisation.ts';
import type { Findings } from '../../src/customize/problems.ts';
import type { BuildRequest } from '../../src/messages/request.ts';
import { INSIDE } from '../../src/resources.ts';
import { keyOf } from '../../src/store/layers.ts';
import { targetNames } from '../../src/targets/all.ts';
import { blankRequest } from './blank.ts';
import { bash, chrootScripts } from './chroot-scripts.ts';
import { realRunner } from './runners.ts';
import { writeFiles } from './temp-root.ts';

const builtInModules = path.resolve(import.meta.dirname, '../../realmfs-modules');

/** A project and what surrounds it; a test changes a copy of it. */
export interface Given {
  /** Below the folder of the project, but for the builder's own below `library/` and `program/`. */
  files: Record<string, string>;
  /** Modes of files, where it is not that of every file. */
  modes: Record<string, number>;
  environment: Record<string, string>;
  overrides: Record<string, string>;
  mirror: string;
  releaseDate: number;
  /** The text of the shell that each step begins with. */
  handedOn: string;
  /** 32 bytes. */
  salt: string;
}

/** The layers of a build, by the last step of each. */
export interface LayerKeys {
  readonly groups: readonly string[];
  readonly inputs: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly keys: ReadonlyMap<string, string>;
  /** Those that run in every build. */
  readonly always: readonly string[];
  /** Reads the project as it is now. */
  readonly sources: () => StepTexts;
}

const evaluations = new Map<string, Evaluation>();
let made: string | undefined;

/** The folder of a build, made once: what is made from a project shall not depend on where it lies. */
function buildFolder(): string {
  made ??= chrootScripts();
  return made;
}

/** What evaluate.sh says of a build.conf that reads nothing but itself. */
function evaluate(conf: string, request: BuildRequest): Evaluation {
  const known = JSON.stringify([conf, request.environment, request.overrides]);
  const before = evaluations.get(known);
  if (before !== undefined) return before;
  const run = buildFolder();
  writeFileSync(path.join(run, 'lib/settings-before.sh'), settingsBefore(request));
  writeFileSync(path.join(run, 'lib/settings-after.sh'), settingsAfter(request));
  const script =
    'run=$1; export REALMFS_PROJECT=$1/project; shift; exec bash "$run/lib/chroot/evaluate.sh" build.conf "$run/out/said" "$@"';
  const result = bash(script, run, ...settingKeys);
  const said = readFileSync(path.join(run, 'out/said'), 'utf8').replaceAll(run, INSIDE);
  const evaluation = parseEvaluation(Buffer.from(said));
  if (evaluation === undefined) throw new Error(`not complete: ${result.stderr}`);
  evaluations.set(known, evaluation);
  return evaluation;
}

/** Writes the project, and what an image finds of the builder; `paths` leads there. */
function write({ files, modes, salt }: Given): void {
  const run = buildFolder();
  const folders = {
    project: `${run}/project`,
    library: `${run}/library`,
    program: `${run}/program`,
    work: `${run}/work`,
    cache: `${run}/cache`,
  };
  Object.assign(paths, folders);
  for (const folder of Object.values(folders)) rmSync(folder, { recursive: true, force: true });
  for (const name of ['project', 'library/program', 'library/files', 'library/chroot', 'program/templates/sandbox', 'work', 'cache'])
    mkdirSync(path.join(run, name), { recursive: true });
  writeFileSync(`${paths.cache}/salt`, salt);
  mkdirSync(`${paths.library}/modules`);
  for (const name of ['install-packages', 'install-realmfs-builder', 'set-hostname'])
    copyFileSync(path.join(builtInModules, name), path.join(paths.library, 'modules', name));
  for (const [name, text] of Object.entries(files)) {
    const file = /^(?:library|program)\//.test(name) ? name : `project/${name}`;
    writeFiles(run, { [file]: text });
    chmodSync(path.join(run, file), modes[name] ?? 0o644);
  }
}

/** Writes a project and names its layers as a build does, but for the layer below and the bootstrap. */
export async function layerKeys(given: Given): Promise<LayerKeys> {
  write(given);
  const { environment, overrides } = given;
  const request = { ...blankRequest, configName: 'build.conf', hasProject: true, environment, overrides };
  const framework = await frameworkDigest();
  const evaluation = evaluate(given.files['build.conf'] ?? '', request);
  const runner = realRunner();
  const { project } = paths;
  const surroundings = {
    project,
    builtIn: `${paths.library}/modules`,
    targets: targetNames,
    suites: ['trixie'],
    hostArch: 'amd64',
    runner,
  };
  const config = await makeConfig({ request, evaluation, ...surroundings });
  const findings: Findings = { problems: [], warnings: [] };
  const { arch, release, components, targets: names } = config;
  const customisation = await readCustomisation({ project, arch, release, components, names, builtIn: new Map(), runner }, findings);
  if (findings.problems.length > 0) throw new Error(JSON.stringify(findings.problems));

  const plan = planBuild(config, customisation);
  const { mirror, releaseDate } = given;
  const sourceDateEpoch = config.sourceDateEpoch ?? releaseDate;
  const stage = { plan, mirror, securityMirror: mirror, proxy: {}, releaseDate, sourceDateEpoch };
  const seal = await makeSeal(evaluation);
  const sources = (): StepTexts => readSources(evaluation, customisation, framework, runner);
  const build = buildInputs(stage, evaluation, sources(), seal, true);
  const inputs = new Map<string, Readonly<Record<string, string>>>();
  const always: string[] = [];
  for (const group of cutSteps(plan.stageTwo)) {
    inputs.set(group.step, await layerInputs(group, stage, build, given.handedOn));
    if (await runsAlways(group, evaluation, build.sources)) always.push(group.step);
  }
  const keys = new Map([...inputs].map(([step, values]) => [step, keyOf(values)]));
  return { groups: [...inputs.keys()], inputs, keys, always, sources };
}
