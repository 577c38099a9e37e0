import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { readForeign } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import { byBytes, namesIn } from '../system/names.ts';

/** A hooks.d folder of a project: links lead to a place in the project, or nothing is read. */
export interface HooksD {
  /** The folder that links may lead to. */
  readonly project: string;
  /** hooks.d itself, below it; empty: the project itself. */
  readonly folder: string;
}

/** Hooks of a hooks.d folder, as its series name them. The form is that of livecd-rootfs' make-hooks. */
export interface HookList {
  /** Paths below hooks.d: all of `chroot/`, then those of the series; each once, where it stands first. */
  readonly hooks: readonly string[];
  /** The series that names a hook; those of `chroot/` are in none. */
  readonly series: ReadonlyMap<string, string>;
  /** The files that each set says it provides, its dependencies left out. */
  readonly provides: readonly { readonly set: string; readonly files: readonly string[] }[];
  /** Names that stand for no series, but for something that the caller knows; in the order in which they are needed. */
  readonly targets: readonly string[];
}

/** What Python takes for white space, which differs from what JavaScript does. */
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const AROUND = new RegExp(`^${SPACE}+|${SPACE}+$`, 'g');
const DIRECTIVE = new RegExp(`^(depends|provides)${SPACE}+([^]+)$`);

/** The names of sets in words: commas and semicolons separate as white space does. */
export function setNames(words: readonly string[]): string[] {
  return words
    .join(' ')
    .replaceAll(/[;,]/g, ' ')
    .split(new RegExp(`${SPACE}+`))
    .filter((name) => name !== '');
}

/**
 * Lists the hooks of sets, in the order in which they run. `known`: names that need no series; one with a series of its
 * name is the series.
 * @throws BuilderError for a set without a series file, a cycle, and paths that lead out of hooks.d
 */
export async function listHooks(hooksD: HooksD, sets: readonly string[], known: readonly string[] = []): Promise<HookList> {
  const hooks = await chrootHooks(hooksD);
  const series = new Map<string, string>();
  const included = new Set<string>();
  const targets = new Set<string>();
  const provides: { set: string; files: string[] }[] = [];

  /** Takes one series in, its dependencies first where they stand; `chain`: the series that it comes from. */
  async function take(name: string, chain: readonly string[]): Promise<string[]> {
    if (chain.includes(name)) throw new BuilderError(`the series depend on each other: ${[...chain, name].join(', ')}`);
    const file = await findSeries(hooksD, name, chain.at(-1));
    if (file === undefined) {
      const from = chain.at(-1);
      if (!known.includes(name))
        throw new BuilderError(
          `Series file for image set '${name}' not found.${from === undefined ? '' : ` Series ${from} depends on it.`}`,
        );
      targets.add(name);
      return [];
    }
    const own: string[] = [];
    for (const [index, line] of (await linesOf(hooksD, file)).entries()) {
      const text = line.replaceAll(AROUND, '');
      if (text === '' || text.startsWith('#')) continue;
      const [, directive, rest = ''] = DIRECTIVE.exec(text) ?? [];
      if (directive === 'provides') own.push(rest);
      else if (directive === 'depends') {
        if (!included.has(rest) || [...chain, name].includes(rest)) await take(rest, [...chain, name]);
        included.add(rest);
      } else if (!hooks.includes(text)) {
        if (leadsOut(text)) throw new BuilderError(`${file}:${index + 1}: ${text} is no path below hooks.d`);
        hooks.push(text);
        series.set(text, name);
      }
    }
    return own;
  }

  for (const set of sets) provides.push({ set, files: await take(set, []) });
  return { hooks, series, provides, targets: [...targets] };
}

/** Chroot hooks are in no series: all of them run, in the order of their names' code points. */
async function chrootHooks(hooksD: HooksD): Promise<string[]> {
  const names = (await namesOf(hooksD, 'chroot')).filter((name) => /\.chroot(?:_early)?$/.test(name));
  return names.sort(byBytes).map((name) => `chroot/${name}`);
}

/** What stands at a path below hooks.d; undefined: nothing. */
async function find({ project, folder }: HooksD, name: string) {
  const found = await findInside(project, path.join(folder, name));
  if (found.kind === 'astray') throw new BuilderError(`${name} ${found.why}`);
  return found.kind === 'there' ? found : undefined;
}

async function namesOf(hooksD: HooksD, name: string): Promise<string[]> {
  const found = await find(hooksD, name);
  return found?.stat.isDirectory() === true ? namesIn(found.path) : [];
}

/** The file of a series, below hooks.d; undefined: there is none. */
async function findSeries(hooksD: HooksD, name: string, from: string | undefined): Promise<string | undefined> {
  if (leadsOut(name)) throw new BuilderError(`${name} is no name of a series${from === undefined ? '' : `: series ${from}`}`);
  for (const folder of ['extra', 'base']) {
    const file = `${folder}/series/${name}`;
    if ((await find(hooksD, file))?.stat.isFile() === true) return file;
  }
  return undefined;
}

/**
 * The names of all series of a hooks.d folder.
 * @throws BuilderError if one of its folders leads out of the project
 */
export async function seriesNames(hooksD: HooksD): Promise<string[]> {
  const folders = ['extra', 'base'].map((folder) => `${folder}/series`);
  return (await Promise.all(folders.map((folder) => namesOf(hooksD, folder)))).flat();
}

/** The lines of a file, however they end. */
async function linesOf(hooksD: HooksD, file: string): Promise<string[]> {
  const found = await find(hooksD, file);
  const bytes = found === undefined ? undefined : await readForeign(found.path);
  if (bytes === undefined) throw new BuilderError(`${file}: cannot be read`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).split(/\r\n|\r|\n/);
  } catch {
    throw new BuilderError(`${file}: the text is not UTF-8`);
  }
}

/** Whether a path could lead out of the folder that it is meant to be below. */
function leadsOut(name: string): boolean {
  return path.isAbsolute(name) || name.includes('\0') || name.split('/').includes('..');
}
