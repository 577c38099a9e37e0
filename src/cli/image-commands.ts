import type { KeyObject } from 'node:crypto';
import { open, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.ts';
import { SIGNATURE } from '../records/names.ts';
import { isFolder, isMissing, removeFile } from '../system/files.ts';
import { HeldFolder } from '../system/held-folder.ts';
import { newSeed, publicHex, publicPem, readPrivateKey, readPublicKey, signImage } from '../targets/realmfs-image.ts';
import { type GpgSurroundings, signSums, verifySignature } from './gpg.ts';
import type { SignOptions, VerifyOptions } from './options/types.ts';
import { renewSums } from './renew-sums.ts';
import { describeImage, named, readSumsFile, verifySums, verifyWhole } from './sums.ts';

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

/** Signs an image, or the checksums of a folder. Returns what is said of it. */
export async function signCommand(options: SignOptions, cwd: string, around: GpgSurroundings): Promise<string> {
  // The records that it stands in lie beside the file itself, not beside a link to it.
  const file = await named(options.file, () => realpath(path.resolve(cwd, options.file)));
  if (options.key === undefined) return `${await signSums(await folderOf(file), options.user, around)}\n`;
  if (await isFolder(file)) throw new UsageError(`${file}: is a folder; --key signs an image, --gpg the SHA256SUMS of a folder`);
  const key = await readKey(path.resolve(cwd, options.key), readPrivateKey);
  const { info, changed } = await named(file, async () => {
    const folder = await HeldFolder.open(path.dirname(file));
    const name = path.basename(file);
    try {
      return { ...(await signImage(folder.at(name), key)), changed: await renewSums(folder, name) };
    } finally {
      await folder.close();
    }
  });
  return `${file}: ${info.name}, channel ${info.channel}, signed by ${publicHex(key)}\n${changed.map((name) => `${name}: ${path.basename(name) === SIGNATURE ? 'removed, it was a signature of other checksums' : 'the checksum is that of the signed image'}\n`).join('')}`;
}

/** The folder of results that a name stands for: itself, or that of its SHA256SUMS. */
async function folderOf(file: string): Promise<string> {
  if (await isFolder(file)) return file;
  if (path.basename(file) === 'SHA256SUMS') return path.dirname(file);
  throw new UsageError(`${file}: gpg signs the SHA256SUMS of a folder; --key signs an image`);
}

/** Checks images, and results by their SHA256SUMS. Returns what is said of them. */
export async function verifyCommand(options: VerifyOptions, cwd: string, around: GpgSurroundings): Promise<string> {
  const keyring = options.keyring === undefined ? undefined : path.resolve(cwd, options.keyring);
  const keyFile = options.key === undefined ? undefined : path.resolve(cwd, options.key);
  // As hex both halves look alike.
  if (keyFile !== undefined && !(await isMissing(`${keyFile}.pub`)))
    throw new UsageError(`${keyFile}: is a private key: ${keyFile}.pub beside it is the public one`);
  const key = keyFile === undefined ? undefined : await readKey(keyFile, readPublicKey);
  let text = '';
  for (const name of options.files) {
    const file = path.resolve(cwd, name);
    const isWhole = (await named(file, () => stat(file))).isDirectory();
    if (isWhole || path.basename(file) === 'SHA256SUMS') {
      text += await verifyFolder(isWhole ? file : path.dirname(file), { key, keyring }, around);
    } else if (keyring !== undefined) throw new UsageError(`${file}: --keyring is for folders of results; an image is signed by a --key`);
    else text += describeImage(file, await named(file, () => verifyWhole(file, key, around.signal)), key !== undefined);
  }
  return text;
}

async function verifyFolder(
  shown: string,
  { key, keyring }: { readonly key: KeyObject | undefined; readonly keyring: string | undefined },
  around: GpgSurroundings,
): Promise<string> {
  const folder = await named(shown, async () => HeldFolder.open(await realpath(shown), shown));
  try {
    if ((await folder.stat('SHA256SUMS')) === undefined)
      throw new UsageError(`${shown} has no SHA256SUMS: no build has left its results there`);
    // What is not signed need not be read.
    const bytes = await readSumsFile(folder);
    const signed = keyring === undefined ? '' : await verifySignature(folder, bytes, keyring, around);
    const sums = await verifySums(folder, bytes, key, around.signal);
    const isSigned = keyring === undefined && (await folder.stat(SIGNATURE)) !== undefined;
    return `${signed}${sums}${isSigned ? `${folder.shown('SHA256SUMS')}: signed, by whom was not asked (--keyring)\n` : ''}`;
  } finally {
    await folder.close();
  }
}

async function readKey<T>(file: string, read: (text: string) => T): Promise<T> {
  return named(file, async () => read(await readFile(file, 'utf8')));
}
