import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { quote } from 'shell-quote';
import type { ModuleReference } from '../config/config.ts';
import { overrideLines, settingsBefore, shellLines } from '../config/evaluate.ts';
import { DEBIAN_KEYRING, settings } from '../config/settings.ts';
import { KEYRINGS } from '../config/sources.ts';
import { BuilderError, FetchError } from '../errors.ts';
import { SANDBOX } from '../resources.ts';
import { sandboxed } from '../sandbox/namespaces.ts';
import { PackageHarvest, parseNewer, parseUris } from '../store/packages.ts';
import { readForeign, statOrUndefined } from '../system/files.ts';
import { commandLine, howItEnded } from '../system/runner.ts';
import { type BuildContext, paths } from './context.ts';
import { explain, explained } from './failures.ts';
import { fetching, notCached } from './fetching.ts';
import { moduleFailure, readStatus } from './module-failure.ts';
import type { BuildPlan, StagePlan } from './plan.ts';
import { aptProgress } from './progress.ts';

/** What the steps of stage two need to know, beside the plan. */
export interface Stage {
  readonly plan: BuildPlan;
  readonly mirror: string;
  readonly securityMirror: string;
  /** Proxy variables for fetches. */
  readonly proxy: Readonly<Record<string, string>>;
  /** The Date of the base suite's Release, seconds since 1970. */
  readonly releaseDate: number;
  readonly sourceDateEpoch: number;
}

const base: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'dumb',
  LANG: 'C.UTF-8',
  DEBIAN_FRONTEND: 'noninteractive',
  DEBCONF_NONINTERACTIVE_SEEN: 'true',
  SYSTEMD_OFFLINE: '1',
  REALMFS_PROJECT: `${SANDBOX}/project`,
};

/** The environment of our own scripts. Steps get the last three once build.conf was read: it must not find them earlier here than when it was evaluated. */
export function stepEnvironment(stage: Stage): Record<string, string> {
  return {
    ...base,
    SOURCE_DATE_EPOCH: String(stage.sourceDateEpoch),
    DEBIAN_RELEASE: stage.plan.config.release,
    DEBIAN_MIRROR: stage.mirror,
  };
}

/** Where the archive's keys lie in the image: Debian's come with a package, others are put there by prepare.sh. */
export function signedBy(keyring: string): string {
  if (keyring === DEBIAN_KEYRING) return keyring;
  const name = path.basename(keyring);
  return `${KEYRINGS}/${/\.(gpg|asc)$/.test(name) ? name : `${name}.gpg`}`;
}

/** Every setting with the value that steps see. */
export function finalSettings(stage: Stage): Record<string, string> {
  const { config } = stage.plan;
  return {
    ...config.raw,
    DEBIAN_MIRROR: stage.mirror,
    DEBIAN_IMAGE_MIRROR: config.imageMirror || stage.mirror,
    DEBIAN_SECURITY_MIRROR: stage.securityMirror,
    DEBIAN_ARCH: config.arch,
    SOURCE_DATE_EPOCH: String(stage.sourceDateEpoch),
  };
}

/** Script lines that give every setting its final value inside the image. */
export function settingsInside(stage: Stage, overrides: Readonly<Record<string, string>>): string {
  const { config } = stage.plan;
  const final = finalSettings(stage);
  const planned: Record<string, readonly string[]> = {
    PACKAGES: config.packages,
    PRE_INSTALL_MODULES: config.preModules.map(({ name }) => name),
    POST_INSTALL_MODULES: config.postModules.map(({ name }) => name),
  };
  return shellLines([
    ...overrideLines(overrides),
    ...settings
      .filter(({ key, type }) => type !== 'builder' && key in final && !(key in planned) && !key.startsWith('BASE_'))
      .map(({ key }) => `__realmfs_settle ${key} ${quote([config.raw[key] ?? '', final[key] ?? ''])}`),
    `DEBIAN_SIGNED_BY=${quote([signedBy(config.keyring)])}`,
    'builtin export DEBIAN_RELEASE DEBIAN_MIRROR SOURCE_DATE_EPOCH',
    ...Object.entries(planned).map(([key, list]) => `__realmfs_planned_${key}=(${quote([...list])})`),
  ]);
}

/** The built-in package step. */
const installPackages: ModuleReference = { name: 'install-packages', origin: 'built-in' };

/** Runs the steps of stage two one after the other; each begins with the shell state of the last. */
export class StageTwo {
  readonly #stage: Stage;
  readonly #ctx: BuildContext;
  /** The file with the shell state that the last step has handed on. */
  state: string | undefined;
  /** What the steps have looked up since the last `forget`, what they have warned of, and whether one has left something running. */
  #reads = new Set<string>();
  #warnings: string[] = [];
  #open = false;

  constructor(stage: Stage, ctx: BuildContext) {
    this.#stage = stage;
    this.#ctx = ctx;
  }

  /** Returns what the steps since the last call have done that a layer must know. */
  forget(): { reads: readonly string[]; warnings: readonly string[]; open: boolean } {
    const seen = { reads: [...this.#reads], warnings: this.#warnings, open: this.#open };
    [this.#reads, this.#warnings, this.#open] = [new Set(), [], false];
    return seen;
  }

  /** Asks the archive whether it has changed: fetches its Release files and indices into apt's lists. */
  async update(): Promise<void> {
    const env = { ...this.#stage.proxy, ...this.#fetchTimeout, REALMFS_PACKAGES_PHASE: 'update' };
    await fetching(this.#ctx, async () => {
      await this.#module(installPackages, { network: true, last: true, env });
      await this.#harvest().harvestLists();
    });
  }

  /** What a run of the package step would bring up to date in the tree as it is: `NAME OLD -> NEW`. */
  async newer(): Promise<string[]> {
    const env = { REALMFS_PACKAGES_PHASE: 'newer' };
    const out = path.dirname(await this.#module(installPackages, { network: false, last: false, env }));
    return parseNewer(await this.#handedBack(path.join(out, 'newer')));
  }

  /** A shell on the user's terminal, or one command, as a step would run. Returns its exit code. */
  async shell(step: string, options: { command: string | null; canRetry: boolean }): Promise<number> {
    const { terminalSize } = this.#ctx.request;
    const network = this.#network;
    const env = { ...base, REALMFS_STEP: step, ...(terminalSize === '' ? {} : { REALMFS_TERMINAL_SIZE: terminalSize, TERM: 'xterm' }) };
    const folder = await this.#folder({ ...env, ...(options.canRetry ? { REALMFS_RETRY: 'yes' } : {}) });
    await this.#fill(path.join(folder, 'in'), network);
    const file = `${SANDBOX}/lib/chroot/shell.sh`;
    const bash = ['bash', '--noprofile'];
    const interactive = [...bash, '--rcfile', file, '-i'];
    const one = [...bash, '--norc', '-c', `source ${file}; eval "$1"`, 'bash', options.command ?? ''];
    // script(1) makes the terminal inside: that of the host has no name there.
    const onTerminal = ['script', '--quiet', '--return', '--command', quote(interactive), '/dev/null'];
    const args = options.command !== null ? one : terminalSize === '' ? interactive : onTerminal;
    const result = await this.#ctx.runner.attempt(this.#command({ label: 'shell', args, folder, network, terminal: true }));
    return result.exitCode ?? 1;
  }

  /** One of our own scripts in templates/chroot, without build.conf and without the network. `files`: names in its `in/` folder. */
  async script(name: string, env: Readonly<Record<string, string>> = {}, files: Readonly<Record<string, string>> = {}): Promise<string> {
    const folder = await this.#folder({ ...stepEnvironment(this.#stage), ...env });
    for (const [as, file] of Object.entries(files)) await copyFile(file, path.join(folder, 'in', as));
    const args = ['bash', '--noprofile', '--norc', `${SANDBOX}/lib/chroot/${name}`];
    await explained(undefined, () => this.#ctx.runner.run(this.#command({ label: name, args, folder, network: false })));
    return path.join(folder, 'out');
  }

  /** A step of the plan. The built-in package step fetches first, and installs without the network. */
  async run({ step, module }: StagePlan, last: boolean): Promise<void> {
    if (step !== 'packages' || module.origin !== 'built-in') {
      this.state = await this.#module(module, { network: this.#network, last, env: {} });
      return;
    }
    const harvest = this.#harvest();
    const phase = (name: string): Record<string, string> => ({ REALMFS_PACKAGES_PHASE: name, REALMFS_APT_STATUS_FD: '3' });
    const { offline } = this.#ctx.request;
    const fetch = {
      network: !offline,
      last: false,
      env: { ...this.#stage.proxy, ...this.#fetchTimeout, ...phase(offline ? 'look' : 'fetch') },
    };
    const get = async (): Promise<string[]> => {
      const out = path.dirname(await harvest.during(() => this.#module(module, fetch)));
      if (offline) await this.#checkMissing(path.join(out, 'missing'));
      return harvest.verify(parseUris(await this.#handedBack(path.join(out, 'uris'))));
    };
    await fetching(this.#ctx, async () => {
      const wrong = await get();
      if (wrong.length > 0) {
        this.#ctx.steps.warn(`damaged in the cache, ${offline ? 'removed' : 'fetched again'}: ${wrong.join(', ')}`);
        const still = await get();
        if (still.length > 0)
          throw new FetchError(`not what the signed index says: ${still.join(', ')}`, { step: this.#ctx.steps.current });
      }
      await harvest.harvestLists();
    });
    this.state = await this.#module(module, { network: false, last, env: phase('install') });
  }

  #harvest(): PackageHarvest {
    const { keyring } = this.#stage.plan.config;
    return new PackageHarvest({ cache: `${paths.cache}/apt`, view: paths.apt }, keyring, this.#ctx.runner);
  }

  get #fetchTimeout(): Record<string, string> {
    return { REALMFS_FETCH_TIMEOUT: String(this.#ctx.request.fetchTimeout) };
  }

  /** Whether modules have the network. */
  get #network(): boolean {
    return this.#stage.plan.config.network && !this.#ctx.request.offline;
  }

  /** Reads what the package step would have to fetch: a line for each list of apt, and what --print-uris says of packages. */
  async #checkMissing(file: string): Promise<void> {
    const text = await this.#handedBack(file);
    const files = text.split('\n').flatMap((line) => (line.startsWith('list ') ? [line.slice(5)] : []));
    files.push(...parseUris(text).keys());
    if (files.length > 0) throw notCached(files, this.#ctx.steps.current);
  }

  async #module(
    module: ModuleReference,
    options: { network: boolean; last: boolean; env: Readonly<Record<string, string>> },
  ): Promise<string> {
    const { name } = module;
    const folder = await this.#folder({ ...base, ...options.env });
    const token = randomBytes(16).toString('hex');
    await writeFile(path.join(folder, 'in', 'token'), token);
    await this.#fill(path.join(folder, 'in'), options.network);
    const errors: string[] = [];
    const command = this.#command({
      label: `module ${name}`,
      args: ['bash', '--noprofile', '--norc', `${SANDBOX}/lib/chroot/stage-two.sh`, name, options.last ? 'yes' : 'no', module.origin],
      folder,
      network: options.network,
      ...('REALMFS_APT_STATUS_FD' in options.env
        ? { onStatus: this.#aptStatus, onLine: (line: string) => void (line.startsWith('E: ') && errors.push(line)) }
        : {}),
    });
    const result = await this.#ctx.runner.attempt(command);
    const records = await readStatus(path.join(folder, 'out', 'status'));
    for (const { kind, fields } of records) {
      if (kind === 'warning') {
        this.#ctx.steps.warn(fields[0] ?? '');
        this.#warnings.push(fields[0] ?? '');
      }
      if (kind === 'read') this.#reads.add(fields[0] ?? '');
      if (kind === 'open') this.#open = true;
    }
    const complete = records.some(({ kind, fields }) => kind === 'done' && fields[0] === token);
    const fatal = records.find(({ kind }) => kind === 'fatal');
    if (result.exitCode !== 0 || !complete || fatal !== undefined) {
      const error = moduleFailure({
        name,
        command: commandLine(command),
        how: howItEnded(command, result),
        result,
        records,
        errors: errors.length > 0 ? errors : result.tail,
        step: this.#ctx.steps.current,
      });
      throw await explain(error);
    }
    return path.join(folder, 'out', 'state.sh');
  }

  /** Writes what a step begins with. */
  async #fill(input: string, network: boolean): Promise<void> {
    await writeFile(path.join(input, 'settings-before.sh'), settingsBefore(this.#ctx.request));
    await writeFile(path.join(input, 'settings-after.sh'), settingsInside(this.#stage, this.#ctx.request.overrides));
    await writeFile(path.join(input, 'config'), this.#ctx.request.configName ?? '');
    if (this.state !== undefined) await writeFile(path.join(input, 'state.sh'), await this.#handedBack(this.state));
    if (network && (await statOrUndefined('/etc/resolv.conf')) !== undefined)
      await copyFile('/etc/resolv.conf', path.join(input, 'resolv.conf'));
  }

  /** A file that a step has left in its `out/`, which the step could have made anything. */
  async #handedBack(file: string): Promise<string> {
    const bytes = await readForeign(file);
    if (bytes === undefined)
      throw new BuilderError(`a step has left no file ${path.basename(file)} behind`, { step: this.#ctx.steps.current });
    return bytes.toString('utf8');
  }

  /** Makes the folder through which a step gets its input and hands back its output. */
  async #folder(environment: Readonly<Record<string, string>>): Promise<string> {
    const folder = await mkdtemp(path.join(paths.steps, 'step-'));
    await mkdir(path.join(folder, 'in'));
    await mkdir(path.join(folder, 'out'));
    await writeFile(path.join(folder, 'out', 'status'), '');
    const text = Object.entries(environment).map(([key, value]) => `${key}=${value}\0`);
    await writeFile(path.join(folder, 'environment'), text.join(''));
    return folder;
  }

  #aptStatus = (line: string): void => {
    const progress = aptProgress(line);
    if (progress !== undefined) this.#ctx.steps.progress(progress.percent, progress.text);
  };

  #command(options: {
    label: string;
    args: readonly string[];
    folder: string;
    network: boolean;
    terminal?: boolean;
    onStatus?: (line: string) => void;
    onLine?: (line: string) => void;
  }) {
    return sandboxed({
      label: options.label,
      script: 'step.sh',
      args: options.args,
      network: options.network,
      env: {
        RB_ROOT: paths.root,
        RB_STEP: options.folder,
        RB_NETWORK: options.network ? 'on' : 'off',
        RB_HOSTNAME: this.#stage.plan.config.hostname,
        ...(options.terminal ? { RB_TERMINAL: 'yes' } : {}),
      },
      ...(options.terminal ? { terminal: true } : {}),
      ...(options.onStatus === undefined ? {} : { onStatus: options.onStatus }),
      ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
    });
  }
}
