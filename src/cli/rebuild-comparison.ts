import { open, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { readManifest } from '../inspect/build-beside.ts';
import { likelyCause, type Surroundings } from '../records/cause.ts';
import { aspectsOf, firstDifference, inputChanges } from '../records/compare.ts';
import { identityOf, LARGEST_IDENTITY } from '../records/identity.ts';
import type { Manifest } from '../records/manifest-schema.ts';
import type { FileEntry } from '../records/mtree.ts';
import { recordNames } from '../records/names.ts';
import { parseMtree } from '../records/read-mtree.ts';
import { readForeign } from '../system/files.ts';
import type { HeldFolder } from '../system/held-folder.ts';
import { parseSums, readSumsFile } from './sums.ts';

/** Bytes of a list of files. */
const LONGEST_LIST = 512 * 1024 ** 2;
/** Files that are named, of those that each build has drawn. */
const MOST_DRAWN = 20;
/** Bytes of a file in which a cause is looked for. */
const LOOKED_AT = 4 * 1024 ** 2;

/**
 * Compares the results of two builds. Returns what is said of them.
 * @throws BuilderError that names the first difference.
 */
export async function compareBuilds(output: HeldFolder, again: HeldFolder, manifest: Manifest, around: Surroundings): Promise<string> {
  const sums = async (folder: HeldFolder) => parseSums(folder, await readSumsFile(folder));
  const [was, is] = [await sums(output), await sums(again)];
  const names = [...new Set([...was.keys(), ...is.keys()])];
  const lines = names.map(
    (name) =>
      `${name}: ${was.get(name) === is.get(name) ? 'the same' : !is.has(name) ? 'is not made any more' : was.has(name) ? 'differs' : 'was not made before'}`,
  );
  const different = names.filter((name) => was.get(name) !== is.get(name));
  if (different.length === 0) return `${lines.join('\n')}\n`;
  const now = await readManifest(again.here, true, again.path);
  const changes = now === undefined ? [] : inputChanges(manifest, now);
  const { files } = recordNames(manifest.name);
  const lists = [await readList(output, files), await readList(again, files)] as const;
  const first = await explainFirst(lists, again, changes, around);
  const drawn = await drawnAnew(lists, path.join(again.path, 'rootfs'));
  throw new BuilderError(
    `${different.length} of ${names.length} results are not the same: ${first ?? (changes.length > 0 ? changes[0] : different.join(', '))}`,
    {
      step: 'rebuild',
      details: [...lines, ...changes.map((change) => `made from something else: ${change}`), ...drawn],
      ...(first === null && changes.length === 0
        ? { hint: 'the trees are the same but for extended attributes: are the programs that write images those of the first build?' }
        : {}),
    },
  );
}

/** The lists of files of two builds; undefined: there is none. */
type Lists = readonly [Map<string, FileEntry> | undefined, Map<string, FileEntry> | undefined];

/** Keys and identifiers that each of two builds has drawn for itself, a line each. */
async function drawnAnew([was, is]: Lists, root: string): Promise<string[]> {
  const lines: string[] = [];
  for (const [name, after] of is ?? []) {
    const before = was?.get(name);
    if (before?.sha256 === undefined || after.sha256 === undefined || before.sha256 === after.sha256) continue;
    if ((after.size ?? 0) > LARGEST_IDENTITY || lines.length === MOST_DRAWN) continue;
    const identity = identityOf(await beginningOf(root, name), after.mode, name);
    if (identity !== undefined) lines.push(`drawn anew by each build: ${shownPath(name)}: ${identity.what}`);
  }
  return lines;
}

/** A path of a list, as it is shown. */
function shownPath(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8').replace(/^\./, '')).slice(1, -1);
}

/** The first difference between two trees, in words; null: their lists of files show none; undefined: there are no lists of both. */
async function explainFirst(
  [was, is]: Lists,
  again: HeldFolder,
  made: readonly string[],
  around: Surroundings,
): Promise<string | null | undefined> {
  if (was === undefined || is === undefined) return undefined;
  const found = firstDifference(was, is);
  if (found === undefined) return null;
  const [before, after] = [was.get(found), is.get(found)];
  const shown = shownPath(found);
  const owner = (await ownerOf(found, path.join(again.path, 'rootfs'))) ?? 'no package: a module, a hook or a file of the project';
  if (before === undefined || after === undefined) return `${shown} is ${after === undefined ? 'not made any more' : 'new'} (${owner})`;
  const changes = aspectsOf(before, after);
  // What it was made from comes before what can be read in it.
  if (made[0] !== undefined) return `${shown}: ${changes.join(', ')} (${owner}); likely cause: ${made[0]}`;
  const content = changes.includes('content') ? await beginningOf(path.join(again.path, 'rootfs'), found) : undefined;
  return `${shown}: ${changes.join(', ')} (${owner}); likely cause: ${likelyCause(found, changes, content, around)}`;
}

async function readList(folder: HeldFolder, name: string): Promise<Map<string, FileEntry> | undefined> {
  const text = (await folder.read(name, LONGEST_LIST))?.toString('utf8');
  try {
    return text === undefined ? undefined : parseMtree(text);
  } catch (error) {
    // A build of an earlier version, or a hook, has made something else of the name.
    if (error instanceof Error && !('code' in error)) return undefined;
    throw error;
  }
}

/** The beginning of a file of a tree that is ours alone. */
async function beginningOf(root: string, name: string): Promise<Buffer> {
  const handle = await open(Buffer.from(`${Buffer.from(root).toString('latin1')}${name.slice(1)}`, 'latin1'), 'r');
  try {
    const buffer = Buffer.alloc(LOOKED_AT);
    const { bytesRead } = await handle.read(buffer, 0, LOOKED_AT, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The package whose file it is, by dpkg's lists; those name files as before /usr was merged, too. */
async function ownerOf(name: string, root: string): Promise<string | undefined> {
  const file = name.slice(1);
  const wanted = new Set([file, file.replace(/^\/usr\/(?=bin|sbin|lib)/, '/')]);
  const folder = path.join(await realpath(root), 'var/lib/dpkg/info');
  // A tree without dpkg, or with a link that could lead out of it.
  if ((await realpath(folder).catch(() => undefined)) !== folder) return undefined;
  const lists = await readdir(folder);
  for (const list of lists.filter((each) => each.endsWith('.list')).sort()) {
    const text = (await readForeign(path.join(folder, list)))?.toString('latin1');
    if (text?.split('\n').some((line) => wanted.has(line))) return `package ${list.replace(/\.list$/, '')}`;
  }
  return undefined;
}
