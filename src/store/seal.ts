import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { link, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { diskCode } from '../system/disk-faults.ts';
import { hasCode, readForeign, removeFile } from '../system/files.ts';

const SALT_LENGTH = 32;
/** Shorter words are parts of others, and no secrets. */
const SHORTEST = 4;
/** User and password of an address. */
const CREDENTIALS = /(?<=\b[a-z][a-z0-9+.-]*:\/\/)[^/\s'"@]+(?=@)/gi;

/** Makes digests of secrets, so that inputs of layers can stand in files: who has those cannot try words without the salt. */
export class Seal {
  readonly #salt: Buffer;
  readonly #isSecret: (name: string) => boolean;
  readonly #words: readonly string[];

  /** `isSecret`: of the name of a setting or variable; `words`: secrets, wherever they stand. */
  constructor(salt: Buffer, isSecret: (name: string) => boolean, words: readonly string[]) {
    this.#salt = salt;
    this.#isSecret = isSecret;
    // A word that holds another one comes first.
    this.#words = [...new Set(words)].filter((word) => word.length >= SHORTEST).sort((a, b) => b.length - a.length);
  }

  /** The inputs, with a digest in the place of each secret. */
  inputs(inputs: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, this.#value(name, value)]));
  }

  #value(name: string, value: string): string {
    const [, setting = ''] = /^(?:setting|variable) (.*)$/.exec(name) ?? [];
    if (this.#isSecret(setting)) return this.#digest(value);
    let text = value.replace(CREDENTIALS, (found) => this.#digest(found));
    for (const word of this.#words) if (text.includes(word)) text = text.replaceAll(word, this.#digest(word));
    return text;
  }

  #digest(text: string): string {
    return `sealed:${createHmac('sha256', this.#salt).update(text).digest('hex')}`;
  }
}

/** The salt of a cache: random, made once, for root alone. Where there is none and none can be made, one that nobody keeps. */
export async function readSalt(folder: string): Promise<Buffer> {
  const file = path.join(folder, 'salt');
  const known = await readForeign(file);
  if (known?.length === SALT_LENGTH) return known;
  const part = path.join(folder, `.salt.${randomUUID()}.part`);
  const salt = randomBytes(SALT_LENGTH);
  try {
    await writeFile(part, salt, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    // A full disk has taken the name alone.
    await removeFile(part).catch(() => {});
    if (diskCode(error) !== undefined || ['ENOENT', 'EACCES'].some((code) => hasCode(error, code))) return salt;
    throw error;
  }
  try {
    if (known !== undefined) await removeFile(file);
    await link(part, file);
    return salt;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    // Another build was faster.
    return (await readForeign(file)) ?? salt;
  } finally {
    await removeFile(part);
  }
}
