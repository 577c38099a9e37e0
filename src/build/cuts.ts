import type { Config } from '../config/config.ts';
import type { Evaluation } from '../config/evaluate.ts';
import { findSetting } from '../config/settings.ts';
import { namesProject, reach, readsVariablesIndirectly, topLevel, withoutProse } from '../store/shell-text.ts';
import { STEP_ORDER } from './differences.ts';
import { hasShell, type StagePlan } from './plan.ts';
import { asInput, type Sources } from './sources.ts';

/** Settings that the builder itself uses up: they are inputs of a step only if it names them. */
const consumed: readonly string[] = [
  'PACKAGES',
  'PRE_INSTALL_MODULES',
  'POST_INSTALL_MODULES',
  'BASE_PACKAGES',
  'BASE_PRE_INSTALL_MODULES',
  'BASE_POST_INSTALL_MODULES',
  'IMAGE_TARGETS',
  'IMAGE_FREE_SPACE',
  'NOCACHE_STEPS',
  'REALMFS_PROJECT_PACKAGES',
];

/** Steps that share a layer: all up to the packages, later each step by itself. */
export interface Cut {
  readonly steps: readonly StagePlan[];
  readonly step: string;
}

/** Parts the steps of stage two into layers. */
export function cutSteps(stageTwo: readonly StagePlan[]): Cut[] {
  const packages = stageTwo.findIndex(({ step }) => step === 'packages');
  const first = stageTwo.slice(0, packages + 1);
  return [{ steps: first, step: 'packages' }, ...stageTwo.slice(packages + 1).map((step) => ({ steps: [step], step: step.step }))];
}

/** What every cut of a build has in common. */
export interface BuildInputs {
  /** False: the built-in base image. */
  readonly hasConfig: boolean;
  readonly config: Config;
  readonly evaluation: Evaluation;
  readonly sources: Sources;
  /** Settings as steps see them: the text of the script that gives them to a step. */
  readonly settings: Readonly<Record<string, string>>;
  /** NAME=VALUE of our own scripts beside them. */
  readonly environment: Readonly<Record<string, string>>;
}

/** All that the steps of a cut depend on and that is known before they run: names and values. */
export async function inputsOf(cut: Cut, build: BuildInputs): Promise<Record<string, string>> {
  const { sources } = build;
  const inputs: Record<string, string> = { 'the builder': sources.framework };
  inputs[STEP_ORDER] = cut.steps.map(({ step }) => step).join('\n');
  for (const { module } of cut.steps) Object.assign(inputs, await sources.filesOf(module));
  // What is only copied knows nothing of build.conf; the shell is that of the layer below.
  if (cut.steps.some(hasShell)) Object.assign(inputs, await shellInputs(cut, build));
  else inputs['setting SOURCE_DATE_EPOCH'] = build.settings.SOURCE_DATE_EPOCH ?? '';
  return inputs;
}

/** What steps depend on that begin with build.conf and the shell of the step before. */
async function shellInputs(cut: Cut, build: BuildInputs): Promise<Record<string, string>> {
  const { config, evaluation, sources } = build;
  const inputs: Record<string, string> = {};
  const top = topLevel(evaluation.whole);
  // Without the text as bash prints it, all of build.conf counts as it stands.
  const commands = evaluation.whole === '' && build.hasConfig ? await sources.everything() : top.commands;
  if (commands !== '') inputs['commands at the top level of build.conf'] = commands;
  if (top.expansions !== '') inputs['what build.conf expands at its top level'] = top.expansions;
  // Our own modules call what they name, and install_file; of the project they see nothing else.
  // Hooks are programs of their own: they call no function, and see variables that are exported.
  const [texts, hooks, builtIn]: [string[], string[], string[]] = [[], [], []];
  for (const { step, module } of cut.steps.filter(hasShell)) {
    const text = await sources.textOf(module);
    // A hook knows its own path.
    inputs[`step ${step}`] = asInput(`${module.origin}${module.origin === 'hook' ? ` ${module.name}` : ''}\n${text}`);
    (module.origin === 'built-in' ? builtIn : module.origin === 'hook' ? hooks : texts).push(text);
  }
  if (builtIn.some((text) => text.includes('/lib/program'))) inputs['the program'] = await sources.program();
  const always = [...evaluation.bodies].filter(([name, text]) => name === 'command_not_found_handle' || /\ndeclare -\w*x/.test(text));
  const values = [...evaluation.declared.values()].filter((line) => !isConsumed(line));
  // A function may be called by a name that a variable holds.
  const named = reach(
    [...texts, commands, ...always.map(([, text]) => text)],
    [...builtIn.map(withoutProse), ...values],
    evaluation.bodies,
  );
  const functions = new Map([...always, ...named.functions]);
  for (const [name, text] of functions) inputs[`function ${name}`] = text;
  const all = [...texts, commands, ...functions.values()];
  // What `module NAME` finds is looked up when it runs; what it may read must be known before.
  if (all.some((text) => /(?:^|[^\w./-])module(?:$|[^\w./-])/m.test(text))) all.push(...(await sources.projectModules()));
  all.push(...hooks);
  const seen = [...all, ...builtIn].join('\n');
  const isIndirect = readsVariablesIndirectly(all.join('\n'));
  const isExported = (key: string): boolean => /^declare -\w*x/.test(evaluation.declared.get(key) ?? '');
  const counts = (key: string): boolean => !consumed.includes(key) || isIndirect || isExported(key) || seen.includes(key);
  for (const [name, line] of evaluation.declared) if (counts(name)) inputs[`variable ${name}`] = line;
  for (const [key, value] of Object.entries(build.settings)) if (counts(key)) inputs[`setting ${key}`] = value;
  for (const [key, value] of Object.entries(build.environment)) inputs[`setting ${key}`] = value;
  inputs['the shell that build.conf leaves'] = evaluation.shell;
  if (cut.step === 'packages' || counts('PACKAGES')) inputs.packages = config.packages.join(' ');
  if (counts('PRE_INSTALL_MODULES')) inputs.modules = [...config.preModules, ...config.postModules].map(({ name }) => name).join(' ');
  const projectCounts =
    !top.readsNothing ||
    all.some(namesProject) ||
    values.some((line) => !line.includes(' REALMFS_PROJECT=') && namesProject(line)) ||
    (await sources.filesNameProject());
  if (projectCounts) inputs['the whole project'] = await sources.everything();
  return inputs;
}

function isConsumed(line: string): boolean {
  const name = /^declare -\S+ ([^=]+)/.exec(line)?.[1] ?? '';
  return consumed.includes(name) || findSetting(name) !== undefined;
}

/** Whether a step must run each time: its text says so, or a setting names it. */
export function mustRun({ step, module }: StagePlan, text: string, names: readonly string[]): boolean {
  return names.includes(step) || names.includes(module.name) || saysNoCache(text);
}

/** Whether the text of a module says that it runs in every build. */
export function saysNoCache(text: string): boolean {
  return /^\s*# *cache: *no\s*$/m.test(text);
}
