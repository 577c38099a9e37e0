import type { Config } from '../../config/config.ts';
import type { Evaluation } from '../../config/evaluate.ts';
import { findSetting } from '../../config/settings.ts';
import type { Seal } from '../../store/seal.ts';
import { joinLines, namesLines, namesProject, reach, readsVariablesIndirectly, topLevel, withoutProse } from '../../store/shell-text.ts';
import { hasShell, type StepPlan } from '../model/plan.ts';
import { asInput, type StepTexts } from '../project/step-texts.ts';
import { STEP_ORDER } from './why-it-runs.ts';

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
  'IDENTITIES',
  'REALMFS_PROJECT_PACKAGES',
];

/** Steps that share a layer: all up to the packages, later each step by itself. */
export interface StepGroup {
  readonly steps: readonly StepPlan[];
  readonly step: string;
}

/** Parts the steps of stage two into layers. */
export function cutSteps(stageTwo: readonly StepPlan[]): StepGroup[] {
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
  readonly sources: StepTexts;
  /** Settings as steps see them: the text of the script that gives them to a step. */
  readonly settings: Readonly<Record<string, string>>;
  /** NAME=VALUE of our own scripts beside them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Takes secrets out of what stands in a layer. */
  readonly seal: Seal;
  /** Whether a package file of the project names the project folder. */
  readonly packagesNameProject: boolean;
}

/** The input that all of the project is: whose layer has it, may see it. */
export const WHOLE_PROJECT = 'the whole project';

/** All that the steps of a cut depend on and that is known before they run: names and values. `handedOn`: the shell of the step before. */
export async function inputsOf(cut: StepGroup, build: BuildInputs, handedOn: string): Promise<Record<string, string>> {
  const { sources } = build;
  const inputs: Record<string, string> = { 'the builder': sources.framework };
  inputs[STEP_ORDER] = cut.steps.map(({ step }) => step).join('\n');
  for (const { module } of cut.steps) Object.assign(inputs, await sources.filesOf(module));
  // What is only copied knows nothing of build.conf; the shell is that of the layer below.
  if (cut.steps.some(hasShell)) Object.assign(inputs, await shellInputs(cut, build));
  else inputs['setting SOURCE_DATE_EPOCH'] = build.settings.SOURCE_DATE_EPOCH ?? '';
  if (await seesProject(cut.steps, build, handedOn)) inputs[WHOLE_PROJECT] = await sources.everything();
  return inputs;
}

/** What the shells of some steps can reach. */
interface Reached {
  /** The texts of modules and functions of the user, of called modules and hooks, and the commands of build.conf. */
  readonly texts: readonly string[];
  readonly builtIn: readonly string[];
  readonly commands: string;
  readonly functions: ReadonlyMap<string, string>;
  /** The variables of build.conf that are no settings, as declare -p prints them. */
  readonly values: readonly string[];
}

async function reached(steps: readonly StepPlan[], { evaluation, sources, hasConfig }: BuildInputs): Promise<Reached> {
  // Without the text as bash prints it, all of build.conf counts as it stands.
  const commands = evaluation.whole === '' && hasConfig ? await sources.everything() : topLevel(evaluation.whole).commands;
  // Our own modules call what they name, and install_file.
  // Hooks are programs of their own: they call no function, and see variables that are exported.
  const [texts, hooks, builtIn]: [string[], string[], string[]] = [[], [], []];
  for (const { module } of steps.filter(hasShell))
    (module.origin === 'built-in' ? builtIn : module.origin === 'hook' ? hooks : texts).push(await sources.textOf(module));
  const always = [...evaluation.bodies].filter(([name, text]) => name === 'command_not_found_handle' || /\ndeclare -\w*x/.test(text));
  const values = [...evaluation.declared.values()].filter((line) => !isConsumed(line));
  // A function may be called by a name that a variable holds.
  const named = reach(
    [...texts, commands, ...always.map(([, text]) => text)],
    [...builtIn.map(withoutProse), ...values],
    evaluation.bodies,
  );
  const functions = new Map([...always, ...named.functions]);
  const all = [...texts, commands, ...functions.values()];
  // What `module NAME` finds is looked up when it runs; what it may read must be known before.
  if (all.some((text) => /(?:^|[^\w./-])module(?:$|[^\w./-])/m.test(text))) all.push(...(await sources.projectModules()));
  return { texts: [...all, ...hooks], builtIn, commands, functions, values };
}

/** Whether steps see the project: a text that they reach names it, or the shell that they begin with. */
export async function seesProject(steps: readonly StepPlan[], build: BuildInputs, handedOn: string): Promise<boolean> {
  const { evaluation, sources, hasConfig } = build;
  if (!steps.some(hasShell)) return false;
  // build.conf itself reads more than its own text, each time that a step reads it.
  if (build.packagesNameProject && steps.some(({ step }) => step === 'packages')) return true;
  if (hasConfig && (evaluation.whole === '' || !topLevel(evaluation.whole).readsNothing)) return true;
  const { texts, values } = await reached(steps, build);
  return (
    [...texts, handedOn].some(namesProject) ||
    values.some((line) => !line.includes(' REALMFS_PROJECT=') && namesProject(line)) ||
    sources.filesNameProject()
  );
}

/** What steps depend on that begin with build.conf and the shell of the step before. */
async function shellInputs(cut: StepGroup, build: BuildInputs): Promise<Record<string, string>> {
  const { config, evaluation, sources } = build;
  const { texts, builtIn, commands, functions, values } = await reached(cut.steps, build);
  const inputs: Record<string, string> = {};
  const { expansions } = topLevel(evaluation.whole);
  if (commands !== '') inputs['commands at the top level of build.conf'] = commands;
  if (expansions !== '') inputs['what build.conf expands at its top level'] = expansions;
  // A hook knows its own path.
  for (const { step, module } of cut.steps.filter(hasShell))
    inputs[`step ${step}`] = asInput(
      `${module.origin}${module.origin === 'hook' ? ` ${module.name}` : ''}\n${await sources.textOf(module)}`,
    );
  if (builtIn.some((text) => text.includes('/lib/program'))) inputs['the program'] = await sources.program();
  for (const [name, text] of functions) inputs[`function ${name}`] = text;
  // Comments and blank lines, which count for nothing, move the others.
  if ([...texts, ...values].some(namesLines)) inputs['the lines of the project'] = await sources.everything();
  const seen = joinLines([...texts, ...builtIn].join('\n'));
  const isIndirect = readsVariablesIndirectly(texts.join('\n'));
  const isExported = (key: string): boolean => /^declare -\w*x/.test(evaluation.declared.get(key) ?? '');
  const counts = (key: string): boolean => !consumed.includes(key) || isIndirect || isExported(key) || seen.includes(key);
  for (const [name, line] of evaluation.declared) if (counts(name)) inputs[`variable ${name}`] = line;
  for (const [key, value] of Object.entries(build.settings)) if (counts(key)) inputs[`setting ${key}`] = value;
  for (const [key, value] of Object.entries(build.environment)) inputs[`setting ${key}`] = value;
  inputs['the shell that build.conf leaves'] = evaluation.shell;
  if (cut.step === 'packages' || counts('PACKAGES')) inputs.packages = config.packages.join(' ');
  if (counts('PRE_INSTALL_MODULES')) inputs.modules = [...config.preModules, ...config.postModules].map(({ name }) => name).join(' ');
  return inputs;
}

function isConsumed(line: string): boolean {
  const name = /^declare -\S+ ([^=]+)/.exec(line)?.[1] ?? '';
  return consumed.includes(name) || findSetting(name) !== undefined;
}

/** Whether a step must run each time: its text says so, or a setting names it. */
export function mustRun({ step, module }: StepPlan, text: string, names: readonly string[]): boolean {
  return names.includes(step) || names.includes(module.name) || saysNoCache(text);
}

/** Whether the text of a module says that it runs in every build. */
export function saysNoCache(text: string): boolean {
  return /^\s*# *cache: *no\s*$/m.test(text);
}
