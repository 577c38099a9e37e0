import { constants } from 'node:os';
import { type BuilderError, CommandError, ConfigError } from '../../errors.ts';
import { INSIDE } from '../../resources.ts';
import { readForeign } from '../../system/files.ts';
import { textOf } from '../../system/names.ts';
import type { CommandResult } from '../../system/runner.ts';
import { errorLines, guiltyPackage } from '../model/failures.ts';

/** Names in one message. */
const MOST_NAMES = 100;

/** Lines about devices in one message. */
const MOST_DEVICES = 3;
const NO_DEVICES =
  'nothing in a build can make device nodes: with one it could write the disks of this machine. An image needs none, its kernel makes /dev; ' +
  'take a package that leaves that to it (udev for makedev)';
/** What programs say of a file that is not there. */
const NOT_THERE = /No such file or directory|not found/;
const SIGHT = 'a module sees the project only if its text names REALMFS_PROJECT: see docs/layers.md, "Who sees the project"';

/** A record of lib.sh's `__realmfs_record`. */
export interface StatusRecord {
  readonly kind: string;
  readonly fields: readonly string[];
}

/** The records that a step has written; none if the file is gone. */
export async function readStatus(file: string): Promise<StatusRecord[]> {
  return textOf((await readForeign(file)) ?? Buffer.alloc(0))
    .split('\x1e')
    .filter((text) => text !== '')
    .map((text) => {
      const [kind = '', ...fields] = text.split('\x1f');
      return { kind, fields };
    });
}

/** Names a place inside the sandbox as the user knows it. */
export function shownPlace(file: string, line: string): string {
  const shown = file
    .replace(`${INSIDE}/project/`, '')
    .replace(`${INSIDE}/lib/modules/`, 'built-in module ')
    .replace(`${INSIDE}/lib/chroot/`, 'built-in ');
  return line === '' || line === '0' ? shown : `${shown}:${line}`;
}

/** Makes the error of a module that was not completed, from what it and the framework have said. */
export function moduleFailure(options: {
  name: string;
  command: string;
  how: string;
  result: CommandResult;
  records: readonly StatusRecord[];
  step: string;
  /** Whether all of the project was there. */
  seesProject: boolean;
  /** All lines by which apt says what it cannot do: a long list of unknown packages is more than the tail. */
  errors: readonly string[];
  /** Lines that say that a device node could not be made. */
  devices: readonly string[];
}): BuilderError {
  const { name, result, step, errors, devices } = options;
  const unknown = errors.flatMap((line) => {
    const match =
      /^E: (?:Unable to locate package (\S+)|Package '([^']+)' has no installation candidate|(?:Version|Release) '([^']+)' for '([^']+)' was not found|Couldn't find any package by (?:glob|regex) '([^']+)')/.exec(
        line,
      );
    return match === null ? [] : [match[1] ?? match[2] ?? match[5] ?? `${match[4]}${line.startsWith('E: Release') ? '/' : '='}${match[3]}`];
  });
  if (step === 'packages' && unknown.length > 0) {
    const names = [...new Set(unknown)];
    const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more, see the log` : '';
    const shown = names.slice(0, MOST_NAMES).join(', ') + more;
    const error = new ConfigError([{ message: `unknown ${names.length === 1 ? 'package' : 'packages'}: ${shown}` }]);
    error.step = step;
    return error;
  }
  const missesProject = !options.seesProject && step !== 'packages' && result.tail.some((line) => NOT_THERE.test(line));
  const error = new CommandError(
    failureCause(options),
    { exitCode: result.exitCode, signal: result.signal, tail: result.tail, line: options.command },
    step || name,
    devices.length > 0 ? NO_DEVICES : missesProject ? SIGHT : undefined,
  );
  // They may stand far above the last lines.
  error.details.push(...devices.slice(0, MOST_DEVICES).map((line) => `denied:  ${line}`));
  return error;
}

function failureCause({
  name,
  how,
  result,
  records,
  step,
}: {
  name: string;
  how: string;
  result: CommandResult;
  records: readonly StatusRecord[];
  step: string;
}): string {
  const fatal = records.find(({ kind }) => kind === 'fatal');
  if (fatal !== undefined) {
    const [message = '', file = '', line = ''] = fatal.fields;
    return file === '' || file.startsWith(`${INSIDE}/lib/chroot/`) ? message : `${shownPlace(file, line)}: ${message}`;
  }
  const hook = records.findLast(({ kind }) => kind === 'hook');
  if (hook !== undefined) return `${name}: ${exitText(Number(hook.fields[0]))}`;
  const guilty = guiltyPackage(result.tail);
  if (step === 'packages' && guilty !== undefined) return `the package ${guilty} could not be installed`;
  const said = step === 'packages' ? errorLines(result.tail).at(-1) : undefined;
  if (said !== undefined) return said;
  // The trap also reports commands whose failure did not end the module: under set +e, say.
  const failed = records.findLast(({ kind, fields }) => kind === 'failed' && fields[0] === String(result.exitCode));
  if (failed !== undefined) {
    const [code = '', command = '', file = '', line = ''] = failed.fields;
    const place = file === '' ? `module ${name}` : shownPlace(file, line);
    return `${place}: exit code ${code} from: ${command.replaceAll('\n', ' ')}`;
  }
  if (result.exitCode === 96) return result.tail.at(-1) ?? 'the image cannot be entered';
  if (result.exitCode === 0) return `module ${name} ended the shell before it was complete (exit, exec or a closed shell)`;
  const signal = signalOf(result.exitCode);
  if (signal !== undefined) return `module ${name} was killed by ${signal}`;
  const last = result.tail.findLast((line) => line.startsWith(INSIDE) && /: line \d+: /.test(line));
  return `module ${name} ${how} before it was complete${last === undefined ? '' : `: ${shownPlace(last, '')}`}`;
}

/** The signal that an exit code of a shell stands for. */
function signalOf(exitCode: number | undefined): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => exitCode === 128 + number)?.[0];
}

/** How a hook ended that was not completed. */
export function exitText(code: number): string {
  const signal = signalOf(code);
  if (signal !== undefined) return `killed by ${signal}`;
  return code === 126 || code === 127 ? `exit code ${code}: it, or its interpreter, could not be run` : `exit code ${code}`;
}
