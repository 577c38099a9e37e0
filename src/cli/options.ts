import { type Command, CommanderError } from 'commander';
import { suggestion } from '../config/nearest.ts';
import { UsageError } from '../errors.ts';
import { buildProgram, readBuild } from './options/build.ts';
import { commandNames, commands } from './options/commands.ts';
import type { Parsed } from './options/types.ts';

function program(): Command {
  return buildProgram(Object.entries(commands).map(([name, { doc }]) => `  ${name.padEnd(22)} ${doc}`));
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

/** What to say of a word that is neither a command nor a file. */
export function unknownWord(word: string): UsageError {
  const candidates = [...commandNames, '--new', '--help', '--version', 'build.conf'].filter((name) => name !== word);
  const hint = /^[\w.-]+$/.test(word) ? suggestion(word, candidates) : '';
  return new UsageError(`${word}: there is no such file or command${hint}`, { hint: 'realmfs-builder --help lists the options' });
}
