import { createHash } from 'node:crypto';
import path from 'node:path';
import { diskCode } from '../system/disk-faults.ts';
import { makeFolders, readForeign, writeWhole } from '../system/files.ts';

/*
 * Files by which one build tells the next one something: a JSON object whose last member, `seal`, is the SHA-256 of the object
 * without it. A file that a disk, a person or an interrupted write has changed is not believed.
 */

/** Bytes up to which such a file is read. */
const LONGEST = 64 * 1024 ** 2;

/** The text of an object with its seal; the object has at least one member. */
export function seal(value: object): string {
  const text = JSON.stringify(value);
  return `${text.slice(0, -1)},"seal":"${digestOf(text)}"}`;
}

/** The object of a sealed text; undefined if it is not what was sealed. */
export function unseal(text: string): unknown {
  const [whole = '', digest] = /,"seal":"([0-9a-f]{64})"\}$/.exec(text) ?? [];
  if (digest === undefined) return undefined;
  const sealed = `${text.slice(0, -whole.length)}}`;
  return digestOf(sealed) === digest ? JSON.parse(sealed) : undefined;
}

/** What knows a form: a schema of zod, or what needs none. */
interface Form<T> {
  safeParse(value: unknown): { readonly success: true; readonly data: T } | { readonly success: false };
}

/** Reads a sealed file; undefined if there is none, if it was damaged, or has another form. Nothing but a regular file is opened. */
export async function readSealed<T>(file: string, form: Form<T>): Promise<T | undefined> {
  const parsed = form.safeParse(await readAny(file));
  return parsed.success ? parsed.data : undefined;
}

/** Whether a file is a sealed one, and is what was sealed. */
export async function isSealed(file: string): Promise<boolean> {
  return (await readAny(file)) !== undefined;
}

async function readAny(file: string): Promise<unknown> {
  const bytes = await readForeign(file, LONGEST).catch((error: unknown) => {
    // A disk that cannot give it back.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  });
  return bytes === undefined ? undefined : unseal(bytes.toString('utf8'));
}

/** Writes a sealed file, whole. */
export async function writeSealed(file: string, value: object): Promise<void> {
  await writeWhole(file, seal(value), 0o600);
}

/** The same for what only saves time, with the folder around it. A disk that takes no more is no fault: what needs room on it says so. */
export async function keepSealed(file: string, value: object): Promise<void> {
  try {
    await makeFolders(path.dirname(file), 0o700);
    await writeSealed(file, value);
  } catch (error) {
    if (diskCode(error) === undefined) throw error;
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
