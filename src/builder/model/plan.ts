import type { Config, ModuleOrigin, ModuleReference } from '../../config/config.ts';
import { type Evaluation, words } from '../../config/evaluate.ts';
import { type Customisation, noCustomisation } from '../../customize/customisation.ts';
import type { Hook } from '../../customize/hooks.ts';
import type { Placement } from '../../customize/placement.ts';
import { ConfigError } from '../../errors.ts';
import type { BuildRequest } from '../../messages/request.ts';
import { rootDir } from '../../targets/root-dir.ts';

/** What a step runs: a module, a hook, a folder that is copied onto the root, or debconf's answers. */
export type StepOrigin = ModuleOrigin | 'hook' | 'folder' | 'preseed';

/** What a step runs, by its name: that of a module, or a path below the project folder. */
export interface StepSource {
  readonly name: string;
  readonly origin: StepOrigin;
}

/** A step of stage two. */
export interface StepPlan {
  /** `overlay`, `early/NAME`, `pre/NAME`, `packages`, `post/NAME`, `hook/NAME`; a second one of a name ends in `#2`. */
  readonly step: string;
  readonly module: StepSource;
}

/** What will be done, as data. */
export interface BuildPlan {
  readonly config: Config;
  readonly customisation: Customisation;
  readonly stageTwo: readonly StepPlan[];
  /** The hooks that run beside the finished root, after the targets. */
  readonly binaryHooks: readonly { readonly step: string; readonly hook: Hook }[];
  /** The names of the targets that are written: those that were asked for, and the tree itself if it is to be kept. */
  readonly targets: readonly string[];
  /** The names of all steps in order. */
  readonly steps: readonly string[];
}

/** Config and customisation to plan; pure. */
export function planBuild(
  config: Config,
  customisation: Customisation = noCustomisation(config.targets),
  { keepRootfs }: Pick<BuildRequest, 'keepRootfs'> = { keepRootfs: false },
): BuildPlan {
  const seen = new Map<string, number>();
  const nameOf = (name: string): string => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  };
  const named = (name: string, module: StepSource): StepPlan => ({ step: nameOf(name), module });
  const folders = (placements: readonly Placement[]): StepPlan[] =>
    placements.map(({ folder }) => named(folder.replace(/^config\//, ''), { name: folder, origin: 'folder' }));
  const hooks = (kind: string, list: readonly Hook[]): StepPlan[] =>
    list.map(({ name, file }) => named(`${kind}/${name}`, { name: file, origin: 'hook' }));
  const stageTwo = [
    ...folders(customisation.before),
    ...(customisation.preseeds.length > 0 ? [named('preseed', { name: 'config/preseed', origin: 'preseed' })] : []),
    ...hooks('early', customisation.earlyHooks),
    ...config.preModules.map((module) => named(`pre/${module.name}`, module)),
    named('packages', config.packageModule),
    ...folders(customisation.after),
    ...config.postModules.map((module) => named(`post/${module.name}`, module)),
    ...hooks('hook', customisation.chrootHooks),
  ];
  const binaryHooks = customisation.binaryHooks.map((hook) => ({ step: nameOf(`binary/${hook.name}`), hook }));
  const targets = [...new Set([...customisation.targets, ...(keepRootfs ? [rootDir.name] : [])])];
  const steps = [
    'config',
    'bootstrap',
    ...stageTwo.map(({ step }) => step),
    'finalize',
    ...targets.map((target) => `target/${target}`),
    ...binaryHooks.map(({ step }) => step),
    'manifest',
  ];
  return { config, customisation, stageTwo, binaryHooks, targets, steps };
}

/** Whether a step runs code that is not the builder's own. */
export function isForeign({ module }: StepPlan): boolean {
  return module.origin === 'function' || module.origin === 'project' || module.origin === 'hook';
}

/** Whether a step begins with the shell that the one before it has left. */
export function hasShell({ module }: StepPlan): boolean {
  return module.origin !== 'folder' && module.origin !== 'preseed';
}

/** Whether a step runs a module. */
export function isModule(source: StepSource): source is ModuleReference {
  return source.origin === 'function' || source.origin === 'project' || source.origin === 'built-in';
}

/** The module that puts the program into the image. */
const SELF = 'install-realmfs-builder';

/** Whether a step puts the program into the image. */
export function needsProgram(plan: BuildPlan): boolean {
  return plan.stageTwo.some(({ module }) => module.name === SELF && module.origin === 'built-in');
}

/** @throws ConfigError if `--rebuild-from` names no step. */
export function checkStepName(name: string, plan: BuildPlan): void {
  const known = ['bootstrap', ...plan.stageTwo.map(({ step }) => step)];
  if (name === '' || known.some((step) => step === name || step.replace(/^\w+\//, '') === name)) return;
  throw new ConfigError([{ message: `--rebuild-from: there is no step ${name} (${known.join(', ')})` }]);
}

/** @throws ConfigError if `NOCACHE_STEPS` names what is neither a step nor a module of one. */
export function checkNoCacheSteps(evaluation: Evaluation, plan: BuildPlan): void {
  const known = [
    ...plan.stageTwo.flatMap(({ step, module }) => [step, module.name]),
    ...plan.binaryHooks.flatMap(({ step, hook }) => [step, hook.file]),
  ];
  const wrong = words(evaluation.variables.get('NOCACHE_STEPS')).filter((name) => !known.includes(name));
  if (wrong.length === 0) return;
  const steps = [...plan.stageTwo, ...plan.binaryHooks].map(({ step }) => step).join(', ');
  throw new ConfigError([{ message: `NOCACHE_STEPS: there is no step ${wrong.join(', ')} (${steps})` }]);
}
