import { Command, CommanderError, Option } from 'commander';
import { suggestion } from '../config/nearest.ts';
import { splitTargets } from '../config/settings.ts';
import { UsageError } from '../errors.ts';
import { version } from '../resources.ts';
import { parseSize, parseTime } from '../system/memory.ts';
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
  readonly set: Readonly<Record<string, string>>;
  /** In milliseconds. */
  readonly timeout: number | undefined;
  readonly progress: ProgressKind;
  readonly verbose: boolean;
  readonly debug: boolean;
  readonly color: ColorChoice;
}

/** What is to be done: run with options, or print a text and end. */
export type Parsed =
  | { readonly kind: 'options'; readonly options: CliOptions }
  | { readonly kind: 'doctor'; readonly options: DoctorOptions }
  | { readonly kind: 'text'; readonly text: string };

const EXAMPLES = `Examples:
  realmfs-builder --new              write a build.conf to start from
  sudo realmfs-builder               build what ./build.conf says, results in ./realmfs
  sudo realmfs-builder -t -z         a tarball, plain and compressed
  sudo realmfs-builder --set DEBIAN_RELEASE=bookworm other/build.conf
  sudo realmfs-builder --no-tmpfs    build on disk, where memory is short
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

function program(): Command {
  return new Command('realmfs-builder')
    .usage('[options] [CONFIG]')
    .description('Builds a Debian root file system or image from one shell file.')
    .argument('[config]', 'the configuration file')
    .option('--new', 'write build.conf from the template; never over an existing file')
    .option('-d, --directory <dir>', 'where results go', 'realmfs')
    .option('-t', 'a tarball (short for --targets tarball)')
    .option('-z', 'an xz tarball (short for --targets tarball-xz)')
    .option('-i', 'an ext4 image (short for --targets ext4)')
    .option('--targets <list>', 'what to make: tarball, tarball-xz, ext4')
    .option('--no-tmpfs', 'build on disk, in the output folder')
    .option('--tmpfs-size <size>', 'bound the tmpfs (2G, 900M)', parsed('--tmpfs-size', parseSize, 'size'))
    .option('--no-confirm', 'ask no question before the build')
    .option('--no-cache', 'reuse no layer; fetched packages are reused all the same')
    .option('--keep-rootfs', 'leave the finished tree at DIR/rootfs')
    .option('--set <key=value>', 'a setting of build.conf or realmfs.env; may be repeated', collectSet)
    .option('--timeout <time>', 'for the whole build (90s, 30m, 2h); then exit 124', parsed('--timeout', parseTime, 'time'))
    .addOption(new Option('--progress <kind>', 'how to show progress').choices(progressKinds).default('auto'))
    .option('-q, --quiet', 'show no progress (short for --progress quiet)')
    .option('-v, --verbose', 'show the output of every command')
    .option('--debug', 'show commands and stack traces too')
    .addOption(new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto'))
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('beforeAll', EXAMPLES)
    .addHelpText('after', NOTES);
}

function doctorProgram(): Command {
  return new Command('realmfs-builder doctor')
    .usage('[options]')
    .description('Says what this machine lacks for a build. Changes nothing.')
    .option('--json', 'print one JSON object')
    .option('-d, --directory <dir>', 'where results would go', 'realmfs')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

/** Reads the words into the command; the text to print if that is all there is to do. */
function readWords(command: Command, args: readonly string[]): string | undefined {
  let text = '';
  command.exitOverride().configureOutput({
    writeOut: (part) => {
      text += part;
    },
    writeErr: () => {},
    outputError: () => {},
  });
  try {
    command.parse([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return text;
    throw new UsageError(error.message.replace(/^error: /, ''), { hint: `${command.name()} --help lists the options` });
  }
  return undefined;
}

function parseDoctor(args: readonly string[]): Parsed {
  const command = doctorProgram();
  const text = readWords(command, args);
  if (text !== undefined) return { kind: 'text', text };
  const { json, directory } = command.opts<{ json?: true; directory: string }>();
  if (directory === '') throw new UsageError('--directory: names no folder');
  return { kind: 'doctor', options: { json: json === true, directory } };
}

/**
 * Reads a command line, without the two words of node and the script.
 * @throws UsageError for anything that is wrong with it.
 */
export function parseArguments(args: readonly string[]): Parsed {
  if (args[0] === 'doctor') return parseDoctor(args.slice(1));
  const command = program();
  const text = readWords(command, args);
  if (text !== undefined) return { kind: 'text', text };
  const raw = command.opts<{
    new?: true;
    directory: string;
    t?: true;
    z?: true;
    i?: true;
    targets?: string;
    tmpfs: boolean;
    tmpfsSize?: number;
    confirm: boolean;
    keepRootfs?: true;
    set?: Record<string, string>;
    timeout?: number;
    progress: ProgressKind;
    quiet?: true;
    verbose?: true;
    debug?: true;
    color: ColorChoice;
  }>();
  const targets = [
    ...(raw.t ? ['tarball'] : []),
    ...(raw.z ? ['tarball-xz'] : []),
    ...(raw.i ? ['ext4'] : []),
    ...splitTargets(raw.targets ?? ''),
  ];
  if (raw.targets !== undefined && splitTargets(raw.targets).length === 0) throw new UsageError('--targets: names no target');
  if (raw.directory === '') throw new UsageError('--directory: names no folder');
  return {
    kind: 'options',
    options: {
      isNew: raw.new === true,
      config: command.args[0],
      directory: raw.directory,
      targets: [...new Set(targets)],
      tmpfs: raw.tmpfs,
      tmpfsSize: raw.tmpfsSize,
      confirm: raw.confirm,
      keepRootfs: raw.keepRootfs === true,
      set: raw.set ?? {},
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
  const hint = /^[\w.-]+$/.test(word) ? suggestion(word, ['--new', '--help', '--version', 'build.conf', 'doctor']) : '';
  return new UsageError(`${word}: there is no such file or command${hint}`, { hint: 'realmfs-builder --help lists the options' });
}
