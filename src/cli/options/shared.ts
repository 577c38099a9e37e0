import { type Command, Option } from 'commander';
import { splitTargets } from '../../config/settings.ts';
import { UsageError } from '../../errors.ts';
import { targetNames } from '../../targets/all.ts';
import type { CliOptions } from './types.ts';

function collectSet(text: string, before: Record<string, string> = {}): Record<string, string> {
  const match = SETTING.exec(text);
  if (match?.[1] === undefined || match[2] === undefined)
    throw new UsageError(`--set: '${text}' is not KEY=VALUE`, {
      hint: 'KEY alone takes the value that the environment has for it',
    });
  return { ...before, [match[1]]: match[2] };
}

/** `KEY=VALUE`, or `KEY`. */
const SETTING = /^([A-Za-z_][A-Za-z_0-9]*)(?:=(.*))?$/s;

/** The words of a command line, with the values that `--set KEY` takes from the environment: a command line can be seen by every user, an environment cannot. */
export function withValues(words: readonly string[], env: Readonly<Record<string, string | undefined>>): string[] {
  const end = words.indexOf('--');
  return words.map((word, at) => {
    const isSet = words[at - 1] === '--set' && (end < 0 || at < end);
    const [, key = '', value] = (isSet ? SETTING.exec(word) : null) ?? [];
    return value === undefined && env[key] !== undefined ? `${key}=${env[key]}` : word;
  });
}

/** The reader of an option whose value is a number of bytes or milliseconds. */
export function parsed(option: string, parse: (text: string) => number | undefined, what: string) {
  return (text: string): number => {
    const value = parse(text);
    if (value === undefined || value <= 0) throw new UsageError(`${option}: '${text}' is no ${what}`);
    return value;
  };
}

/** Adds what steers a configuration: CONFIG itself, the output folder, targets. */
export function steered(command: Command): Command {
  return command
    .argument('[config]', 'the configuration file')
    .option('--keyring <file>', 'the keys that the archive must be signed by (short for --set DEBIAN_KEYRING)')
    .option('-d, --directory <dir>', 'where results go', 'realmfs')
    .option('-t', 'a tarball (short for --targets tarball)')
    .option('-z', 'an xz tarball (short for --targets tarball-xz)')
    .option('-i', 'an ext4 image (short for --targets ext4)')
    .option('--targets <list>', `what to make: ${targetNames.join(', ')}`);
}

/** `--set`, and `--color`. */
export const setOption = [
  '--set <key=value>',
  'a setting of build.conf or realmfs.env; KEY alone: as the environment has it; may be repeated',
  collectSet,
] as const;
export const colorOption = (): Option => new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto');

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
export function readSteering(command: Command): Pick<CliOptions, 'config' | 'directory' | 'targets' | 'set' | 'keyring'> {
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
