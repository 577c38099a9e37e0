import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Config, ModuleReference } from '../config/config.ts';
import type { Evaluation } from '../config/evaluate.ts';
import { findSetting } from '../config/settings.ts';
import { namesProject, reach, readsVariablesIndirectly, topLevel } from '../store/shell-text.ts';
import { readForeign, sha256File, statOrUndefined } from '../system/files.ts';
import { paths } from './context.ts';
import type { StagePlan } from './plan.ts';

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
];
/** Scripts larger than this are not looked through for the name of the project folder; in bytes. */
const LARGEST_SCRIPT = 1024 ** 2;

/** Steps that share a layer: the modules before the packages and the packages, later each step by itself. */
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

/** What a build knows of its project and of the program, as far as steps may depend on it. */
export interface Sources {
  /** The text of a module, as it would be run. */
  textOf(module: ModuleReference): Promise<string>;
  /** The texts of all modules of the project. */
  projectModules(): Promise<readonly string[]>;
  /** The text of a module that was called by its name; empty: a function, or nothing. */
  calledText(name: string): Promise<string>;
  /** What install_file and module would find now. */
  lookUp(read: string): Promise<string>;
  /** The digest of all of the project and of the builder's own files. */
  everything(): Promise<string>;
  /** The digest of the program as an image gets it. */
  program(): Promise<string>;
  /** The digest of the scripts that run every step. */
  readonly framework: string;
  /** True if a file of the project, beside build.conf and modules, names the project folder. */
  filesNameProject(): Promise<boolean>;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The digest of the scripts that run every step. */
export async function frameworkDigest(): Promise<string> {
  const [inside, outside] = await Promise.all([
    digestsOf(`${paths.library}/chroot`, ''),
    digestsOf(`${paths.program}/templates/sandbox`, ''),
  ]);
  return sha256(inside.join('\n') + outside.join('\n'));
}

/** Reads sources in the sandbox, each at most once. */
export function readSources(evaluation: Evaluation, framework: string): Sources {
  const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => {
      made ??= make();
      return made;
    };
  };
  const known = new Map<string, Promise<string>>();
  const moduleFile = ({ name, origin }: ModuleReference): string =>
    origin === 'project' ? `${paths.project}/realmfs-modules/${name}` : `${paths.library}/modules/${name}`;
  return {
    textOf: async (module) =>
      module.origin === 'function' ? (evaluation.bodies.get(module.name) ?? '') : readFile(await realpath(moduleFile(module)), 'utf8'),
    calledText: async (name) => {
      if (evaluation.functions.has(name)) return '';
      for (const folder of [`${paths.project}/realmfs-modules`, `${paths.library}/modules`]) {
        const text = await readForeign(path.join(folder, name));
        if (text !== undefined) return text.toString('utf8');
      }
      return '';
    },
    projectModules: once(async () => {
      const folder = `${paths.project}/realmfs-modules`;
      const names = (await statOrUndefined(folder))?.isDirectory() ? await readdir(folder) : [];
      const files = await Promise.all(names.map((name) => readForeign(`${folder}/${name}`)));
      return files.map((bytes) => bytes?.toString('utf8') ?? 'REALMFS_PROJECT');
    }),
    lookUp: (read) => {
      const found = known.get(read) ?? lookUp(read, evaluation);
      known.set(read, found);
      return found;
    },
    everything: once(async () => {
      // The settings lie beside them as scripts: they count by their values, where they count.
      const there = await readdir(paths.library);
      const ours = ['chroot', 'modules', 'files', 'program'].filter((name) => there.includes(name));
      const folders = [paths.project, ...ours.map((name) => `${paths.library}/${name}`)];
      return sha256((await Promise.all(folders.map((folder) => digestsOf(folder, '')))).flat().join('\n'));
    }),
    program: once(async () => sha256((await digestsOf(`${paths.library}/program`, '')).join('\n'))),
    framework,
    filesNameProject: once(async () => someFileNamesProject(paths.project, '')),
  };
}

/** `file NAME`: a file of realmfs-files; `module NAME`: what a module calls by name. */
async function lookUp(read: string, evaluation: Evaluation): Promise<string> {
  const [kind = '', name = ''] = [read.slice(0, read.indexOf(' ')), read.slice(read.indexOf(' ') + 1)];
  if (kind === 'module' && evaluation.functions.has(name)) return 'function';
  const folders = kind === 'module' ? ['realmfs-modules', 'modules'] : ['realmfs-files', 'files'];
  for (const [where, folder] of [
    ['project', `${paths.project}/${folders[0]}`],
    ['built-in', `${paths.library}/${folders[1]}`],
  ] as const) {
    const file = path.join(folder, name);
    if ((await statOrUndefined(file)) === undefined) continue;
    return `${where} ${await digestOf(file)}`;
  }
  return 'missing';
}

async function digestOf(file: string): Promise<string> {
  try {
    return await sha256File(await realpath(file));
  } catch (error) {
    return `unreadable: ${error instanceof Error && 'code' in error ? error.code : error}`;
  }
}

/** A line for every entry below a folder: kind, mode, name and content. */
async function digestsOf(folder: string, below: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(path.join(folder, below))).sort()) {
    const at = path.join(below, name);
    const file = path.join(folder, at);
    const stat = await lstat(file);
    const mode = stat.mode.toString(8);
    if (stat.isDirectory()) lines.push(`${mode} ${JSON.stringify(at)}`, ...(await digestsOf(folder, at)));
    else if (stat.isSymbolicLink()) lines.push(`link ${JSON.stringify(at)} ${JSON.stringify(await readlink(file))}`);
    else if (stat.isFile()) lines.push(`${mode} ${JSON.stringify(at)} ${await sha256File(file)}`);
    else lines.push(`${mode} ${JSON.stringify(at)} ${stat.rdev}`);
  }
  return lines;
}

async function someFileNamesProject(folder: string, below: string): Promise<boolean> {
  for (const entry of await readdir(path.join(folder, below), { withFileTypes: true })) {
    const at = path.join(below, entry.name);
    if (entry.isDirectory()) {
      if (at !== 'realmfs-modules' && (await someFileNamesProject(folder, at))) return true;
      continue;
    }
    const file = path.join(folder, at);
    if (!entry.isFile() || (await lstat(file)).size > LARGEST_SCRIPT) continue;
    const text = await readFile(file, 'latin1');
    // build.conf itself and what it sources is looked at as text of its functions and variables.
    if (/REALMFS_PROJECT|realmfs\/project/.test(text) && below !== '') return true;
  }
  return false;
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
  const { config, evaluation, sources } = build;
  const inputs: Record<string, string> = { 'the builder': sources.framework };
  const top = topLevel(evaluation.whole);
  // Without the text as bash prints it, all of build.conf counts as it stands.
  const commands = evaluation.whole === '' && build.hasConfig ? await sources.everything() : top.commands;
  if (commands !== '') inputs['commands at the top level of build.conf'] = commands;
  if (top.expansions !== '') inputs['what build.conf expands at its top level'] = top.expansions;
  // Our own modules call what they name, and install_file; of the project they see nothing else.
  const [texts, builtIn]: [string[], string[]] = [[], []];
  for (const { step, module } of cut.steps) {
    const text = await sources.textOf(module);
    inputs[`step ${step}`] = `${module.origin}\n${text}`;
    (module.origin === 'built-in' ? builtIn : texts).push(text);
  }
  if (builtIn.some((text) => text.includes('/lib/program'))) inputs['the program'] = await sources.program();
  const always = [...evaluation.bodies].filter(([name, text]) => name === 'command_not_found_handle' || /\ndeclare -\w*x/.test(text));
  const values = [...evaluation.declared.values()].filter((line) => !isConsumed(line));
  // A function may be called by a name that a variable holds.
  const named = reach([...texts, commands, ...always.map(([, text]) => text)], [...builtIn, ...values], evaluation.bodies);
  const functions = new Map([...always, ...named.functions]);
  for (const [name, text] of functions) inputs[`function ${name}`] = text;
  const all = [...texts, commands, ...functions.values()];
  // What `module NAME` finds is looked up when it runs; what it may read must be known before.
  if (all.some((text) => /(?:^|[^\w./-])module(?:$|[^\w./-])/m.test(text))) all.push(...(await sources.projectModules()));
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
