import { quote } from 'shell-quote';
import type { Problem } from '../errors.ts';
import type { BuildRequest } from '../messages/request.ts';
import { INSIDE } from '../resources.ts';
import { readForeign } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { namesIn } from '../system/names.ts';
import type { Runner } from '../system/runner.ts';
import { findSetting, settings } from './settings.ts';

/** A variable of build.conf: a string has one value. */
export interface ShellValue {
  readonly type: 'string' | 'array';
  readonly values: readonly string[];
}

/** What build.conf says, as bash has read it. */
export interface Evaluation {
  readonly variables: ReadonlyMap<string, ShellValue>;
  /**
   * Settings that had a value after build.conf and before options and defaults: `kept` is what was
   * there before it, `changed` what build.conf has made.
   */
  readonly said: ReadonlyMap<string, 'kept' | 'changed'>;
  /** The words of each base list, as the profile and the suite make them. */
  readonly bases: ReadonlyMap<string, readonly string[]>;
  /** Names of all variables that build.conf has made. */
  readonly names: ReadonlySet<string>;
  /** Functions, with the place where they are defined. */
  readonly functions: ReadonlyMap<string, { readonly file: string; readonly line: number }>;
  /** build.conf as bash prints it, without comments, as the body of a function; empty: there is none, or bash could not. */
  readonly whole: string;
  /** Every variable after options and defaults, before the base lists join, as `declare -p` prints it. */
  readonly declared: ReadonlyMap<string, string>;
  /** The texts of the functions that build.conf has made or changed. */
  readonly bodies: ReadonlyMap<string, string>;
  /** Options of the shell, umask, traps, aliases, IFS and working folder, as build.conf leaves them. */
  readonly shell: string;
}

/** Where the functions come from that are there before build.conf. */
const FRAMEWORK = `${INSIDE}/lib/chroot/`;
const LARGEST_SCRIPT = 4 * 1024 * 1024;

/** Script lines that give variables of the environment and the command line to build.conf. */
export function settingsBefore(request: BuildRequest): string {
  const values = Object.entries({ ...request.envFile, ...request.environment, ...request.overrides });
  const given = values.filter(([key]) => findSetting(key)?.type !== 'builder');
  return shellLines(given.map(([key, value]) => `${key}=${quote([value])}`));
}

/** Script lines that come after build.conf when it is evaluated: the command line wins, defaults fill up. */
export function settingsAfter(request: BuildRequest): string {
  return shellLines([
    ...overrideLines(request.overrides),
    ...settings.flatMap(({ key, fallback, type }) =>
      fallback === undefined || type === 'builder' ? [] : [`__realmfs_default ${key} ${quote([fallback])}`],
    ),
  ]);
}

/** Script lines by which the command line wins over build.conf; what is the builder's own never gets there. */
export function overrideLines(overrides: Readonly<Record<string, string>>): string[] {
  return Object.entries(overrides)
    .filter(([key]) => findSetting(key)?.type !== 'builder')
    .map(([key, value]) => `__realmfs_override ${key} ${quote([value])}`);
}

/** Joins lines into the text of a script. */
export function shellLines(lines: readonly string[]): string {
  return ['# shellcheck shell=bash', ...lines, ''].join('\n');
}

/** Faults that make bash misread a script of the project, found without running it; `name`: below the project folder. */
export async function checkScript(project: string, name: string, runner: Runner): Promise<Problem[]> {
  const found = await findInside(project, name);
  if (found.kind === 'astray') return [{ file: name, message: found.why }];
  if (found.kind === 'there' && found.stat.size > LARGEST_SCRIPT) return [{ file: name, message: 'is larger than 4 MiB' }];
  const text = found.kind === 'there' ? await readForeign(found.path) : undefined;
  if (found.kind === 'missing' || text === undefined) return [{ file: name, message: 'is not a regular file' }];
  return checkText(text, name, found.path, runner);
}

async function checkText(text: Buffer, shown: string, file: string, runner: Runner): Promise<Problem[]> {
  if (text.includes(0)) return [{ file: shown, line: lineOf(text, text.indexOf(0)), message: 'holds a NUL byte' }];
  if (text.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf]))) {
    return [{ file: shown, line: 1, message: 'begins with a byte order mark; save it as plain UTF-8' }];
  }
  const carriage = text.indexOf('\r\n');
  if (carriage >= 0) {
    return [
      { file: shown, line: lineOf(text, carriage), message: 'has Windows line ends (CRLF); convert it with: sed -i "s/\\r$//" FILE' },
    ];
  }
  const result = await runner.attempt({ label: `bash -n ${shown}`, file: 'bash', args: ['--noprofile', '--norc', '-n', '--', file] });
  if (result.exitCode === 0) return [];
  const problems = result.tail.flatMap((line): Problem[] => {
    const match = /: line (\d+): (.*)$/.exec(line);
    return match?.[1] === undefined || match[2]?.startsWith('`') ? [] : [{ file: shown, line: Number(match[1]), message: match[2] ?? '' }];
  });
  return problems.length > 0 ? problems : [{ file: shown, message: result.tail.at(-1) ?? 'cannot be read by bash' }];
}

function lineOf(text: Buffer, at: number): number {
  return text.subarray(0, at).toString('latin1').split('\n').length;
}

/**
 * Where build.conf last assigns a variable: good enough for a message, and used for nothing else.
 * Values come from bash alone, which also knows here documents and what a line is part of.
 */
export function assignmentLine(text: string, key: string): number | undefined {
  const pattern = new RegExp(`^\\s*(?:(?:export|readonly|declare|typeset)\\s+(?:-\\S+\\s+)*)?(?::\\s+"?\\$\\{)?${key}(?:\\+?=|:?=)`);
  const at = text.split('\n').findLastIndex((line) => pattern.test(line));
  return at < 0 ? undefined : at + 1;
}

/** Reads the records of templates/chroot/evaluate.sh; undefined if they are not complete. */
export function parseEvaluation(bytes: Buffer): Evaluation | undefined {
  const fields = bytes.toString('utf8').split('\0');
  const variables = new Map<string, ShellValue>();
  const said = new Map<string, 'kept' | 'changed'>();
  const bases = new Map<string, string[]>();
  const names = new Set<string>();
  const functions = new Map<string, { file: string; line: number }>();
  const declared = new Map<string, string>();
  const bodies = new Map<string, string>();
  let whole = '';
  let shell = '';
  let at = 0;
  const next = (): string => fields[at++] ?? '';
  while (at < fields.length) {
    switch (next()) {
      case 'var': {
        const [key, type, count] = [next(), next(), Number(next())];
        variables.set(key, { type: type === 'array' ? 'array' : 'string', values: Array.from({ length: count }, next) });
        break;
      }
      case 'said':
        said.set(next(), next() === 'kept' ? 'kept' : 'changed');
        break;
      case 'base': {
        const [key, count] = [next(), Number(next())];
        bases.set(key, Array.from({ length: count }, next));
        break;
      }
      case 'name':
        names.add(next());
        break;
      case 'function': {
        const [key, place, text] = [next(), next(), next()];
        const [, line = '0', file = ''] = /^\S+ (\d+) (.*)$/m.exec(place) ?? [];
        functions.set(key, { file, line: Number(line) });
        // The framework's own are no part of build.conf.
        if (!file.startsWith(FRAMEWORK)) bodies.set(key, text.trimEnd());
        break;
      }
      case 'whole':
        whole = next();
        break;
      case 'shell':
        shell = next();
        break;
      case 'declared':
        declared.set(next(), next());
        break;
      case 'done':
        return { variables, said, bases, names, functions, whole, declared, bodies, shell };
      default:
        return undefined;
    }
  }
  return undefined;
}

/** The words of a list setting. */
export function words(value: ShellValue | undefined): string[] {
  return (value?.values ?? []).flatMap((text) => text.split(/\s+/)).filter((word) => word !== '');
}

/** The names in a folder that may be files: all but folders. None if there is no folder, or it lies out of the project. */
export async function fileNames(parent: string, folder: string): Promise<string[]> {
  const found = await findInside(parent, folder);
  if (found.kind !== 'there' || !found.stat.isDirectory()) return [];
  const names = await namesIn(found.path);
  const kinds = await Promise.all(names.map((name) => findInside(parent, `${folder}/${name}`)));
  return names.filter((_, at) => {
    const kind = kinds[at];
    return kind?.kind !== 'there' || !kind.stat.isDirectory();
  });
}

/**
 * Keys of `--set KEY=VALUE` that neither the builder nor build.conf knows. What build.conf sets only
 * where there is no value yet (`: "${KEY:=x}"`) is not in `names`, but stands in its text.
 */
export function unknownOverrides(request: BuildRequest, evaluation: Evaluation, text: string): string[] {
  const known = (key: string): boolean =>
    findSetting(key) !== undefined || evaluation.names.has(key) || assignmentLine(text, key) !== undefined;
  return Object.keys(request.overrides).filter((key) => !known(key));
}
