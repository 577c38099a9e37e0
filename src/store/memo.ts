import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { diskCode } from '../system/disk-faults.ts';
import { makeFolders, statOrUndefined, writeWhole } from '../system/files.ts';

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
  try {
    const known = JSON.parse(await readFile(file, 'utf8'));
    if (known.key === key && isAnswer(known.answer)) return known.answer;
  } catch {
    // Not kept yet, or not whole: asked anew.
  }
  const answer = await ask();
  await keep(file, JSON.stringify({ key, answer }));
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

/** Keeps what only saves time. A disk that takes no more is no fault: what needs room on it says so. */
async function keep(file: string, text: string): Promise<void> {
  try {
    await makeFolders(path.dirname(file), 0o700);
    await writeWhole(file, text, 0o600);
  } catch (error) {
    if (diskCode(error) === undefined) throw error;
  }
}
