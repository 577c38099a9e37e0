import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { noneIfMissing, readForeign, removeFile, statOrUndefined } from '../system/files.ts';
import { byBytes } from '../system/names.ts';
import { inRoot } from '../system/rooted.ts';
import { DPKG_SETTINGS, emptyAptFolders } from './apt-folders.ts';
import { type BuildContext, paths } from './context.ts';
import { type Drawn, removeIdentities } from './identities.ts';
import { buildArchives } from './package-step.ts';
import { MARK, ownText } from './resolver.ts';
import type { Stage } from './stage.ts';
import { removeStandIns } from './stand-ins.ts';
import { type Survey, surveyTree } from './survey.ts';
import { readTreeLists, type TreeLists } from './tree-lists.ts';

/** What no image has; `*` stands in the last part alone. From the practice of reproducible builds, and mmdebstrap's clean-up. */
const removed: readonly string[] = [
  // Identities of one machine that systemd draws anew; what packages have drawn is known in other ways.
  '/var/lib/dbus/machine-id',
  '/var/lib/systemd/random-seed',
  '/var/lib/systemd/credential.secret',
  // What the build has put there.
  DPKG_SETTINGS,
  // Caches and logs of the build.
  '/var/cache/ldconfig/aux-cache',
  '/var/cache/debconf/*-old',
  '/var/lib/dpkg/*-old',
  ...['passwd', 'group', 'shadow', 'gshadow', 'subuid', 'subgid'].map((name) => `/etc/${name}-`),
  '/etc/.pwd.lock',
  ...['alternatives.log', 'bootstrap.log', 'dpkg.log', 'fontconfig.log'].map((name) => `/var/log/${name}`),
  ...['history.log', 'term.log', 'eipp.log.xz'].map((name) => `/var/log/apt/${name}`),
];
/** Folders whose content lives only while a system runs, and the mode of those that are made where they are missing. */
const emptied: Readonly<Record<string, number | undefined>> = { '/tmp': 0o1777, '/var/tmp': 0o1777, '/run': 0o755, '/dev/shm': undefined };
/** Sockets that are named. */
const MOST_NAMED = 5;

/**
 * Makes the finished tree: takes out what belongs to one machine or one build. It works from outside: the tree may lack whatever
 * a step has removed, none of its programs runs, and no link of it leads out of it.
 */
export async function finalize(stage: Stage, drawn: Drawn, ctx: BuildContext): Promise<{ lists: TreeLists; survey: Survey }> {
  const { root } = paths;
  await removeStandIns(root);
  for (const name of buildArchives(stage.plan.customisation.archives).split('\n'))
    if (name !== '') await removeAll(root, `/etc/apt/${name}`);
  await useImageMirror(root, stage);
  await emptyMachineId(root);
  for (const pattern of removed) await removeAll(root, pattern);
  await removeIdentities(stage, drawn, ctx);
  await emptyFolders(root, ctx);
  await emptyAptFolders(root, ctx);
  await removeSockets(root, ctx);
  await clearResolverCopies(root, stage.sourceDateEpoch, ctx);
  const survey = await surveyTree(ctx);
  await clampTimes(root, stage.sourceDateEpoch, ctx);
  return { lists: await readTreeLists(root), survey };
}

/** The names that a pattern fits, below the root and as seen from outside. */
async function matching(root: string, pattern: string): Promise<string[]> {
  const place = await inRoot(root, pattern);
  if (place === undefined) return [];
  const [folder, last] = [path.dirname(place), path.basename(place)];
  if (!last.includes('*')) return [place];
  const [before = '', after = ''] = last.split('*');
  const names = await readdir(folder).catch(noneIfMissing);
  return names
    .filter((name) => name.length >= last.length - 1 && name.startsWith(before) && name.endsWith(after))
    .map((name) => path.join(folder, name));
}

/** Removes what is no folder. */
async function removeAll(root: string, pattern: string): Promise<void> {
  for (const place of await matching(root, pattern)) if ((await statOrUndefined(place))?.isDirectory() === false) await removeFile(place);
}

/** The mirror of the build makes room for the one that the image shall use. */
async function useImageMirror(root: string, { plan: { config }, mirror }: Stage): Promise<void> {
  const wanted = (config.imageMirror || mirror).replace(/\/$/, '');
  const used = mirror.replace(/\/$/, '');
  if (wanted === used) return;
  for (const pattern of ['/etc/apt/sources.list', '/etc/apt/sources.list.d/*']) {
    for (const place of await matching(root, pattern)) {
      const file = await inRoot(root, path.join('/', path.relative(root, place)), { follow: true });
      const text = file === undefined ? undefined : (await readForeign(file))?.toString('latin1');
      if (file === undefined || text === undefined) continue;
      const changed = text
        .split(/(\s+)/)
        .map((word) => (word === used || word === `${used}/` ? wanted : word))
        .join('');
      if (changed !== text) await writeFile(file, changed, 'latin1');
    }
  }
}

/** An empty file: systemd draws an identity at the first boot, and tells by it that it is the first. */
async function emptyMachineId(root: string): Promise<void> {
  const place = await inRoot(root, '/etc/machine-id');
  if (place === undefined) return;
  const stat = await statOrUndefined(place);
  // Where it is a link, the identity lies where that leads: the link stays.
  const file = stat?.isSymbolicLink() ? await inRoot(root, '/etc/machine-id', { follow: true }) : place;
  if (file === undefined) return;
  const there = await statOrUndefined(file);
  if (there === undefined ? file !== place : !there.isFile()) return;
  await writeFile(file, '');
  await chmod(file, 0o444);
}

async function emptyFolders(root: string, ctx: BuildContext): Promise<void> {
  const folders: string[] = [];
  for (const [name, mode] of Object.entries(emptied)) {
    const place = await inRoot(root, name);
    if (place === undefined || (await statOrUndefined(path.dirname(place))) === undefined) continue;
    const stat = await statOrUndefined(place);
    if (stat?.isDirectory()) folders.push(place);
    else if (stat === undefined && mode !== undefined) {
      await mkdir(place);
      await chmod(place, mode);
    }
  }
  if (folders.length > 0)
    await ctx.runner.run({ label: 'emptying folders', file: 'find', args: [...folders, '-xdev', '-mindepth', '1', '-delete'] });
  const lock = await inRoot(root, '/run/lock');
  if (lock === undefined || !(await statOrUndefined(path.dirname(lock)))?.isDirectory()) return;
  await mkdir(lock, { recursive: true });
  await chmod(lock, 0o1777);
}

/** A socket is of use to the program that has made it and to nobody else, and most targets cannot hold one. */
async function removeSockets(root: string, ctx: BuildContext): Promise<void> {
  const args = [root, '-xdev', '-type', 's', '-printf', '/%P\\0', '-delete'];
  const names = (await ctx.runner.capture({ label: 'removing sockets', file: 'find', args })).split('\0').slice(0, -1).sort(byBytes);
  if (names.length === 0) return;
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  const shown = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name).slice(1, -1));
  ctx.steps.note(`sockets are removed, since no image keeps them: ${shown.join(', ')}${more}`);
}

/** Packages copy the resolver of the step that installs them: of such copies the tree's own lines stay. */
async function clearResolverCopies(root: string, sourceDateEpoch: number, ctx: BuildContext): Promise<void> {
  const folders: string[] = [];
  for (const name of ['/etc', '/var']) {
    const place = await inRoot(root, name);
    if (place !== undefined && (await statOrUndefined(place))?.isDirectory()) folders.push(place);
  }
  if (folders.length === 0) return;
  const small = ['-xdev', '-type', 'f', '-size', '-9', '-newermt', `@${sourceDateEpoch}`];
  const args = [...folders, ...small, '-exec', 'grep', '--files-with-matches', '--null', '--fixed-strings', '--', MARK, '{}', '+'];
  // grep finds nothing, as a rule.
  const found = await ctx.runner.capture({ label: 'looking for copies of the resolver', file: 'find', args, okExitCodes: [1] });
  for (const file of found.split('\0').slice(0, -1)) {
    const text = (await readForeign(file))?.toString('latin1');
    if (text !== undefined) await writeFile(file, ownText(text), 'latin1');
  }
}

/** No file is younger than the image's time stamp. No process of the tree is left, nothing is mounted on it. */
async function clampTimes(root: string, sourceDateEpoch: number, ctx: BuildContext): Promise<void> {
  const epoch = `@${sourceDateEpoch}`;
  const args = [root, '-xdev', '-newermt', epoch, '-exec', 'touch', '--no-dereference', `--date=${epoch}`, '{}', '+'];
  await ctx.runner.run({ label: 'setting times', file: 'find', args });
}
