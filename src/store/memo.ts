import { createHash } from 'node:crypto';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { sha256File, statOrUndefined } from '../system/files.ts';
import { keepSealed, readSealed } from './sealed.ts';

const memoSchema = z.object({ key: z.string(), answer: z.unknown() });

/**
 * An answer that is kept with what it was made from: the same question with the same files gets it
 * again. Files count by name, size, inode, time of change and of the last write; their content is not read.
 */
export async function remembered<T>(
  options: { folder: string; name: string; from: readonly string[]; question: string; isAnswer: (value: unknown) => value is T },
  ask: () => Promise<T>,
): Promise<T> {
  const { folder, name, from, question, isAnswer } = options;
  const hash = createHash('sha256').update(question);
  for (const file of from) for (const mark of await marks(file)) hash.update(`\0${mark}`);
  const key = hash.digest('hex');
  const file = path.join(folder, name);
  // Not kept yet, or not whole: asked anew.
  const known = await readSealed(file, memoSchema);
  if (known?.key === key && isAnswer(known.answer)) return known.answer;
  const answer = await ask();
  await keepSealed(file, { key, answer });
  return answer;
}

async function marks(file: string): Promise<string[]> {
  const stat = await statOrUndefined(file);
  if (stat === undefined) return [`${file} -`];
  const own = `${file} ${stat.mode} ${stat.size} ${stat.ino} ${stat.mtimeMs} ${stat.ctimeMs}`;
  if (!stat.isDirectory()) return [own];
  const names = (await readdir(file)).sort();
  const inside = await Promise.all(names.map(async (name) => [name, await statOrUndefined(path.join(file, name))] as const));
  // Locks and folders for what is being fetched come and go.
  const files = inside.filter(([name, each]) => name !== 'lock' && each !== undefined && !each.isDirectory());
  return [file, ...files.map(([name, each]) => `${name} ${each?.size} ${each?.ino} ${each?.mtimeMs} ${each?.ctimeMs}`)];
}

/** SHA-256 of files, kept for as long as a file is the same by size, inode, time of change and of the last write. */
export interface Digests {
  readonly of: (file: string) => Promise<string>;
  /** Whether the digest is known without reading the file. */
  isKnown(file: string): Promise<boolean>;
  /** Takes a digest for that of a file as it is now. */
  note(file: string, digest: string): Promise<void>;
  /** Keeps those that were asked for since, and some of the others. */
  keep(): Promise<void>;
}

const digestsSchema = z.object({ digests: z.record(z.string(), z.string()) });
/** How many more digests than were asked for are kept: those of files that another build has asked for. */
const MORE = 200;

/** Opens the digests that were kept in a file. */
export async function openDigests(keptIn: string): Promise<Digests> {
  const known = (await readSealed(keptIn, digestsSchema))?.digests ?? {};
  const asked: Record<string, string> = {};
  const of = async (file: string): Promise<string> => {
    const mark = await fileMark(file);
    const digest = known[mark] ?? asked[mark] ?? (await sha256File(file));
    asked[mark] = digest;
    return digest;
  };
  return {
    of,
    isKnown: async (file) => (await fileMark(file)) in known,
    note: async (file, digest) => {
      asked[await fileMark(file)] = digest;
    },
    keep: async () => {
      const marks = Object.keys(asked);
      if (marks.every((mark) => mark in known)) return;
      // The latest come first.
      const all = Object.entries({ ...asked, ...known }).slice(0, 2 * marks.length + MORE);
      await keepSealed(keptIn, { digests: Object.fromEntries(all) });
    },
  };
}

async function fileMark(file: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await lstat(file, { bigint: true });
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
