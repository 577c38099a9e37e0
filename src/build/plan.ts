import type { Config, ModuleReference } from '../config/config.ts';

/** A step of stage two. */
export interface StagePlan {
  /** `pre/NAME`, `packages`, `post/NAME`; a second one of a name ends in `#2`. */
  readonly step: string;
  readonly module: ModuleReference;
}

/** What will be done, as data. */
export interface BuildPlan {
  readonly config: Config;
  readonly stageTwo: readonly StagePlan[];
  /** The names of all steps in order. */
  readonly steps: readonly string[];
}

/** Config to plan; pure. */
export function planBuild(config: Config): BuildPlan {
  const seen = new Map<string, number>();
  const named = (name: string, module: ModuleReference): StagePlan => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return { step: count === 1 ? name : `${name}#${count}`, module };
  };
  const stageTwo = [
    ...config.preModules.map((module) => named(`pre/${module.name}`, module)),
    named('packages', config.packageModule),
    ...config.postModules.map((module) => named(`post/${module.name}`, module)),
  ];
  const steps = [
    'config',
    'bootstrap',
    ...stageTwo.map(({ step }) => step),
    'finalize',
    ...config.targets.map((target) => `target/${target}`),
    'manifest',
  ];
  return { config, stageTwo, steps };
}
