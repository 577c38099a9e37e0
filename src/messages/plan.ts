import { z } from 'zod';
import { version } from '../resources.ts';

/** The version of the form of `plan --json`. */
export const PLAN_VERSION = 1;

/** Why a step runs that has no reason of its own: a step below it runs, or one that shares its layer. */
export const BELOW_RUNS = 'what comes before it runs';
export const RUNS_WITH = 'it shares a layer with ';

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

/** Completes what the builder has found by what the launcher knows. */
export function planReport(planned: Planned, around: Pick<PlanReport, 'config' | 'output' | 'warnings'>): PlanReport {
  return planSchema.parse({ version: PLAN_VERSION, builder: { name: 'realmfs-builder', version }, ...around, ...planned });
}

/** Whether a step would come from a layer, and if not, or not for sure, why. */
export interface StepState {
  readonly cached: boolean;
  readonly why: readonly string[];
}
