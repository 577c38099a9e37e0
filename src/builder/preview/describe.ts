import type { ModuleReference } from '../../config/config.ts';
import { assignmentLine, type Evaluation, words } from '../../config/evaluate.ts';
import { isSecret, type Setting, settings } from '../../config/settings.ts';
import type { HostRepository, Mirrors } from '../../host/mirrors.ts';
import type { Planned, PlannedSetting, PlannedStep, StepState } from '../../messages/plan.ts';
import type { BuildRequest } from '../../messages/request.ts';
import { hideCredentials } from '../../system/credentials.ts';
import { findTarget } from '../../targets/all.ts';
import { type BuildPlan, isModule, type StepSource } from '../model/plan.ts';
import { shownPlace } from '../steps/step-failure.ts';

/** What is shown in the place of a secret. */
const HIDDEN = '(hidden)';

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
