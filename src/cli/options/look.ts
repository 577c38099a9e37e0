import { Command } from 'commander';
import { colorOption } from './shared.ts';
import type { ColorChoice, Parsed } from './types.ts';

/** The command line of `inspect`. */
export function inspectProgram(): Command {
  return new Command('realmfs-builder inspect')
    .usage('[options] FILE|DIR')
    .description(
      'Says what an image, a root folder or the output folder of a build is, and what it holds. Changes nothing, mounts nothing.',
    )
    .argument('<file>', 'an image of any kind, a root folder, or the output folder of a build')
    .option('--packages', 'list all packages, not the biggest alone')
    .option('--json', 'one JSON object on standard output')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

/** Reads it. */
export function readInspect(command: Command): Parsed {
  const { packages, json, debug, color } = command.opts<{ packages?: true; json?: true; debug?: true; color: ColorChoice }>();
  const options = { file: command.args[0] ?? '', json: json === true, packages: packages === true, debug: debug === true, color };
  return { kind: 'inspect', options };
}

/** The command line of `diff`. */
export function diffProgram(): Command {
  return new Command('realmfs-builder diff')
    .usage('[options] A B')
    .description('Says in what two builds, images or root folders differ: packages, files, sizes. Changes nothing, mounts nothing.')
    .argument('<a>', 'an image, a root folder, or the output folder of a build')
    .argument('<b>', 'another one, of the same kind or not')
    .option('--all', 'list all that differs')
    .option('--json', 'one JSON object on standard output')
    .option('--exit-code', 'end with 1 if they differ')
    .option('--debug', 'show commands and stack traces')
    .addOption(colorOption())
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false);
}

/** Reads it. */
export function readDiff(command: Command): Parsed {
  const { all, json, exitCode, debug, color } = command.opts<{
    all?: true;
    json?: true;
    exitCode?: true;
    debug?: true;
    color: ColorChoice;
  }>();
  const [a = '', b = ''] = command.args;
  const options = { a, b, json: json === true, all: all === true, exitCode: exitCode === true, debug: debug === true, color };
  return { kind: 'diff', options };
}
