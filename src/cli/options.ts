import { Argument, Command, CommanderError, Option } from 'commander';
import { suggestion } from '../config/nearest.ts';
import { splitTargets } from '../config/settings.ts';
import { UsageError } from '../errors.ts';
import { version } from '../resources.ts';
import { parseSize, parseTime } from '../system/memory.ts';
import type { CacheAction, CacheOptions } from './cache-command.ts';
import type { DoctorOptions } from './doctor-command.ts';

export const progressKinds = ['auto', 'tty', 'plain', 'json', 'quiet'] as const;
export type ProgressKind = (typeof progressKinds)[number];
export type ColorChoice = 'auto' | 'always' | 'never';

/** What a command line says; what it leaves out is undefined. */
export interface CliOptions {
  readonly isNew: boolean;
  readonly config: string | undefined;
  readonly directory: string;
  readonly targets: readonly string[];
  readonly tmpfs: boolean;
  /** In bytes. */
  readonly tmpfsSize: number | undefined;
  readonly confirm: boolean;
  readonly keepRootfs: boolean;
  readonly cache: boolean;
  readonly rebuildFrom: string | undefined;
  readonly refresh: boolean;
  readonly shellOnFailure: boolean;
  readonly set: Readonly<Record<string, string>>;
  readonly proxy: string | undefined;
  readonly keyring: string | undefined;
  /** In milliseconds. */
  readonly timeout: number | undefined;
  readonly progress: ProgressKind;
  readonly verbose: boolean;
  readonly debug: boolean;
  readonly color: ColorChoice;
}

/** What the command line of `plan` says. */
export type PlanOptions = Pick<CliOptions, 'config' | 'directory' | 'targets' | 'set' | 'keyring' | 'debug' | 'color'> & {
  readonly json: boolean;
};

/** What the command line of `shell` says. */
export type ShellOptions = Pick<CliOptions, 'config' | 'set' | 'tmpfs' | 'debug' | 'color'> & {
  /** Empty: the finished tree. */
  readonly step: string;
  /** Undefined: an interactive shell. */
  readonly command: string | undefined;
};

/** What is to be done: build with options, run a command, or print a text and end. */
export type Parsed =
  | { readonly kind: 'options'; readonly options: CliOptions }
  | { readonly kind: 'plan'; readonly options: PlanOptions }
  | { readonly kind: 'shell'; readonly options: ShellOptions }
  | { readonly kind: 'cache'; readonly options: CacheOptions }
  | { readonly kind: 'doctor'; readonly options: DoctorOptions }
  | { readonly kind: 'text'; readonly text: string };

const EXAMPLES = `Examples:
  realmfs-builder --new              write a build.conf to start from
  sudo realmfs-builder               build what ./build.conf says, results in ./realmfs
  sudo realmfs-builder -t -z         a tarball, plain and compressed
  sudo realmfs-builder --set DEBIAN_RELEASE=bookworm other/build.conf
  sudo realmfs-builder --no-tmpfs    build on disk, where memory is short
  realmfs-builder plan               show what a build would do, and why
  sudo realmfs-builder doctor        what this machine lacks for a build

`;

const NOTES = `
Without CONFIG it is ./build.conf, and without that the built-in base image.
Exit codes: 0 done, 1 a step failed, 2 usage or configuration, 3 this machine,
4 fetch or verification, 5 locked by another build, 124 time limit, 128+n signal.`;

function collectSet(text: string, before: Record<string, string> = {}): Record<string, string> {
  const match = /^([A-Za-z_][A-Za-z_0-9]*)=(.*)$/s.exec(text);
  if (match?.[1] === undefined) throw new UsageError(`--set: '${text}' is not KEY=VALUE`);
  return { ...before, [match[1]]: match[2] ?? '' };
}

function parsed(option: string, parse: (text: string) => number | undefined, what: string) {
  return (text: string): number => {
    const value = parse(text);
    if (value === undefined || value <= 0) throw new UsageError(`${option}: '${text}' is no ${what}`);
    return value;
  };
}

/** Adds what steers a configuration: CONFIG itself, the output folder, targets. */
function steered(command: Command): Command {
  return command
    .argument('[config]', 'the configuration file')
    .option('--keyring <file>', 'the keys that the archive must be signed by (short for --set DEBIAN_KEYRING)')
    .option('-d, --directory <dir>', 'where results go', 'realmfs')
    .option('-t', 'a tarball (short for --targets tarball)')
    .option('-z', 'an xz tarball (short for --targets tarball-xz)')
    .option('-i', 'an ext4 image (short for --targets ext4)')
    .option('--targets <list>', 'what to make: tarball, tarball-xz, ext4');
}

const setOption = ['--set <key=value>', 'a setting of build.conf or realmfs.env; may be repeated', collectSet] as const;
const colorOption = (): Option => new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto');

/** A command beside the build: how its words are read, and what they mean. */
interface CommandRow {
  readonly doc: string;
  readonly make: () => Command;
  readonly read: (command: Command) => Parsed;
}

/** All commands; the entry runs them by the kind of what `read` returns. */
const commands: Readonly<Record<string, CommandRow>> = {
  cache: { doc: 'list the layers that make rebuilds fast, and remove some', make: cacheProgram, read: readCache },
  doctor: { doc: 'say what this machine lacks for a build', make: doctorProgram, read: readDoctor },
  shell: { doc: 'open the tree as it is after a step, to look around', make: shellProgram, read: readShell },
  plan: { doc: 'show settings, their origin and the steps; builds nothing', make: planProgram, read: readPlan },
};

/** Words that name a command; a file of that name is written ./NAME. */
export const commandNames: readonly string[] = Object.keys(commands);

function program(): Command {
  const list = Object.entries(commands).map(([name, { doc }]) => `  ${name.padEnd(22)} ${doc}`);
  return steered(
    new Command('realmfs-builder')
      .usage('[options] [CONFIG]')
      .description('Builds a Debian root file system or image from one shell file.')
      .option('--new', 'write build.conf from the template; never over an existing file'),
  )
    .option('--no-tmpfs', 'build on disk, in the output folder')
    .option('--tmpfs-size <size>', 'bound the tmpfs (2G, 900M)', parsed('--tmpfs-size', parseSize, 'size'))
    .option('--no-confirm', 'ask no question before the build')
    .option('--no-cache', 'reuse no layer; fetched packages are reused all the same')
    .option('--rebuild-from <step>', 'reuse no layer from this step on')
    .option('--refresh', 'ask the archive now whether it has changed')
    .option('--shell-on-failure', 'open a shell in the step that fails; its command retry runs the step again')
    .option('--keep-rootfs', 'leave the finished tree at DIR/rootfs')
    .option(...setOption)
    .option('--proxy <url>', 'for fetches only, never in the image; DIRECT: none')
    .option('--timeout <time>', 'for the whole build (90s, 30m, 2h); then exit 124', parsed('--timeout', parseTime, 'time'))
    .addOption(new Option('--progress <kind>', 'how to show progress').choices(progressKinds).default('auto'))
    .option('-q, --quiet', 'show no progress (short for --progress quiet)')
    .option('-v, --verbose', 'show the output of every command')
    .option('--debug', 'show commands and stack traces too')
    .addOption(colorOption())
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('beforeAll', EXAMPLES)
    .addHelpText('after', `\nCommands (realmfs-builder COMMAND --help says more):\n${list.join('\n')}\n${NOTES}`);
}

function planProgram(): Command {
  return steered(
    new Command('realmfs-builder plan')
      .usage('[options] [CONFIG]')
      .description('Shows every setting with its origin, and every step. Needs no root and leaves nothing.'),
  )
    .option(...setOption)
    .option('--json', 'one JSON object on standard output')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help');
}

function doctorProgram(): Command {
  return new Command('realmfs-builder doctor')
    .usage('[options]')
    .description('Says what this machine lacks for a build. Changes nothing.')
    .option('--json', 'one JSON object on standard output')
    .option('-d, --directory <dir>', 'where results would go', 'realmfs')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function cacheProgram(): Command {
  return new Command('realmfs-builder cache')
    .usage('[options] list|du|prune|clear')
    .description('Lists and removes layers: what steps have left, kept for the next build. Layers that a build uses stay.')
    .addArgument(
      new Argument('<action>', 'list: all layers; du: space by project; prune: to the bounds below; clear: all').choices([
        'list',
        'du',
        'prune',
        'clear',
      ]),
    )
    .option(
      '--max-size <size>',
      'prune: remove what was not used for longest until this is left (default: LAYERS_MAX_SIZE)',
      (text: string) => {
        const size = parseSize(text);
        if (size === undefined) throw new UsageError(`--max-size: '${text}' is no size`);
        return size;
      },
    )
    .option('--older-than <time>', 'prune: remove what was not used for so long (90m, 12h, 30d)', parsed('--older-than', parseAge, 'time'))
    .option('--json', 'one JSON object on standard output')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function shellProgram(): Command {
  return new Command('realmfs-builder shell')
    .usage('[options] [STEP]')
    .description('Opens a shell in the tree as it is after STEP, or as it is when finished. What is changed there is thrown away.')
    .argument('[step]', 'bootstrap, packages, post/NAME or NAME; it must have been built')
    .option('-c <command>', 'run one command, and end with its exit code')
    .option('--config <file>', 'the configuration file')
    .option(...setOption)
    .option('--no-tmpfs', 'keep what is changed on disk')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

function readShell(command: Command): Parsed {
  const raw = command.opts<{
    c?: string;
    config?: string;
    set?: Record<string, string>;
    tmpfs: boolean;
    debug?: true;
    color: ColorChoice;
  }>();
  const { c, config, set = {}, tmpfs, debug, color } = raw;
  return { kind: 'shell', options: { step: command.args[0] ?? '', command: c, config, set, tmpfs, debug: debug === true, color } };
}

/** As parseTime, and days. */
function parseAge(text: string): number | undefined {
  const days = /^(\d+)d$/.exec(text.trim())?.[1];
  return days === undefined ? parseTime(text) : Number(days) * 24 * 3600 * 1000;
}

function readCache(command: Command): Parsed {
  const { json, maxSize, olderThan } = command.opts<{ json?: true; maxSize?: number; olderThan?: number }>();
  const action = command.args[0] as CacheAction;
  if (action !== 'prune' && (maxSize !== undefined || olderThan !== undefined))
    throw new UsageError('--max-size and --older-than belong to: cache prune');
  const bounds = { ...(maxSize === undefined ? {} : { maxSize }), ...(olderThan === undefined ? {} : { olderThan }) };
  return { kind: 'cache', options: { action, json: json === true, ...bounds } };
}

function readDoctor(command: Command): Parsed {
  const { json, directory } = command.opts<{ json?: true; directory: string }>();
  if (directory === '') throw new UsageError('--directory: names no folder');
  return { kind: 'doctor', options: { json: json === true, directory } };
}

/** The command that a command line begins with, and the command line without its name. */
function splitCommand(args: readonly string[], write: (text: string) => void): { name: string | undefined; rest: readonly string[] } {
  const finder = silent(program().enablePositionalOptions().helpCommand(false), write);
  for (const name of commandNames) finder.command(name);
  const { operands, unknown } = finder.parseOptions([...args]);
  const [name = ''] = operands;
  const at = args.length - unknown.length - 1;
  // Behind `--` it is the name of a file.
  if (!commandNames.includes(name) || args[at] !== name || args[at - 1] === '--') return { name: undefined, rest: args };
  return { name, rest: [...args.slice(0, at), ...args.slice(at + 1)] };
}

/** Makes a command throw where it would print and end. */
function silent(command: Command, write: (text: string) => void): Command {
  return command.exitOverride().configureOutput({ writeOut: write, writeErr: () => {}, outputError: () => {} });
}

interface Steering {
  readonly directory: string;
  readonly t?: true;
  readonly z?: true;
  readonly i?: true;
  readonly targets?: string;
  readonly set?: Record<string, string>;
  readonly keyring?: string;
}

/** The part of the options that steers a configuration. */
function readSteering(command: Command): Pick<CliOptions, 'config' | 'directory' | 'targets' | 'set' | 'keyring'> {
  const raw = command.opts<Steering>();
  const targets = [
    ...(raw.t ? ['tarball'] : []),
    ...(raw.z ? ['tarball-xz'] : []),
    ...(raw.i ? ['ext4'] : []),
    ...splitTargets(raw.targets ?? ''),
  ];
  if (raw.targets !== undefined && splitTargets(raw.targets).length === 0) throw new UsageError('--targets: names no target');
  if (raw.directory === '') throw new UsageError('--directory: names no folder');
  return { config: command.args[0], directory: raw.directory, targets: [...new Set(targets)], set: raw.set ?? {}, keyring: raw.keyring };
}

/**
 * Reads a command line, without the two words of node and the script.
 * @throws UsageError for anything that is wrong with it.
 */
export function parseArguments(args: readonly string[]): Parsed {
  let text = '';
  const write = (part: string): void => {
    text += part;
  };
  let help = 'realmfs-builder --help';
  try {
    const { name, rest } = splitCommand(args, write);
    const row = name === undefined ? undefined : commands[name];
    if (row !== undefined) help = `realmfs-builder ${name} --help`;
    const command = silent(row?.make() ?? program(), write);
    command.parse([...rest], { from: 'user' });
    return (row?.read ?? readBuild)(command);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'text', text };
    throw new UsageError(error.message.replace(/^error: /, ''), { hint: `${help} lists the options` });
  }
}

function readPlan(command: Command): Parsed {
  const raw = command.opts<{ json?: true; debug?: true; color: ColorChoice }>();
  return { kind: 'plan', options: { ...readSteering(command), json: raw.json === true, debug: raw.debug === true, color: raw.color } };
}

function readBuild(command: Command): Parsed {
  const raw = command.opts<{
    new?: true;
    tmpfs: boolean;
    tmpfsSize?: number;
    confirm: boolean;
    keepRootfs?: true;
    cache: boolean;
    rebuildFrom?: string;
    refresh?: true;
    shellOnFailure?: true;
    proxy?: string;
    timeout?: number;
    progress: ProgressKind;
    quiet?: true;
    verbose?: true;
    debug?: true;
    color: ColorChoice;
  }>();
  return {
    kind: 'options',
    options: {
      ...readSteering(command),
      isNew: raw.new === true,
      tmpfs: raw.tmpfs,
      tmpfsSize: raw.tmpfsSize,
      confirm: raw.confirm,
      keepRootfs: raw.keepRootfs === true,
      cache: raw.cache,
      rebuildFrom: raw.rebuildFrom,
      refresh: raw.refresh === true,
      shellOnFailure: raw.shellOnFailure === true,
      proxy: raw.proxy,
      timeout: raw.timeout,
      progress: raw.quiet ? 'quiet' : raw.progress,
      verbose: raw.verbose === true || raw.debug === true,
      debug: raw.debug === true,
      color: raw.color,
    },
  };
}

/** What to say of a word that is neither a command nor a file. */
export function unknownWord(word: string): UsageError {
  const candidates = [...commandNames, '--new', '--help', '--version', 'build.conf'].filter((name) => name !== word);
  const hint = /^[\w.-]+$/.test(word) ? suggestion(word, candidates) : '';
  return new UsageError(`${word}: there is no such file or command${hint}`, { hint: 'realmfs-builder --help lists the options' });
}
