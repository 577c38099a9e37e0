import type { KeyObject } from 'node:crypto';
import { lstat, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, UsageError } from '../errors.ts';
import { giveTo, hasCode, removeFile, sha256File, statOrUndefined, writeWhole } from '../system/files.ts';
import { FormatError } from '../targets/realmfs-format.ts';
import {
  newSeed,
  publicHex,
  publicPem,
  type RealmfsImage,
  readPrivateKey,
  readPublicKey,
  signImage,
  verifyImage,
} from '../targets/realmfs-image.ts';

/** Makes a key for RealmFS images: FILE has the private one, FILE.pub the public one. Returns what is said of it. */
export async function keygenCommand(file: string, cwd: string): Promise<string> {
  const target = path.resolve(cwd, file);
  const seed = newSeed();
  const key = readPrivateKey(seed);
  const made: string[] = [];
  try {
    // Never over a key that is there.
    for (const [name, text, mode] of [
      [`${target}.pub`, publicPem(key), 0o644],
      [target, `${seed}\n`, 0o600],
    ] as const) {
      const handle = await named(name, () => open(name, 'wx', mode));
      made.push(name);
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  } catch (error) {
    for (const name of made) await removeFile(name);
    throw error;
  }
  return `${target}\n${target}.pub\npublic key: ${publicHex(key)}\n`;
}

/** Signs the header of an image; checksums of it beside it are made anew. Returns what is said of it. */
export async function signCommand(options: { readonly file: string; readonly key: string }, cwd: string): Promise<string> {
  const file = path.resolve(cwd, options.file);
  const key = await readKey(path.resolve(cwd, options.key), readPrivateKey);
  const { info } = await named(file, () => signImage(file, key));
  const changed = await renewSums(file);
  return `${file}: ${info.name}, channel ${info.channel}, signed by ${publicHex(key)}\n${changed.map((name) => `${name}: the checksum is that of the signed image\n`).join('')}`;
}

/** Checks images, and results by their SHA256SUMS. Returns what is said of them. */
export async function verifyCommand(
  options: { readonly files: readonly string[]; readonly key: string | undefined },
  cwd: string,
): Promise<string> {
  const key = options.key === undefined ? undefined : await readKey(path.resolve(cwd, options.key), readPublicKey);
  let text = '';
  for (const name of options.files) {
    const file = path.resolve(cwd, name);
    const isFolder = (await named(file, () => lstat(file))).isDirectory();
    if (isFolder || path.basename(file) === 'SHA256SUMS') text += await verifySums(isFolder ? path.join(file, 'SHA256SUMS') : file, key);
    else text += describe(file, await named(file, () => verifyImage(file, key)), key !== undefined);
  }
  return text;
}

function describe(file: string, { info, isSigned, hasHashTree }: RealmfsImage, isChecked: boolean): string {
  const signed = isChecked ? 'signed by the key' : isSigned ? 'signed, by whom was not asked (--key)' : 'not signed';
  return `${file}: ${info.name}, channel ${info.channel}, ${info.blocks} blocks, ${hasHashTree ? 'data and hash tree' : 'data'} good, ${signed}\n`;
}

async function verifySums(file: string, key: KeyObject | undefined): Promise<string> {
  const text = await named(file, () => readFile(file, 'utf8'));
  const bad: string[] = [];
  let said = '';
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, digest = '', name = ''] = SUMS_LINE.exec(line) ?? [];
    if (name === '' || name.includes('/')) throw new BuilderError(`${file} has a line that is none: ${line}`);
    const image = path.join(path.dirname(file), name);
    const is = await sha256File(image).catch((error: unknown) => (hasCode(error, 'ENOENT') ? 'missing' : 'unreadable'));
    if (is !== digest) bad.push(`${name}: ${is.length === 64 ? 'is not what SHA256SUMS says' : is}`);
    else if (key === undefined || !name.endsWith('-realmfs.img')) said += `${name}: good\n`;
    else said += describe(image, await named(image, () => verifyImage(image, key)), true);
  }
  if (bad.length > 0) throw new BuilderError(bad.join('; '));
  if (said === '') throw new BuilderError(`${file} names nothing`);
  if (key !== undefined && !said.includes('signed by the key'))
    throw new BuilderError(`${file} names no RealmFS image that could be signed`);
  return said;
}

/** `DIGEST  NAME`, as sha256sum writes it. */
const SUMS_LINE = /^([0-9a-f]{64}) [ *](.+)$/;

/** Puts the new checksum of a file into SHA256SUMS and manifest.json beside it, where they name it. Returns their paths. */
async function renewSums(file: string): Promise<string[]> {
  const folder = path.dirname(file);
  const name = path.basename(file);
  const changed: string[] = [];
  const renew = async (other: string, edit: (text: string, sha256: string) => string): Promise<void> => {
    const target = path.join(folder, other);
    const stat = await statOrUndefined(target);
    if (!stat?.isFile()) return;
    await named(target, async () => {
      const text = await readFile(target, 'utf8');
      const now = edit(text, await sha256File(file));
      if (now === text) return;
      await writeWhole(target, now, stat.mode & 0o777);
      // It stays its owner's.
      if (process.getuid?.() === 0) await giveTo(target, stat);
      changed.push(target);
    });
  };
  await renew('SHA256SUMS', (text, sha256) =>
    text.replace(/^.*$/gm, (line) => (SUMS_LINE.exec(line)?.[2] === name ? `${sha256}  ${name}` : line)),
  );
  await renew('manifest.json', (text, sha256) => {
    const known = JSON.parse(text);
    const own = Array.isArray(known?.artifacts) ? known.artifacts.find((artifact: unknown) => isOf(artifact, name)) : undefined;
    if (own === undefined) return text;
    own.sha256 = sha256;
    return `${JSON.stringify(known, null, 2)}\n`;
  });
  return changed;
}

function isOf(artifact: unknown, name: string): boolean {
  return typeof artifact === 'object' && artifact !== null && 'file' in artifact && artifact.file === name;
}

async function readKey<T>(file: string, read: (text: string) => T): Promise<T> {
  return named(file, async () => read(await readFile(file, 'utf8')));
}

/** Runs something on a file; a fault of the file says which one it is. */
async function named<T>(file: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof FormatError || error instanceof SyntaxError) throw new BuilderError(`${file}: ${error.message}`, { cause: error });
    if (error instanceof Error && 'code' in error && 'syscall' in error)
      throw new UsageError(`${file}: ${error.message.replace(/, .*$/, '')}`);
    throw error;
  }
}
