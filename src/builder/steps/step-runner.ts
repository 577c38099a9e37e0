import { randomBytes } from 'node:crypto';
import { chmod, copyFile, link, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { quote } from 'shell-quote';
import { settingsBefore } from '../../config/evaluate.ts';
import { BuilderError, type Failure } from '../../errors.ts';
import { INSIDE } from '../../resources.ts';
import { type Network, sandboxed } from '../../sandbox/namespaces.ts';
import type { WayOut } from '../../sandbox/network.ts';
import { readForeign } from '../../system/files.ts';
import { bytesOf, textOf } from '../../system/names.ts';
import { type Command, type CommandResult, commandLine, howItEnded } from '../../system/runner.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { Drawn } from '../model/drawn.ts';
import { explain, explained, isDeniedDevice } from '../model/failures.ts';
import type { StepSource } from '../model/plan.ts';
import { linkFree } from '../project/project-file.ts';
import { fileOf, type StepTexts } from '../project/step-texts.ts';
import { forgetAptCaches } from './apt-folders.ts';
import { aptProgress } from './progress.ts';
import { Questions } from './questions.ts';
import { Resolver } from './resolver.ts';
import { moduleFailure, readStatus } from './step-failure.ts';
import { StepProject } from './step-project.ts';
import { type BuildFacts, baseOfSteps, settingsInside, stepEnvironment } from './step-settings.ts';

/** Runs the steps of stage two one after the other; each begins with the shell state of the last. */
export class StepRunner {
  readonly #stage: BuildFacts;
  readonly #ctx: BuildContext;
  readonly #sources: StepTexts;
  /** Whether the next step sees all of the project. */
  seesProject = false;
  /** The file with the shell state that the last step has handed on. */
  state: string | undefined;
  /** What the package step has drawn. */
  drawn: Drawn = {};
  /** What the steps have looked up since the last `forget`, what they have warned of, and whether one has left something running. */
  #reads = new Set<string>();
  #warnings: string[] = [];
  #open = false;

  constructor(stage: BuildFacts, ctx: BuildContext, sources: StepTexts) {
    this.#stage = stage;
    this.#sources = sources;
    this.#ctx = ctx;
  }

  /** Begins what modules wait for. */
  begin(): void {
    if (this.#networkOfModules === 'own') this.#ctx.network.begin();
  }

  /** Returns what the steps since the last call have done that a layer must know. */
  forget(): { reads: readonly string[]; warnings: readonly string[]; open: boolean } {
    const seen = { reads: [...this.#reads], warnings: this.#warnings, open: this.#open };
    [this.#reads, this.#warnings, this.#open] = [new Set(), [], false];
    return seen;
  }

  /** A shell on the user's terminal, or one command, as a step would run. Returns its exit code. */
  async shell(step: string, options: { command: string | null; canRetry: boolean }): Promise<number> {
    const { terminalSize } = this.#ctx.request;
    const env = {
      ...baseOfSteps,
      REALMFS_STEP: step,
      ...(terminalSize === '' ? {} : { REALMFS_TERMINAL_SIZE: terminalSize, TERM: 'xterm' }),
    };
    const folder = await this.#folder({ ...env, ...(options.canRetry ? { REALMFS_RETRY: 'yes' } : {}) });
    await this.#fill(path.join(folder, 'in'));
    const file = `${INSIDE}/lib/chroot/shell.sh`;
    const bash = ['bash', '--noprofile'];
    const interactive = [...bash, '--rcfile', file, '-i'];
    const one = [...bash, '--norc', '-c', `source ${file}; eval "$1"`, 'bash', options.command ?? ''];
    // script(1) makes the terminal inside: that of the host has no name there.
    const onTerminal = ['script', '--quiet', '--return', '--command', quote(interactive), '/dev/null'];
    const args = options.command !== null ? one : terminalSize === '' ? interactive : onTerminal;
    const way = await this.#reach(this.#networkOfModules);
    const command = this.#command({ label: 'shell', args, folder, way, terminal: true, project: paths.project });
    const result = await this.#attempt(command, way);
    return result.exitCode ?? 1;
  }

  /**
   * One of our own scripts in templates/chroot, without build.conf and without the network. `files`: names in its `in/` folder;
   * `project`: what it finds as the project folder, if not an empty one.
   */
  async script(
    name: string,
    options: { env?: Readonly<Record<string, string>>; files?: Readonly<Record<string, string>>; project?: string },
  ): Promise<string> {
    const folder = await this.#folder({ ...stepEnvironment(this.#stage), ...options.env });
    for (const [as, file] of Object.entries(options.files ?? {})) await copyFile(file, path.join(folder, 'in', as));
    const args = ['bash', '--noprofile', '--norc', `${INSIDE}/lib/chroot/${name}`];
    const project = options.project ?? `${paths.work}/step-base/project`;
    await explained(undefined, () => this.#ctx.runner.run(this.#command({ label: name, args, folder, project })));
    return path.join(folder, 'out');
  }

  /** Runs a module or hook of the plan. `files`: names in its `in/` folder and their text. Returns the file with the state of the shell. */
  async run(module: StepSource, last: boolean, files: Readonly<Record<string, string>> = {}): Promise<string> {
    return path.join(await this.module(module, { network: this.#networkOfModules, last, files }), 'state.sh');
  }

  /** What modules and hooks have of the network. */
  get #networkOfModules(): Network {
    return this.#stage.plan.config.network && !this.#ctx.request.offline ? 'own' : 'none';
  }

  async #reach(network: Network): Promise<WayOut | undefined> {
    if (network === 'none') return undefined;
    return network === 'own' ? this.#ctx.network.wayOut() : this.#ctx.network.ofHost();
  }

  /**
   * Runs a module or a hook. `last`: none comes after it; `files`: names in its `in/` folder and their text; `apt`: it gets the
   * builder's own cache of packages and lists, which no module of the user sees. Returns the folder of what it has left: `state.sh`, and what the builder's own modules write there.
   */
  async module(
    module: StepSource,
    options: {
      network: Network;
      last: boolean;
      env?: Readonly<Record<string, string>>;
      files?: Readonly<Record<string, string>>;
      apt?: boolean;
    },
  ): Promise<string> {
    const { name } = module;
    const folder = await this.#folder({ ...baseOfSteps, ...options.env });
    for (const [as, text] of Object.entries(options.files ?? {})) await writeFile(path.join(folder, 'in', as), text);
    const token = randomBytes(16).toString('hex');
    await writeFile(path.join(folder, 'in', 'token'), token);
    await this.#fill(path.join(folder, 'in'));
    if (module.origin === 'hook') await this.#fillHook(path.join(folder, 'in', 'hook'), module);
    const project = await StepProject.make({
      step: folder,
      isWhole: this.seesProject,
      config: this.#ctx.request.configName,
      module,
      sources: this.#sources,
    });
    const errors: string[] = [];
    const devices: string[] = [];
    const isApt = options.env !== undefined && 'REALMFS_APT_STATUS_FD' in options.env;
    const way = await this.#reach(options.network);
    const command = this.#command({
      label: `${module.origin === 'hook' ? 'hook' : 'module'} ${name}`,
      args: ['bash', '--noprofile', '--norc', `${INSIDE}/lib/chroot/stage-two.sh`, name, options.last ? 'yes' : 'no', module.origin],
      folder,
      project: project.folder,
      way,
      apt: options.apt === true,
      ...(isApt ? { onStatus: this.#aptStatus } : {}),
      onLine: (line: string) => {
        if (isApt && line.startsWith('E: ')) errors.push(line);
        if (isDeniedDevice(line)) devices.push(line);
      },
    });
    const result = await this.#answering(path.join(folder, 'out'), project, () => this.#attempt(command, way));
    for (const read of project.reads) this.#reads.add(read);
    const records = await readStatus(path.join(folder, 'out', 'status'));
    for (const { kind, fields } of records) {
      if (kind === 'warning') {
        this.#ctx.steps.warn(fields[0] ?? '');
        this.#warnings.push(fields[0] ?? '');
      }
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
        devices,
        seesProject: this.seesProject,
        step: this.#ctx.steps.current,
      });
      throw await explain(error);
    }
    await forgetAptCaches(paths.root);
    return path.join(folder, 'out');
  }

  /** Answers what a step asks for as long as it runs. */
  async #answering<T>(out: string, project: StepProject, body: () => Promise<T>): Promise<T> {
    for (const pipe of ['ask', 'answer']) await link(path.join(paths.work, pipe), path.join(out, pipe));
    const questions = new Questions(paths.work, out, (kind, name) => project.answer(kind, name));
    try {
      return await body();
    } finally {
      await questions.end();
    }
  }

  /** Puts a hook by itself where it is run: it finds nothing beside it that it could depend on. */
  async #fillHook(folder: string, hook: StepSource): Promise<void> {
    const file = path.join(folder, path.basename(hook.name));
    await mkdir(folder);
    await copyFile(await linkFree(fileOf(hook) ?? ''), file);
    await chmod(file, 0o755);
  }

  /** Writes what a step begins with. */
  async #fill(input: string): Promise<void> {
    await writeFile(path.join(input, 'settings-before.sh'), settingsBefore(this.#ctx.request));
    await writeFile(path.join(input, 'settings-after.sh'), settingsInside(this.#stage, this.#ctx.request.overrides));
    await writeFile(path.join(input, 'config'), this.#ctx.request.configName ?? '');
    if (this.state !== undefined) await writeFile(path.join(input, 'state.sh'), bytesOf(await this.handedBack(this.state)));
  }

  /** Runs a step's command; while it has the network, the tree has the build's resolver. */
  async #attempt(command: Command, way: WayOut | undefined): Promise<CommandResult> {
    if (way === undefined) return this.#ctx.runner.attempt(command);
    const resolver = new Resolver(paths.root, way.resolver);
    await resolver.enter();
    try {
      return await this.#ctx.runner.attempt(command);
    } finally {
      await resolver.leave();
    }
  }

  /** A file that a step has left in its `out/`, which the step could have made anything; bytes that are not UTF-8 as in names. */
  async handedBack(file: string): Promise<string> {
    const bytes = await readForeign(file);
    if (bytes === undefined)
      throw new BuilderError(`a step has left no file ${path.basename(file)} behind`, { step: this.#ctx.steps.current });
    return textOf(bytes);
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
    /** What it finds as the project folder. */
    project: string;
    way?: WayOut | undefined;
    terminal?: boolean;
    apt?: boolean;
    onStatus?: (line: string) => void;
    onLine?: (line: string) => void;
  }) {
    return sandboxed({
      label: options.label,
      script: 'step.sh',
      args: options.args,
      network: options.way?.network ?? 'none',
      env: {
        RB_ROOT: paths.root,
        RB_STEP: options.folder,
        RB_PROJECT: options.project,
        RB_NETWORK: options.way === undefined ? 'off' : 'on',
        RB_HOSTNAME: this.#stage.plan.config.hostname,
        RB_ARCH: this.#stage.plan.config.arch,
        ...(options.apt ? { RB_APT: 'yes' } : {}),
        ...(options.terminal ? { RB_TERMINAL: 'yes' } : {}),
      },
      ...(options.terminal ? { terminal: true } : {}),
      ...(options.onStatus === undefined ? {} : { onStatus: options.onStatus }),
      ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
    });
  }
}

/** Opens the terminal's shell in the tree, or runs one command there. Nothing of it is kept. */
export async function shellIn(
  step: string,
  runner: StepRunner,
  ctx: BuildContext,
  after?: { readonly failure: Failure; readonly canRetry: boolean },
): Promise<number> {
  ctx.report({ kind: 'shell-start', step, ...(after === undefined ? {} : { failure: after.failure }) });
  const code = await runner.shell(step, { command: ctx.request.shell?.command ?? null, canRetry: after?.canRetry === true });
  ctx.report({ kind: 'shell-end', code });
  return code;
}
