import { ConfigError, type Problem } from '../errors.ts';
import type { BuildRequest } from '../messages/request.ts';
import { findInside, readInside } from '../system/inside.ts';
import { parseSize } from '../system/memory.ts';
import type { Runner } from '../system/runner.ts';
import { type ExtraSources, readPins, readSources } from './apt-sources.ts';
import { assignmentLine, checkScript, type Evaluation, fileNames, unknownOverrides, words } from './evaluate.ts';
import { suggestion } from './nearest.ts';
import { contradictions } from './package-words.ts';
import { findSetting, settings, splitTargets } from './settings.ts';

/** Where a module comes from, in the order of the look-up. */
export type ModuleOrigin = 'function' | 'project' | 'built-in';

/** A module of one of the lists. */
export interface ModuleReference {
  readonly name: string;
  readonly origin: ModuleOrigin;
}

/** What to build: complete and checked; plain JSON. */
export interface Config {
  readonly release: string;
  /** Empty: the mirror is looked up. */
  readonly mirror: string;
  readonly imageMirror: string;
  readonly securityMirror: string;
  readonly arch: string;
  readonly components: readonly string[];
  readonly keyring: string;
  readonly targets: readonly string[];
  /** In bytes. */
  readonly freeSpace: number;
  readonly hostname: string;
  readonly name: string;
  readonly channel: string;
  readonly profile: string;
  readonly userPassword: string;
  /** Whether the dates in Release files count. */
  readonly checkDates: boolean;
  /** Further repositories, as they are written to the image. */
  readonly extraSources: ExtraSources;
  /** apt's pins; empty: none. */
  readonly extraPins: string;
  /** Whether modules have the network. */
  readonly network: boolean;
  readonly sourceDateEpoch: number | undefined;
  /** Globs of what stays of the keys and identifiers that packages draw; `keep`: all. */
  readonly identities: readonly string[];
  readonly packages: readonly string[];
  readonly preModules: readonly ModuleReference[];
  readonly packageModule: ModuleReference;
  readonly postModules: readonly ModuleReference[];
  /** Every setting as build.conf, the environment and the options give it, before anything is looked up. */
  readonly raw: Readonly<Record<string, string>>;
}

/** The folder of the project's modules. */
const MODULES = 'realmfs-modules';
const HELPERS = ['module', 'info', 'warn', 'fatal', 'install_file'];
/** The framework's own functions are no modules. */
const MODULE_NAME = /^(?!__realmfs_)[A-Za-z0-9_][A-Za-z0-9_.+-]*$/;

/**
 * Checks what build.conf says and makes a Config of it.
 * @throws ConfigError with every problem that was found.
 */
export async function makeConfig(options: {
  request: BuildRequest;
  evaluation: Evaluation;
  /** The copy of the project in the sandbox. */
  project: string;
  /** The folder of the built-in modules. */
  builtIn: string;
  targets: readonly string[];
  /** The suites that debootstrap knows. */
  suites: readonly string[];
  hostArch: string;
  runner: Runner;
}): Promise<Config> {
  const { request, evaluation, project, builtIn, runner } = options;
  const shown = request.configName ?? 'base image';
  const text = request.configName === null ? '' : ((await readInside(project, request.configName))?.toString('utf8') ?? '');
  const problems: Problem[] = [];
  const add = (key: string, message: string): void => {
    const line = key in request.overrides ? undefined : assignmentLine(text, key);
    problems.push({ file: line === undefined ? origin(key, request, shown) : shown, ...(line === undefined ? {} : { line }), message });
  };

  for (const key of unknownOverrides(request, evaluation, text)) {
    problems.push({
      file: '--set',
      message: `${key}: neither a setting nor a variable of ${shown}${suggestion(key, [...settings.map((row) => row.key), ...evaluation.names])}`,
    });
  }
  const raw = checkSettings(evaluation, add);
  const release = raw.DEBIAN_RELEASE ?? '';
  if (findSetting('DEBIAN_RELEASE')?.check?.(release) === undefined && !options.suites.includes(release)) {
    add('DEBIAN_RELEASE', `DEBIAN_RELEASE: debootstrap knows no suite ${release}${suggestion(release, options.suites)}`);
  }
  const targets = splitTargets(raw.IMAGE_TARGETS ?? '');
  for (const target of targets) {
    if (!options.targets.includes(target))
      add(
        'IMAGE_TARGETS',
        `IMAGE_TARGETS: there is no target ${target}${suggestion(target, options.targets)} (known: ${options.targets.join(', ')})`,
      );
  }
  if (targets.length === 0) add('IMAGE_TARGETS', 'IMAGE_TARGETS: names no target');
  const components = (raw.DEBIAN_COMPONENTS ?? '').split(/\s+/).filter((word) => word !== '');
  if (components.length === 0) add('DEBIAN_COMPONENTS', 'DEBIAN_COMPONENTS: names no component');

  const extraSources = await readSources(raw.EXTRA_SOURCES ?? '', project, (message) => add('EXTRA_SOURCES', `EXTRA_SOURCES: ${message}`));
  const extraPins = await readPins(raw.EXTRA_PINS ?? '', project, (message) => add('EXTRA_PINS', `EXTRA_PINS: ${message}`));

  const packages = words(evaluation.variables.get('PACKAGES'));
  for (const { name, word } of contradictions(packages))
    add('PACKAGES', `PACKAGES: has ${word}, which installs a package, and ${name}-, which takes it away; leave one of them out`);

  const modules = await findModules({ evaluation, project, builtIn, runner, problems, add });
  if (problems.length > 0) throw new ConfigError(problems);

  const setting = (key: string): string => raw[key] ?? '';
  return {
    release: setting('DEBIAN_RELEASE'),
    mirror: setting('DEBIAN_MIRROR').replace(/\/+$/, ''),
    imageMirror: setting('DEBIAN_IMAGE_MIRROR').replace(/\/+$/, ''),
    securityMirror: setting('DEBIAN_SECURITY_MIRROR').replace(/\/+$/, ''),
    arch: setting('DEBIAN_ARCH') || options.hostArch,
    components,
    keyring: setting('DEBIAN_KEYRING'),
    targets: [...new Set(targets)],
    freeSpace: parseSize(setting('IMAGE_FREE_SPACE')) ?? 0,
    hostname: setting('REALMFS_HOSTNAME'),
    name: setting('REALMFS_NAME'),
    channel: setting('REALMFS_CHANNEL'),
    profile: setting('REALMFS_PROFILE'),
    userPassword: setting('REALMFS_USER_PASSWORD'),
    checkDates: setting('CHECK_DATES') !== 'off',
    extraSources,
    extraPins,
    network: setting('NETWORK') !== 'off',
    sourceDateEpoch: setting('SOURCE_DATE_EPOCH') === '' ? undefined : Number(setting('SOURCE_DATE_EPOCH')),
    identities: words(evaluation.variables.get('IDENTITIES')),
    packages,
    ...modules,
    raw,
  };
}

/** Looks up the modules of the lists, and checks those that are files of the project. */
async function findModules(options: {
  evaluation: Evaluation;
  project: string;
  builtIn: string;
  runner: Runner;
  problems: Problem[];
  add: (key: string, message: string) => void;
}): Promise<Pick<Config, 'preModules' | 'packageModule' | 'postModules'>> {
  const { evaluation, project, runner, problems, add } = options;
  const projectModules = await fileNames(project, MODULES);
  const builtIn = await fileNames(options.builtIn, '.');
  problems.push(...(await strayModules(project, projectModules)));
  const find = async (name: string, key: string): Promise<ModuleReference> => {
    if (!MODULE_NAME.test(name) || HELPERS.includes(name)) {
      add(key, `${key}: '${name}' is no module name`);
      return { name, origin: 'built-in' };
    }
    if (evaluation.functions.has(name)) return { name, origin: 'function' };
    if (projectModules.includes(name)) {
      const file = `${MODULES}/${name}`;
      if (!problems.some((problem) => problem.file === file)) problems.push(...(await checkScript(project, file, runner)));
      return { name, origin: 'project' };
    }
    if (!builtIn.includes(name)) {
      // Not a file like `a b`, which can be no module.
      const names = [...evaluation.functions.keys(), ...projectModules, ...builtIn].filter((known) => MODULE_NAME.test(known));
      add(key, `${key}: there is no module ${name}${suggestion(name, names)}`);
    }
    return { name, origin: 'built-in' };
  };
  const findAll = async (key: string): Promise<ModuleReference[]> => {
    const found: ModuleReference[] = [];
    for (const name of words(evaluation.variables.get(key))) found.push(await find(name, key));
    return found;
  };
  return {
    preModules: await findAll('PRE_INSTALL_MODULES'),
    packageModule: await find('install-packages', 'PACKAGES'),
    postModules: await findAll('POST_INSTALL_MODULES'),
  };
}

/** Modules that are links out of the project, and such folders: a module may call or install any of their files by its name. */
async function strayModules(project: string, names: readonly string[]): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const file of [MODULES, 'realmfs-files', ...names.filter((name) => MODULE_NAME.test(name)).map((name) => `${MODULES}/${name}`)]) {
    const found = project === '' ? undefined : await findInside(project, file);
    if (found?.kind === 'astray') problems.push({ file, message: found.why });
  }
  return problems;
}

/** Where a value comes from that no line of build.conf assigns. */
function origin(key: string, request: BuildRequest, shown: string): string {
  if (key in request.overrides) return '--set';
  if (key in request.environment) return 'environment';
  return key in request.envFile ? 'realmfs.env' : shown;
}

/** The settings as build.conf gives them; tells `add` what is wrong with a value. */
function checkSettings(evaluation: Evaluation, add: (key: string, message: string) => void): Record<string, string> {
  const raw: Record<string, string> = {};
  for (const { key, type, check } of settings) {
    const value = evaluation.variables.get(key);
    if (value === undefined) continue;
    if (type === 'builder') {
      add(key, `${key}: build.conf comes too late for it; set it in realmfs.env, the environment or with --set`);
      continue;
    }
    raw[key] = value.values.join(' ');
    if (type === 'text' && value.type === 'array') add(key, `${key}: is an array, but must be one string`);
    if (raw[key].includes('\ufffd')) add(key, `${key}: holds bytes that are no UTF-8`);
    for (const part of type === 'list' ? words(value) : [value.values[0] ?? '']) {
      const fault = check?.(part);
      if (fault !== undefined) add(key, `${key}: ${fault}`);
    }
  }
  return raw;
}
