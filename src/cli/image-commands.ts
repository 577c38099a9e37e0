import { lstat, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { manifestSchema, sumsText } from '../build/manifest.ts';
import { BuilderError, UsageError } from '../errors.ts';
import { hasCode, sha256File, writeWhole } from '../system/files.ts';
import { FormatError } from '../targets/realmfs-format.ts';
import { newSeed, publicHex, type RealmfsImage, readPrivateKey, readPublicKey, signImage, verifyImage } from '../targets/realmfs-image.ts';

/** Makes a key for RealmFS images: FILE has the private one, FILE.pub the public one. Returns what is said of it. */
export async function keygenCommand(file: string, cwd: string): Promise<string> {
  const target = path.resolve(cwd, file);
  const seed = newSeed();
  const hex = publicHex(readPrivateKey(seed));
  // Never over a key that is there.
  for (const [name, text, mode] of [
    [target, seed, 0o600],
    [`${target}.pub`, hex, 0o644],
  ] as const) {
    const handle = await named(name, () => open(name, 'wx', mode));
    try {
      await handle.writeFile(`${text}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  return `${target}\n${target}.pub\n`;
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
    if (isFolder || path.basename(file) === 'SHA256SUMS') text += await verifySums(isFolder ? path.join(file, 'SHA256SUMS') : file);
    else text += describe(file, await named(file, () => verifyImage(file, key)), key !== undefined);
  }
  return text;
}

function describe(file: string, { info, isSigned, hasHashTree }: RealmfsImage, isChecked: boolean): string {
  const signed = isChecked ? 'signed by the key' : isSigned ? 'signed, by whom was not asked (--key)' : 'not signed';
  return `${file}: ${info.name}, channel ${info.channel}, ${info.blocks} blocks, ${hasHashTree ? 'data and hash tree' : 'data'} good, ${signed}\n`;
}

async function verifySums(file: string): Promise<string> {
  const text = await named(file, () => readFile(file, 'utf8'));
  const bad: string[] = [];
  let said = '';
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, digest = '', name = ''] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (name === '' || name.includes('/')) throw new BuilderError(`${file} has a line that is none: ${line}`);
    const is = await sha256File(path.join(path.dirname(file), name)).catch((error: unknown) =>
      hasCode(error, 'ENOENT') ? 'missing' : 'unreadable',
    );
    if (is === digest) said += `${name}: good\n`;
    else bad.push(`${name}: ${is.length === 64 ? 'is not what SHA256SUMS says' : is}`);
  }
  if (bad.length > 0) throw new BuilderError(bad.join('; '));
  return said;
}

/** Puts the new checksum of a file into SHA256SUMS and manifest.json beside it, where they name it. Returns their paths. */
async function renewSums(file: string): Promise<string[]> {
  const folder = path.dirname(file);
  const [sums, manifest] = ['SHA256SUMS', 'manifest.json'].map((name) => path.join(folder, name)) as [string, string];
  const name = path.basename(file);
  let known: ReturnType<typeof manifestSchema.parse>;
  try {
    known = manifestSchema.parse(JSON.parse(await readFile(manifest, 'utf8')));
  } catch {
    // None, or that of something else.
    return [];
  }
  if (!known.artifacts.some((artifact) => artifact.file === name)) return [];
  const sha256 = await sha256File(file);
  const artifacts = known.artifacts.map((artifact) => (artifact.file === name ? { ...artifact, sha256 } : artifact));
  await writeWhole(sums, sumsText(artifacts));
  await writeWhole(manifest, `${JSON.stringify({ ...known, artifacts }, null, 2)}\n`);
  return [sums, manifest];
}

async function readKey<T>(file: string, read: (text: string) => T): Promise<T> {
  return named(file, async () => read(await readFile(file, 'utf8')));
}

/** Runs something on a file; a fault of the file says which one it is. */
async function named<T>(file: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof FormatError) throw new BuilderError(`${file}: ${error.message}`, { cause: error });
    if (error instanceof Error && 'code' in error && 'syscall' in error)
      throw new UsageError(`${file}: ${error.message.replace(/, .*$/, '')}`);
    throw error;
  }
}
