import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from '../errors.ts';
import { SIGNATURE } from '../records/names.ts';
import { giveTo, isFolder, isMissing, removeFile, sha256File, statOrUndefined, writeWhole } from '../system/files.ts';
import { newSeed, publicHex, publicPem, readPrivateKey, readPublicKey, signImage } from '../targets/realmfs-image.ts';
import { type GpgSurroundings, signSums, verifySignature } from './gpg.ts';
import type { SignOptions, VerifyOptions } from './options/types.ts';
import { describeImage, named, SUMS_LINE, verifySums, verifyWhole } from './sums.ts';

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
  const file = path.resolve(cwd, options.file);
  if (options.key === undefined) return `${await signSums(await folderOf(file), options.gpg, around)}\n`;
  const key = await readKey(path.resolve(cwd, options.key), readPrivateKey);
  const { info } = await named(file, () => signImage(file, key));
  const changed = await renewSums(file);
  return `${file}: ${info.name}, channel ${info.channel}, signed by ${publicHex(key)}\n${changed.map((name) => `${name}: the checksum is that of the signed image\n`).join('')}`;
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
  const key = options.key === undefined ? undefined : await readKey(path.resolve(cwd, options.key), readPublicKey);
  let text = '';
  for (const name of options.files) {
    const file = path.resolve(cwd, name);
    const isWhole = (await named(file, () => stat(file))).isDirectory();
    if (isWhole || path.basename(file) === 'SHA256SUMS') {
      const folder = isWhole ? file : path.dirname(file);
      // What is not signed need not be read.
      if (keyring !== undefined) text += await verifySignature(folder, keyring, around);
      text += await verifySums(path.join(folder, 'SHA256SUMS'), key, around.signal);
      if (keyring === undefined && !(await isMissing(path.join(folder, SIGNATURE))))
        text += `${path.join(folder, 'SHA256SUMS')}: signed, by whom was not asked (--keyring)\n`;
    } else if (keyring !== undefined) throw new UsageError(`${file}: --keyring is for folders of results; an image is signed by a --key`);
    else text += describeImage(file, await named(file, () => verifyWhole(file, key, around.signal)), key !== undefined);
  }
  return text;
}

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
  // It was a signature of the sums as they were.
  if (changed.length > 0) await removeFile(path.join(folder, SIGNATURE));
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
