import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { hasCode } from '../system/files.ts';

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
export async function listHooks(hooksD: string, sets: readonly string[], known: readonly string[] = []): Promise<HookList> {
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
    for (const [index, line] of (await linesOf(file)).entries()) {
      const text = line.replaceAll(AROUND, '');
      if (text === '' || text.startsWith('#')) continue;
      const [, directive, rest = ''] = DIRECTIVE.exec(text) ?? [];
      if (directive === 'provides') own.push(rest);
      else if (directive === 'depends') {
        if (!included.has(rest) || [...chain, name].includes(rest)) await take(rest, [...chain, name]);
        included.add(rest);
      } else if (!hooks.includes(text)) {
        if (leadsOut(text)) throw new BuilderError(`${path.relative(hooksD, file)}:${index + 1}: ${text} is no path below hooks.d`);
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
async function chrootHooks(hooksD: string): Promise<string[]> {
  const names = await readdir(path.join(hooksD, 'chroot')).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  });
  return names
    .filter((name) => /\.chroot(?:_early)?$/.test(name))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => `chroot/${name}`);
}

/** The file of a series; undefined: there is none. */
async function findSeries(hooksD: string, name: string, from: string | undefined): Promise<string | undefined> {
  if (leadsOut(name)) throw new BuilderError(`${name} is no name of a series${from === undefined ? '' : `: series ${from}`}`);
  for (const folder of ['extra', 'base']) {
    const file = path.join(hooksD, folder, 'series', name);
    const isThere = await stat(file).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isThere) return file;
  }
  return undefined;
}

/** The names of all series of a hooks.d folder. */
export async function seriesNames(hooksD: string): Promise<string[]> {
  const folders = ['extra', 'base'].map((folder) => path.join(hooksD, folder, 'series'));
  return (await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])))).flat();
}

/** The lines of a file, however they end. */
async function linesOf(file: string): Promise<string[]> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file)).split(/\r\n|\r|\n/);
  } catch (error) {
    throw new BuilderError(`${file}: ${error instanceof TypeError ? 'the text is not UTF-8' : String(error)}`);
  }
}

/** Whether a path could lead out of the folder that it is meant to be below. */
function leadsOut(name: string): boolean {
  return path.isAbsolute(name) || name.includes('\0') || name.split('/').includes('..');
}
