import { access } from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import { readEnvFile } from '../config/env-file.ts';
import { findSetting } from '../config/settings.ts';
import { ConfigError, PreflightError, UsageError } from '../errors.ts';
import { allTools, installCommand } from '../host/tools.ts';
import { nodeFloor, version } from '../resources.ts';
import { availableMemory } from '../system/memory.ts';
import { createRunner, type Runner } from '../system/runner.ts';
import { askMirror, lookAtKeyring, lookAtSuites } from './doctor/archive-findings.ts';
import { networkOfModules, rightsOfRoot, tryArchitecture, tryFeatures } from './doctor/kernel-findings.ts';
import type { DoctorReport, Finding } from './doctor/report.ts';
import { judgeMemory, lookAtCache, lookAtOutput } from './doctor/space-findings.ts';
import { lookAtTools } from './doctor/tool-findings.ts';
import type { DoctorOptions } from './options/types.ts';
import { findPlace, type Owner } from './place.ts';

/** What the command needs from its surroundings. */
export interface DoctorSurroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly owner: Owner | undefined;
  /** Ends what is being tried. */
  readonly signal: AbortSignal;
}

/** Programs that are started at the same time. */
const AT_ONCE = 6;
const KEYRING_PACKAGE = 'debian-archive-keyring';
/** Where wget looks for the authorities that vouch for https mirrors; the package that has them. */
const AUTHORITIES = { file: '/etc/ssl/certs/ca-certificates.crt', package: 'ca-certificates' };

/** Looks at all that a build needs of this machine. Changes nothing and leaves nothing. */
export async function doctorCommand(
  options: DoctorOptions,
  around: DoctorSurroundings,
  starter: Runner = createRunner({ report: () => {}, signal: around.signal, currentStep: () => 'doctor' }),
): Promise<DoctorReport> {
  const runner = bounded(starter);
  const uid = process.getuid?.() ?? 0;
  const isRoot = uid === 0;
  const { values, finding } = await readSettings(around, uid);
  const setting = (key: string): string => values[key] ?? '';
  const found = await lookAtTools(allTools, runner);
  const isThere = (name: string): boolean => found.some((tool) => tool.name === name && tool.state === 'ok');
  const memory = await availableMemory();
  const tmpfsFits = judgeMemory(memory, false).state === 'ok';
  const [kernel, foreign, output, cache, keyring, suites, mirror] = await Promise.all([
    tryFeatures(isRoot, isThere, runner),
    tryArchitecture(setting('DEBIAN_ARCH'), isThere, runner),
    lookAtOutput(path.resolve(around.cwd, options.directory), isRoot, tmpfsFits),
    lookAtCache(setting('REALMFS_CACHE_DIR'), isRoot),
    lookAtKeyring(setting('DEBIAN_KEYRING'), Date.now() / 1000),
    lookAtSuites(setting('DEBIAN_RELEASE')),
    askMirror(
      {
        wanted: { main: setting('DEBIAN_MIRROR').replace(/\/+$/, ''), security: setting('DEBIAN_SECURITY_MIRROR').replace(/\/+$/, '') },
        release: setting('DEBIAN_RELEASE'),
        proxy: pick(around.env, ['http_proxy', 'https_proxy', 'no_proxy']),
        isThere,
      },
      runner,
    ),
  ]);
  const tools = found.map((tool) => (tool.name === 'arch-test' && foreign !== undefined ? { ...tool, required: true } : tool));
  const report: Omit<DoctorReport, 'ready' | 'problems' | 'install'> = {
    v: 1,
    version,
    node: judgeNode(process.versions.node),
    user: isRoot ? { state: 'ok', text: 'root', uid } : { state: 'warn', text: `user ${uid}: a build needs root`, uid },
    settings: {
      ...finding,
      release: setting('DEBIAN_RELEASE'),
      arch: setting('DEBIAN_ARCH'),
      keyring: setting('DEBIAN_KEYRING'),
      cache: setting('REALMFS_CACHE_DIR'),
    },
    tools,
    kernel: [await rightsOfRoot(isRoot), ...kernel, networkOfModules(isRoot, isThere), ...(foreign === undefined ? [] : [foreign])],
    memory: judgeMemory(memory, (output.free ?? 0) >= judgeMemory(memory, false).needed),
    folders: [output, cache],
    keyring,
    suites,
    mirror,
  };
  const problems = problemsOf(report);
  const packages = await missingPackages(report);
  return { ...report, ready: problems.length === 0, problems, install: packages.length === 0 ? null : installCommand(packages) };
}

/** A runner that starts only so many programs at the same time. */
function bounded(runner: Runner): Runner {
  const limit = pLimit(AT_ONCE);
  return {
    isStopped: () => runner.isStopped(),
    run: (command) => limit(() => runner.run(command)),
    attempt: (command) => limit(() => runner.attempt(command)),
    capture: (command) => limit(() => runner.capture(command)),
    stream: (command, take) => limit(() => runner.stream(command, take)),
  };
}

/** The failure with which the command ends if no build can run here. */
export function doctorFailure({ problems, install }: Pick<DoctorReport, 'problems' | 'install'>): PreflightError | undefined {
  if (problems.length === 0) return undefined;
  return new PreflightError(`a build cannot run here: ${problems.join('; ')}`, { step: 'doctor', hint: install ?? undefined });
}

/** Whether a version of Node will do. */
export function judgeNode(found: string): DoctorReport['node'] {
  const [major = 0, minor = 0] = found.split('.').map(Number);
  const [neededMajor = 0, neededMinor = 0] = nodeFloor.split('.').map(Number);
  const enough = major > neededMajor || (major === neededMajor && minor >= neededMinor);
  const text = `${found}; ${nodeFloor} or later is needed`;
  return { state: enough ? 'ok' : 'failed', text, version: found, needed: nodeFloor };
}

/** What stands against a build, in words. */
export function problemsOf(report: Omit<DoctorReport, 'ready' | 'problems' | 'install'>): string[] {
  const { node, settings, tools, kernel, memory, folders, keyring, suites, mirror } = report;
  const missing = tools.filter(({ required, state }) => required && state === 'missing').map(({ name }) => name);
  const rest: [name: string, finding: Finding][] = [
    ['Node', node],
    ['settings', settings],
    ...tools.filter(({ required }) => required).map((tool): [string, Finding] => [tool.name, tool.state === 'missing' ? quiet : tool]),
    ...sameWords(kernel),
    ['memory', memory],
    ...folders.map((folder): [string, Finding] => [`${folder.name} folder`, folder]),
    ['keyring', keyring],
    ['suite', suites],
    ['mirror', mirror],
  ];
  return [
    ...(missing.length === 0 ? [] : [`missing: ${missing.join(', ')}`]),
    ...rest.filter(([, { state }]) => state === 'failed' || state === 'missing').map(([name, { text }]) => `${name}: ${text}`),
  ];
}

/** Features that are refused in the same words are one problem. */
function sameWords(kernel: DoctorReport['kernel']): [name: string, finding: Finding][] {
  return [...new Set(kernel.map(({ text }) => text))].map((text) => {
    const alike = kernel.filter((feature) => feature.text === text);
    return [alike.map(({ name }) => name).join(', '), { state: alike[0]?.state ?? 'ok', text }];
  });
}

const quiet: Finding = { state: 'ok', text: '' };

/** The packages of what is missing and needed. */
async function missingPackages({ tools, keyring, mirror }: Omit<DoctorReport, 'ready' | 'problems' | 'install'>): Promise<string[]> {
  const packages = tools.filter(({ required, state }) => required && state === 'missing').map((tool) => tool.package);
  if (keyring.state === 'missing' && keyring.file === findSetting('DEBIAN_KEYRING')?.fallback) packages.push(KEYRING_PACKAGE);
  if (mirror.main.startsWith('https:') && !(await exists(AUTHORITIES.file))) packages.push(AUTHORITIES.package);
  return packages;
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

const keys = ['DEBIAN_RELEASE', 'DEBIAN_MIRROR', 'DEBIAN_SECURITY_MIRROR', 'DEBIAN_ARCH', 'DEBIAN_KEYRING', 'REALMFS_CACHE_DIR'] as const;

/** The settings that matter here: of the environment, of realmfs.env, else the defaults. build.conf is not read. */
async function readSettings(around: DoctorSurroundings, uid: number): Promise<{ values: Record<string, string>; finding: Finding }> {
  const faults: string[] = [];
  let file: Record<string, string> = {};
  try {
    const { project } = await findPlace(undefined, around.cwd);
    // Without root and sudo the file of the user counts, as it does behind sudo.
    if (project !== '') file = await readEnvFile(project, around.owner?.uid ?? uid);
  } catch (error) {
    if (!(error instanceof ConfigError) && !(error instanceof UsageError)) throw error;
    faults.push(error.message);
  }
  const values: Record<string, string> = {};
  for (const key of keys) {
    const row = findSetting(key);
    const value = around.env[key] ?? file[key] ?? row?.fallback ?? '';
    const fault = row?.check?.(value);
    if (fault !== undefined) faults.push(`${key}: ${fault}`);
    values[key] = fault === undefined ? value : (row?.fallback ?? '');
  }
  const text = 'of the environment and realmfs.env, else the defaults; build.conf is not read';
  return { values, finding: faults.length === 0 ? { state: 'ok', text } : { state: 'failed', text: faults.join('; ') } };
}

function pick(env: DoctorSurroundings['env'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
