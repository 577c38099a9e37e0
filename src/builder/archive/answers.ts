import { readdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { listsMark } from '../../store/packages.ts';
import { readSealed, writeSealed } from '../../store/sealed.ts';
import { makeFolders, removeFile, sha256File, statOrUndefined } from '../../system/files.ts';
import { type BuildContext, paths } from '../model/context.ts';

/** What apt sees as its lists. */
export const aptLists = `${paths.apt}/lists`;
/** What was asked, as files that are named by the question. */
const asked = `${paths.cache}/apt/asked`;

/** Seconds: what is older is of no use to anybody. */
const LONGEST_AGE = 30 * 24 * 3600;

const answerSchema = z.object({
  /** SHA-256 of the keyring that the lists were checked by. */
  keyring: z.string(),
  /** Lines of listsMark: what apt had after it had asked. */
  lists: z.array(z.string()),
});

/** SHA-256 of every Release file in a folder of apt's lists, by name. */
export async function releasesIn(lists: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(lists)).sort()) {
    if (/_(?:In)?Release$/.test(name)) found[name] = await sha256File(path.join(lists, name));
  }
  return found;
}

/** Seconds since the archive of a layer was asked whether it has changed. */
export async function secondsSinceAsked(layer: string): Promise<number> {
  return ageOf(path.join(layer, 'meta.json'));
}

/** Remembers that the archive of a layer has just been asked. */
export async function rememberAsked(layer: string): Promise<void> {
  const now = new Date();
  await utimes(path.join(layer, 'meta.json'), now, now);
}

/** Whether a build that runs the package step asks the archive in any case: a user who wants nothing of earlier builds wants no older lists either. */
export function asksAnyway({ request }: BuildContext): boolean {
  return request.noCache || request.rebuildFrom !== '' || request.layersMaxSize === 0;
}

/** An answer of an archive that lies among apt's lists. */
export interface Answer {
  /** When it was asked for, in seconds since 1970. */
  readonly askedAt: number;
  /** The names of the lists. */
  readonly lists: readonly string[];
}

/**
 * The questions to archives that were asked a short while ago, and whose answers are among apt's lists as they are now. A
 * question is the digest that the package step makes of apt's sources, keys and settings.
 */
export async function knownAnswers(keyring: string, { request }: BuildContext): Promise<Map<string, Answer>> {
  const found = new Map<string, Answer>();
  await makeFolders(asked, 0o700);
  const now = new Set((await listsMark(aptLists)).split('\n'));
  for (const question of await readdir(asked)) {
    const file = path.join(asked, question);
    const age = await ageOf(file);
    if (age > LONGEST_AGE) await removeFile(file);
    if (age >= request.archiveAge) continue;
    const answer = await readSealed(file, answerSchema);
    if (answer?.keyring !== keyring || !answer.lists.every((list) => now.has(list))) continue;
    found.set(question, { askedAt: Date.now() / 1000 - age, lists: answer.lists.map((list) => list.slice(0, list.indexOf(' '))) });
  }
  return found;
}

/** Remembers that a question was asked, in seconds since 1970, and answered by apt's lists as they are now. */
export async function rememberQuestion(question: string, keyring: string, askedAt: number): Promise<void> {
  // It comes out of the image, and becomes a name.
  if (!/^[0-9a-f]{64}$/.test(question)) return;
  await makeFolders(asked, 0o700);
  const answer = { keyring, lists: (await listsMark(aptLists)).split('\n').filter((list) => list !== '') };
  const file = path.join(asked, question);
  await writeSealed(file, answer);
  await utimes(file, askedAt, askedAt);
}

/** Seconds since a file was written; infinite if there is none, and if its time lies in the future: then nobody knows. */
async function ageOf(file: string): Promise<number> {
  const stat = await statOrUndefined(file);
  const age = stat === undefined ? Number.POSITIVE_INFINITY : (Date.now() - stat.mtimeMs) / 1000;
  return age < 0 ? Number.POSITIVE_INFINITY : age;
}

/** Whether the archive of a layer is to be asked: with --offline, never; nor for a shell, which is to show what was built. */
export async function isToBeAsked(folder: string, { request }: BuildContext): Promise<boolean> {
  return !request.offline && request.shell === null && (await secondsSinceAsked(folder)) >= request.archiveAge;
}
