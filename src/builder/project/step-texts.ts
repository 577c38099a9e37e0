import { createHash } from 'node:crypto';
import { lstatSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Evaluation, fileNames } from '../../config/evaluate.ts';
import type { Customisation } from '../../customize/customisation.ts';
import { entryLine } from '../../customize/placement.ts';
import { holds, readForeign, sha256File } from '../../system/files.ts';
import { findInside, readInside } from '../../system/inside.ts';
import { bytesOf, namesIn, onDisk, textOf } from '../../system/names.ts';
import type { Runner } from '../../system/runner.ts';
import { paths } from '../model/context.ts';
import type { StepSource } from '../model/plan.ts';
import { linkFree } from './project-file.ts';

/** How a file names the project folder. */
const PROJECT_FOLDER = ['REALMFS_PROJECT', 'realmfs/project'];
/** What an image finds of the builder's own files, below its library. */
const OWN_FOLDERS = ['chroot', 'modules', 'files'];
/** Texts of steps above this count by their digest; in characters. */
const LONGEST_TEXT = 64 * 1024;
/** Scripts that are steps by themselves: what they name counts there. */
const runAsSteps: readonly string[] = ['realmfs-modules', 'hooks', 'hooks.d', 'config/hooks'];

/** What a build knows of its project and of the program, as far as steps may depend on it. */
export interface StepTexts {
  /** The text of a module, as it would be run. */
  textOf(module: StepSource): Promise<string>;
  /** What a folder or an answer for debconf brings into the tree: names and digests. */
  filesOf(module: StepSource): Promise<Readonly<Record<string, string>>>;
  /** The texts of all modules of the project. */
  projectModules(): Promise<readonly string[]>;
  /** The text of a module that was called by its name; empty: a function, or nothing. */
  calledText(name: string): Promise<string>;
  /** What install_file and module would find now. */
  lookUp(read: string): Promise<string>;
  /** The digest of all of the project. */
  everything(): Promise<string>;
  /** The digest of the program as an image gets it. */
  program(): Promise<string>;
  /** The digest of the builder's own files that every step can see, and of the scripts that run it. */
  readonly framework: string;
  /** True if a file of the project, beside build.conf and modules, names the project folder. */
  filesNameProject(): Promise<boolean>;
}

/** SHA-256 of a text as hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The digest of the builder's own files that every step can see, and of the scripts that run it. */
export async function frameworkDigest(): Promise<string> {
  const folders = [...OWN_FOLDERS.map((name) => `${paths.library}/${name}`), `${paths.program}/templates/sandbox`];
  return sha256((await Promise.all(folders.map((folder) => digestsOf(folder, '')))).map((lines) => lines.join('\n')).join('\n\n'));
}

/** Reads sources in the sandbox, each at most once. */
export function readSources(evaluation: Evaluation, customisation: Customisation, framework: string, runner: Runner): StepTexts {
  const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => {
      made ??= make();
      return made;
    };
  };
  const known = new Map<string, Promise<string>>();
  const placed = new Map<string, Promise<Readonly<Record<string, string>>>>();
  return {
    textOf: async (module) => {
      const file = fileOf(module);
      if (file === undefined) return evaluation.bodies.get(module.name) ?? '';
      return readFile(await linkFree(file), module.origin === 'hook' ? 'latin1' : 'utf8');
    },
    filesOf: (module) => {
      const found = placed.get(module.name) ?? filesOf(module, customisation, runner);
      placed.set(module.name, found);
      return found;
    },
    calledText: async (name) => {
      if (evaluation.functions.has(name)) return '';
      for (const folder of [`${paths.project}/realmfs-modules`, `${paths.library}/modules`]) {
        const text = await readForeign(await linkFree(path.join(folder, name)).catch(() => ''));
        if (text !== undefined) return text.toString('utf8');
      }
      return '';
    },
    projectModules: once(async () => {
      const names = await fileNames(paths.project, 'realmfs-modules');
      const files = await Promise.all(names.map((name) => readInside(paths.project, `realmfs-modules/${name}`)));
      return files.map((bytes) => bytes?.toString('utf8') ?? 'REALMFS_PROJECT');
    }),
    lookUp: (read) => {
      const found = known.get(read) ?? lookUp(read, evaluation);
      known.set(read, found);
      return found;
    },
    everything: once(async () => {
      const digests = await digestsOf(paths.project, '');
      return sha256([...digests, await attributesOf(paths.project, runner)].join('\n'));
    }),
    program: once(async () => sha256((await digestsOf(`${paths.library}/program`, '')).join('\n'))),
    framework,
    filesNameProject: once(async () => someFileNamesProject(paths.project, '')),
  };
}

async function filesOf(
  { name, origin }: StepSource,
  { before, after, preseeds }: Customisation,
  runner: Runner,
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  if (origin === 'preseed') for (const file of preseeds) found[file] = await sha256File(await linkFree(path.join(paths.project, file)));
  const placement = [...before, ...after].find(({ folder }) => folder === name);
  if (origin !== 'folder' || placement === undefined) return found;
  for (const entry of placement.entries) found[path.join(name, entry.path)] = await entryLine(paths.project, name, entry);
  found[`attributes and hard links in ${name}`] = await attributesOf(
    path.join(paths.project, name),
    runner,
    placement.entries.map((entry) => `./${entry.path}`),
  );
  return found;
}

/**
 * The digest of what Node cannot see below a folder: extended attributes, ACLs, capabilities, and which names are one
 * file. `names`: entries that count; without, all.
 */
async function attributesOf(folder: string, runner: Runner, names = ['.']): Promise<string> {
  // On the disk of the copy, which can hold what the copy holds.
  const scratch = await mkdtemp(`${paths.work}/attributes-`);
  await writeFile(`${scratch}/list`, bytesOf(names.map((name) => `${name}\0`).join('')));
  const script =
    'cp --archive --no-preserve=ownership --attributes-only --no-target-directory -- "$1/." "$2/tree"; ' +
    'tar --create --file=- --directory="$2/tree" --sort=name "$3" --null --verbatim-files-from --files-from="$2/list" --mtime=@0 --owner=:0 ' +
    '--group=:0 --numeric-owner --mode=0 --xattrs "--xattrs-include=*" --acls --format=pax --pax-option=exthdr.name=x,delete=atime,delete=ctime | sha256sum';
  const args = ['-euo', 'pipefail', '-c', script, 'bash', folder, scratch, names[0] === '.' ? '--recursion' : '--no-recursion'];
  return (await runner.capture({ label: 'reading attributes', file: 'bash', args })).slice(0, 64);
}

/** `file NAME`: a file of realmfs-files; `module NAME`: what a module calls by name. */
async function lookUp(read: string, evaluation: Evaluation): Promise<string> {
  const [kind = '', name = ''] = [read.slice(0, read.indexOf(' ')), read.slice(read.indexOf(' ') + 1)];
  if (kind === 'module' && evaluation.functions.has(name)) return 'function';
  const folders = kind === 'module' ? ['realmfs-modules', 'modules'] : ['realmfs-files', 'files'];
  for (const [where, folder] of [
    ['project', `${paths.project}/${folders[0]}`],
    ['built-in', `${paths.library}/${folders[1]}`],
  ] as const) {
    const found = await fileBelow(folder, name);
    if (found !== undefined) return `${where} ${found.fault ?? (await sha256File(found.real))}`;
  }
  return 'missing';
}

/** A file by its name below a folder, and what is wrong with it: links are followed as far as they stay in the folder. */
export async function fileBelow(folder: string, name: string): Promise<{ readonly real: string; readonly fault?: string } | undefined> {
  const found = await findInside(await linkFree(folder).catch(() => folder), name, path.basename(folder));
  if (found.kind === 'missing') return undefined;
  if (found.kind === 'astray') return { real: '', fault: found.why };
  if (found.stat.isDirectory()) return { real: found.path, fault: 'is a folder' };
  return found.stat.isFile() ? { real: found.path } : { real: found.path, fault: 'is not a regular file' };
}

/** A line for every entry below a folder: kind, mode, name and content. */
async function digestsOf(folder: string, below: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of await namesIn(path.join(folder, below))) {
    const at = path.join(below, name);
    const file = path.join(folder, at);
    const stat = lstatSync(onDisk(file));
    const mode = stat.mode.toString(8);
    if (stat.isDirectory()) lines.push(`${mode} ${JSON.stringify(at)}`, ...(await digestsOf(folder, at)));
    else if (stat.isSymbolicLink())
      lines.push(`link ${JSON.stringify(at)} ${JSON.stringify(textOf(readlinkSync(onDisk(file), { encoding: 'buffer' })))}`);
    else if (stat.isFile()) lines.push(`${mode} ${JSON.stringify(at)} ${await sha256File(file)}`);
    else lines.push(`${mode} ${JSON.stringify(at)} ${stat.rdev}`);
  }
  return lines;
}

async function someFileNamesProject(folder: string, below: string): Promise<boolean> {
  for (const name of await namesIn(path.join(folder, below))) {
    const at = path.join(below, name);
    const file = path.join(folder, at);
    const stat = lstatSync(onDisk(file));
    if (stat.isDirectory()) {
      if (!runAsSteps.includes(at) && (await someFileNamesProject(folder, at))) return true;
      continue;
    }
    // build.conf itself and what it sources is looked at as text of its functions and variables.
    if (stat.isFile() && below !== '' && (await holds(file, PROJECT_FOLDER))) return true;
  }
  return false;
}

/** The file of a module or hook; undefined: a function, a folder or answers for debconf. */
export function fileOf({ name, origin }: StepSource): string | undefined {
  switch (origin) {
    case 'project':
      return `${paths.project}/realmfs-modules/${name}`;
    case 'built-in':
      return `${paths.library}/modules/${name}`;
    case 'hook':
      return `${paths.project}/${name}`;
    default:
      return undefined;
  }
}

/** A text as it stands among the inputs of a layer: a long one, or one that is no text, by its digest. */
export function asInput(text: string): string {
  return text.length > LONGEST_TEXT || text.includes('\0') ? sha256(text) : text;
}
