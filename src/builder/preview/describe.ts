import { z } from 'zod';
import type { ModuleReference } from '../../config/config.ts';
import { assignmentLine, type Evaluation, words } from '../../config/evaluate.ts';
import { isSecret, type Setting, settings } from '../../config/settings.ts';
import type { HostRepository, Mirrors } from '../../host/mirrors.ts';
import type { BuildRequest } from '../../messages/request.ts';
import { version } from '../../resources.ts';
import { findTarget } from '../../targets/all.ts';
import { hideCredentials } from '../model/failures.ts';
import { type BuildPlan, isModule, type StepSource } from '../model/plan.ts';
import { shownPlace } from '../steps/step-failure.ts';
import type { StepState } from './cached-steps.ts';

/** The version of the form of `plan --json`. */
export const PLAN_VERSION = 1;

/** Why a step runs that has no reason of its own: a step below it runs, or one that shares its layer. */
export const BELOW_RUNS = 'what comes before it runs';
export const RUNS_WITH = 'it shares a layer with ';

/** What is shown in the place of a secret. */
const HIDDEN = '(hidden)';

const settingSchema = z.object({
  key: z.string(),
  /** The words of a list; base lists stand under their own names. */
  value: z.union([z.string(), z.array(z.string())]),
  /** `host`: looked up on this machine. `derived`: follows from something else. */
  origin: z.enum(['option', 'config', 'environment', 'realmfs.env', 'default', 'host', 'derived']),
  /** The same for people: `build.conf:12`, `the host's apt`. */
  from: z.string(),
  /** Of build.conf, if `origin` is `config` and the line is known. */
  line: z.number().optional(),
});

const stepSchema = z.object({
  step: z.string(),
  /** `builder`: no module. */
  origin: z.enum(['builder', 'function', 'project', 'built-in', 'hook', 'folder', 'preseed']),
  /** For people: `function, build.conf:12`, `realmfs-modules/NAME`. */
  from: z.string(),
  module: z.string().optional(),
  /** Modules of the same name that this one is run in place of. */
  overrides: z.array(z.string()),
  /** Whether a layer has its result; null: it has none, or the store cannot be seen without root. */
  cached: z.boolean().nullable(),
  /** Why it runs, or what could make it run. */
  why: z.array(z.string()),
});

/** What the builder finds out for `plan`. */
export const plannedSchema = z.object({
  settings: z.array(settingSchema),
  steps: z.array(stepSchema),
  /** Everything that is installed, base packages first. */
  packages: z.array(z.string()),
  /** What is copied onto the root: each file below the project folder, and the step that copies it. */
  files: z.array(z.object({ step: z.string(), file: z.string() })),
  /** Package files of the project, which join the packages. */
  localPackages: z.array(z.object({ file: z.string(), name: z.string(), version: z.string(), arch: z.string() })),
  targets: z.array(z.object({ name: z.string(), file: z.string() })),
  /** The files that are kept of what targets and hooks make; null: all. */
  provides: z.array(z.string()).nullable(),
});

/** What `plan --json` prints. */
export const planSchema = z.object({
  version: z.literal(PLAN_VERSION),
  builder: z.object({ name: z.literal('realmfs-builder'), version: z.string() }),
  /** The configuration file; null: the built-in base image. */
  config: z.string().nullable(),
  /** The output folder, which need not be there. */
  output: z.string(),
  warnings: z.array(z.string()),
  ...plannedSchema.shape,
});

export type PlannedSetting = z.infer<typeof settingSchema>;
export type PlannedStep = z.infer<typeof stepSchema>;
export type Planned = z.infer<typeof plannedSchema>;
export type PlanReport = z.infer<typeof planSchema>;

/** All that a plan is described from. */
export interface PlanInput {
  readonly request: BuildRequest;
  readonly evaluation: Evaluation;
  readonly plan: BuildPlan;
  readonly mirrors: Mirrors;
  readonly hosts: readonly HostRepository[];
  /** What the store has of the steps; undefined: it cannot be seen. */
  readonly states: ReadonlyMap<string, StepState> | undefined;
  /** The text of build.conf. */
  readonly text: string;
  /** Names of the files in the two folders of modules. */
  readonly modules: { readonly project: readonly string[]; readonly builtIn: readonly string[] };
}

/** Completes what the builder has found by what the launcher knows. */
export function planReport(planned: Planned, around: Pick<PlanReport, 'config' | 'output' | 'warnings'>): PlanReport {
  return planSchema.parse({ version: PLAN_VERSION, builder: { name: 'realmfs-builder', version }, ...around, ...planned });
}

/** Describes a plan; pure. */
export function describePlan(input: PlanInput): Planned {
  const { config, customisation } = input.plan;
  return {
    settings: [...settings.map((row) => describeSetting(row, input)), ...otherVariables(input.request)],
    steps: describeSteps(input),
    packages: [...config.packages, ...customisation.packages],
    files: input.plan.stageTwo.flatMap(({ step, module }) =>
      [...customisation.before, ...customisation.after]
        .filter(({ folder }) => module.origin === 'folder' && folder === module.name)
        .flatMap(({ folder, entries }) =>
          entries.filter(({ kind }) => kind !== 'folder').map((entry) => ({ step, file: `${folder}/${entry.path}` })),
        ),
    ),
    localPackages: customisation.localPackages.map(({ file, name, version, arch }) => ({ file, name, version, arch })),
    targets: customisation.targets.map((name) => ({ name, file: findTarget(name).file(config.name) })),
    provides: customisation.provides === undefined ? null : [...customisation.provides],
  };
}

type Origin = Pick<PlannedSetting, 'origin' | 'from' | 'line'>;

const DEFAULT: Origin = { origin: 'default', from: 'default' };

/** Where a setting has its value from; options win, then build.conf, the environment, realmfs.env. */
export function originOf(key: string, { request, evaluation, text }: Pick<PlanInput, 'request' | 'evaluation' | 'text'>): Origin {
  if (key in request.overrides) return { origin: 'option', from: 'option' };
  const said = evaluation.said.get(key);
  if (said === 'changed') {
    const line = assignmentLine(text, key);
    const file = request.configName ?? '';
    return line === undefined ? { origin: 'config', from: file } : { origin: 'config', from: `${file}:${line}`, line };
  }
  // What build.conf has unset is as if it had never been given; the builder's own settings do not pass through it.
  const kept = said === 'kept' || settings.some((row) => row.key === key && row.type === 'builder');
  if (kept && key in request.environment) return { origin: 'environment', from: 'environment' };
  if (kept && key in request.envFile) return { origin: 'realmfs.env', from: 'realmfs.env' };
  return DEFAULT;
}

function describeSetting(row: Setting, input: PlanInput): PlannedSetting {
  const { key } = row;
  const found = lookedUp(key, input);
  const { value, ...origin } = found ?? { ...originOf(key, input), value: settingValue(row, input) };
  if (isSecret(key)) return { key, value: HIDDEN, ...origin };
  return { key, value: typeof value === 'string' ? hideCredentials(value) : value.map(hideCredentials), ...origin };
}

const JOINED = ['PACKAGES', 'PRE_INSTALL_MODULES', 'POST_INSTALL_MODULES'];

function settingValue({ key, type, fallback = '' }: Setting, { request, evaluation, plan }: PlanInput): string | string[] {
  if (type === 'builder') return request.overrides[key] ?? request.environment[key] ?? request.envFile[key] ?? fallback;
  if (key === 'IMAGE_TARGETS') return [...plan.config.targets];
  if (type === 'text') return plan.config.raw[key] ?? '';
  const base = evaluation.bases.get(key);
  if (base !== undefined) return [...base];
  const list = words(evaluation.variables.get(key));
  return JOINED.includes(key) ? list.slice(evaluation.bases.get(`BASE_${key}`)?.length ?? 0) : list;
}

/** A setting that was left open, and what the builder makes of it; undefined if its own value counts. */
function lookedUp(key: string, input: PlanInput): (Origin & { value: string }) | undefined {
  const { config } = input.plan;
  const { mirrors, hosts } = input;
  const apt = { origin: 'host', from: "the host's apt" } as const;
  if ((config.raw[key] ?? '') !== '') return undefined;
  switch (key) {
    case 'DEBIAN_MIRROR':
      return hosts.some(({ uri }) => uri === mirrors.main)
        ? { ...apt, value: mirrors.main }
        : { origin: 'host', from: "debootstrap's default", value: mirrors.main };
    case 'DEBIAN_SECURITY_MIRROR':
      if (mirrors.security === '') return undefined;
      return config.mirror === '' && hosts.some(({ uri }) => uri === mirrors.security)
        ? { ...apt, value: mirrors.security }
        : { origin: 'derived', from: 'DEBIAN_MIRROR', value: mirrors.security };
    case 'DEBIAN_IMAGE_MIRROR':
      return { origin: 'derived', from: 'DEBIAN_MIRROR', value: mirrors.main };
    case 'DEBIAN_ARCH':
      return { origin: 'host', from: "the host's dpkg", value: config.arch };
    case 'SOURCE_DATE_EPOCH':
      return { origin: 'derived', from: "the suite's Release file", value: '' };
    default:
      return undefined;
  }
}

/** Variables of build.conf that are no settings, set by options. */
function otherVariables({ overrides }: BuildRequest): PlannedSetting[] {
  const known = new Set(settings.map(({ key }) => key));
  return Object.entries(overrides)
    .filter(([key]) => !known.has(key))
    .map(([key, value]) => ({ key, value: isSecret(key) ? HIDDEN : hideCredentials(value), origin: 'option', from: 'option' }));
}

function describeSteps({ plan, evaluation, modules, request, states }: PlanInput): PlannedStep[] {
  const { earlyHooks, chrootHooks, binaryHooks } = plan.customisation;
  const series = new Map([...earlyHooks, ...chrootHooks, ...binaryHooks].map((hook) => [hook.file, hook.series]));
  const sources = new Map<string, StepSource>([
    ...plan.stageTwo.map(({ step, module }) => [step, module] as const),
    ...plan.binaryHooks.map(({ step, hook }) => [step, { name: hook.file, origin: 'hook' }] as const),
  ]);
  const describe = (step: string): Omit<PlannedStep, 'cached' | 'why'> => {
    const source = sources.get(step);
    if (source !== undefined && isModule(source)) return describeModule(step, source, evaluation, modules);
    if (source !== undefined) {
      const named = series.get(source.name);
      return { step, origin: source.origin, from: named === undefined ? source.name : `${source.name}, series ${named}`, overrides: [] };
    }
    const target = step.startsWith('target/') ? findTarget(step.slice('target/'.length)).file(plan.config.name) : undefined;
    const from = target ?? (step === 'config' ? (request.configName ?? 'built-in base image') : 'builder');
    return { step, origin: 'builder', from, overrides: [] };
  };
  return plan.steps.map((step) => {
    const state = states?.get(step);
    return { ...describe(step), cached: state?.cached ?? null, why: (state?.why ?? []).map(hideCredentials) };
  });
}

function describeModule(
  step: string,
  { name, origin }: ModuleReference,
  evaluation: Evaluation,
  modules: PlanInput['modules'],
): Omit<PlannedStep, 'cached' | 'why'> {
  const overrides: string[] = [];
  if (origin === 'function' && modules.project.includes(name)) overrides.push(`realmfs-modules/${name}`);
  if (origin !== 'built-in' && modules.builtIn.includes(name)) overrides.push('built-in');
  return { step, origin, from: moduleSource(name, origin, evaluation), module: name, overrides };
}

function moduleSource(name: string, origin: ModuleReference['origin'], evaluation: Evaluation): string {
  if (origin === 'built-in') return 'built-in';
  if (origin === 'project') return `realmfs-modules/${name}`;
  const place = evaluation.functions.get(name);
  return place === undefined ? 'function' : `function, ${shownPlace(place.file, String(place.line))}`;
}
