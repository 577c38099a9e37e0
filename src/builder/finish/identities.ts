import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { globPattern } from '../../customize/placement.ts';
import { identityOf, LARGEST_IDENTITY } from '../../records/identity.ts';
import { noneIfMissing, readForeign, readForeignNow, removeFile, statOrUndefined } from '../../system/files.ts';
import { byBytes, textOf } from '../../system/names.ts';
import { inRoot } from '../../system/rooted.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { Drawn } from '../model/drawn.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { makeFirstBoot } from './first-boot.ts';
import type { IdentityFile, TreeFile } from './tree-file.ts';
import type { TreeEntry } from './tree-listing.ts';

/** Where nothing of it lies, or what lies there is looked after in another way; below the root. */
const leftOut: readonly string[] = [
  ...['proc', 'sys', 'dev', 'run', 'tmp', 'boot', 'var/tmp', 'var/cache', 'var/log', 'var/lib/apt', 'var/lib/dpkg', 'var/lib/ucf'],
  ...['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32', 'libexec', 'share', 'include', 'src', 'games'].map((name) => `usr/${name}`),
];
/** Accounts, whose secrets are those of the project. */
const ACCOUNTS = /^\/etc\/(?:g?shadow|passwd|group|sub[ug]id)-?$/;
/** Of a build's own removals, what may also be the project's. */
const SSH_HOST_KEY = /^\/etc\/ssh\/ssh_host_\w+_key$/;
const DPKG_INFO = '/var/lib/dpkg/info';
/** Seconds by which the clock of a file system may be behind. */
const TICK = 0.05;
/** Files that are named in one message. */
const MOST_NAMED = 8;

/** The files that package scripts have written since a time (seconds since 1970), and that belong to one machine. */
export async function drawnSince(since: number, ctx: BuildContext): Promise<Drawn> {
  const { root } = paths;
  const pruned = leftOut.flatMap((name, at) => [...(at === 0 ? [] : ['-o']), '-path', `${root}/${name}`]);
  const wanted = ['-type', 'f', '-size', `-${LARGEST_IDENTITY / 512 + 1}`, '-newermt', `@${since - TICK}`, '-printf', '%p\\0'];
  const args = [root, '-xdev', '(', ...pruned, ')', '-prune', '-o', ...wanted];
  const chunks: Buffer[] = [];
  await ctx.runner.stream({ label: 'looking for keys and identifiers', file: 'find', args }, (chunk) => chunks.push(chunk));
  const places = textOf(Buffer.concat(chunks)).split('\0').slice(0, -1);
  return Object.fromEntries(identitiesIn(readAll(places)).map(({ path: name, bytes }) => [name, digest(bytes)]));
}

/** Whether a file may belong to one machine, as `drawnSince` looks for them. */
export function mayBeIdentity({ kind, size, isYoung, path: name }: TreeEntry): boolean {
  return kind === 'f' && isYoung && size <= LARGEST_IDENTITY && !leftOut.some((folder) => name.startsWith(`${folder}/`));
}

/**
 * Takes out of the finished tree what packages have drawn, and has it made anew at the first boot. What the project brings stays; so do a
 * module's own keys and what cannot be judged, with a warning, and what IDENTITIES keeps. `places`: the files that are looked at. Returns
 * what it has removed and made, as seen from outside.
 */
export async function removeIdentities(places: readonly string[], drawn: Drawn, stage: BuildFacts, ctx: BuildContext): Promise<string[]> {
  const files = readAll(places);
  let scripts: string[] | undefined;
  const isKept = kept(stage.plan.config.identities);
  const [removed, mixed, made]: [IdentityFile[], string[], string[]] = [[], [], []];
  for (const file of identitiesIn(files)) {
    const isDrawn = drawn[file.path] === digest(file.bytes);
    if (isKept(file.path) || (!isDrawn && (await isOfProject(file.bytes)))) continue;
    scripts ??= await postinstScripts(paths.root);
    if (isDrawn || SSH_HOST_KEY.test(file.path) || isNamed(file.path, scripts)) {
      if (file.identity.isWhole) removed.push(file);
      else mixed.push(`${file.path} (${file.identity.what})`);
    } else if (file.identity.what !== 'a random identifier') made.push(`${file.path} (${file.identity.what})`);
  }
  const more = belongingTo(removed, files);
  const gone = [...removed, ...more];
  for (const { place } of gone) await removeFile(place);
  const links = await removeLinks(gone, stage, ctx);
  const { made: units, lost } = await makeFirstBoot(removed, more);
  const say = (names: readonly string[], text: string, tell: (text: string) => void): void => {
    if (names.length > 0) tell(`${text}: ${named(names)}`);
  };
  say(
    removed.map(({ path: name, identity }) => `${name} (${identity.what})`),
    'drawn by packages, and not part of the image',
    (text) => ctx.steps.note(text),
  );
  say(lost, 'drawn by packages and removed, but nothing makes it anew at the first boot (IDENTITIES keeps what it names)', (text) =>
    ctx.steps.warn(text),
  );
  say(mixed, 'drawn by packages, among other things, so that it stays: every machine with this image has the same', (text) =>
    ctx.steps.warn(text),
  );
  say(made, 'made by a module or hook, so that it stays: every machine with this image has the same', (text) => ctx.steps.warn(text));
  return [...gone.map(({ place }) => place), ...links, ...units];
}

function named(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name).slice(1, -1));
  return `${shown.join(', ')}${names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : ''}`;
}

function identitiesIn(files: readonly TreeFile[]): IdentityFile[] {
  return files.flatMap((file) => {
    const identity = ACCOUNTS.test(file.path) ? undefined : identityOf(file.bytes, file.mode, file.path);
    return identity === undefined ? [] : [{ ...file, identity }];
  });
}

/** Reads files of the tree, in the order of their paths. Nobody changes it meanwhile. */
function readAll(places: readonly string[]): TreeFile[] {
  return [...places].sort(byBytes).flatMap((place) => {
    const file = readForeignNow(place, LARGEST_IDENTITY);
    if (file === undefined) return [];
    const { mode, uid, gid } = file.stat;
    const name = place.slice(paths.root.length);
    return [{ path: name, place, bytes: file.bytes, mode: mode & 0o7777, owner: `${uid}:${gid}` }];
  });
}

/** What IDENTITIES names: all, or globs of paths. */
function kept(words: readonly string[]): (name: string) => boolean {
  if (words.includes('keep')) return () => true;
  const patterns = words.flatMap((word) => globPattern(word) ?? []);
  return (name) => patterns.some((pattern) => pattern.test(name.slice(1)));
}

/** The scripts that packages run when they are installed. */
async function postinstScripts(root: string): Promise<string[]> {
  const folder = inRoot(root, DPKG_INFO, { follow: true });
  const names = folder === undefined ? [] : await readdir(folder).catch(noneIfMissing);
  const scripts: string[] = [];
  for (const name of names.filter((each) => each.endsWith('.postinst')))
    scripts.push((await readForeign(path.join(folder ?? '', name)))?.toString('latin1') ?? '');
  return scripts;
}

/** Whether a script names the path, or the folder and the name: a module may have installed its package. */
function isNamed(name: string, scripts: readonly string[]): boolean {
  const [folder, base] = [path.dirname(name), path.basename(name)];
  return scripts.some((text) => text.includes(name) || (folder.length > 5 && text.includes(folder) && text.includes(base)));
}

/** Whether a file of the project has this content. */
async function isOfProject(bytes: Buffer, folder: string = paths.project): Promise<boolean> {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(noneIfMissing)) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory() && (await isOfProject(bytes, file))) return true;
    if (!entry.isFile() || (await statOrUndefined(file))?.size !== bytes.length) continue;
    if ((await readForeign(file))?.equals(bytes)) return true;
  }
  return false;
}

/** The certificates and public keys that belong to private keys. */
function belongingTo(keys: readonly IdentityFile[], files: readonly TreeFile[]): TreeFile[] {
  const publicKeys = new Set(keys.flatMap(({ bytes }) => publicKeyOf(() => createPublicKey(createPrivateKey(bytes)))));
  const names = new Set(keys.map((key) => `${key.path}.pub`));
  return files.filter((file) => {
    if (keys.some((key) => key.path === file.path)) return false;
    if (names.has(file.path)) return true;
    const text = file.bytes.toString('latin1');
    if (!/-----BEGIN (?:CERTIFICATE|(?:RSA )?PUBLIC KEY)-----/.test(text)) return false;
    const own = text.includes('BEGIN CERTIFICATE')
      ? publicKeyOf(() => new X509Certificate(file.bytes).publicKey)
      : publicKeyOf(() => createPublicKey(file.bytes));
    return own.some((key) => publicKeys.has(key));
  });
}

function publicKeyOf(read: () => ReturnType<typeof createPublicKey>): string[] {
  try {
    return [read().export({ type: 'spki', format: 'der' }).toString('base64')];
  } catch {
    // A form that Node does not read: that of ssh, say.
    return [];
  }
}

/** Removes the links that a build has made to files which are gone: that of a certificate by its hash, say. */
async function removeLinks(gone: readonly TreeFile[], stage: BuildFacts, ctx: BuildContext): Promise<string[]> {
  const { root } = paths;
  const folder = inRoot(root, '/etc', { follow: true });
  if (gone.length === 0 || folder === undefined) return [];
  const args = [folder, '-xdev', '-type', 'l', '-newermt', `@${stage.sourceDateEpoch}`, '-printf', '%p\\0'];
  const links = (await ctx.runner.capture({ label: 'looking for links', file: 'find', args })).split('\0').slice(0, -1);
  const dangling = links.filter((link) => {
    const target = inRoot(root, path.join('/', path.relative(root, link)), { follow: true });
    return gone.some(({ place }) => place === target);
  });
  for (const link of dangling) await removeFile(link);
  return dangling;
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
