import { writeFileSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { noneIfMissing, readForeign, removeFile, statOrUndefined } from '../../system/files.ts';
import { byBytes, bytesOf } from '../../system/names.ts';
import { inRoot } from '../../system/rooted.ts';
import { together } from '../../system/together.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { Drawn } from '../model/drawn.ts';
import { aptFolders, DPKG_SETTINGS } from '../steps/apt-folders.ts';
import { buildArchives } from '../steps/packages.ts';
import { MARK, ownText } from '../steps/resolver.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { mayBeIdentity, removeIdentities } from './identities.ts';
import { removeStandIns } from './stand-ins.ts';
import { Counter, type Survey } from './survey.ts';
import { placeOf, type TreeEntry, TreeListing } from './tree-listing.ts';
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
/** Bytes of the largest copy of the resolver that is looked for. */
const LARGEST_RESOLVER = 4096;
/** Sockets that are named. */
const MOST_NAMED = 5;

/** What is known of a finished tree. */
export interface FinishedTree {
  readonly lists: TreeLists;
  readonly survey: Survey;
}

/**
 * Makes the finished tree: takes out what belongs to one machine or one build. It works from outside: the tree may lack whatever
 * a step has removed, none of its programs runs, and no link of it leads out of it.
 */
export async function finalize(stage: BuildFacts, drawn: Drawn, ctx: BuildContext): Promise<FinishedTree> {
  const { root } = paths;
  await removeStandIns(root);
  for (const name of buildArchives(stage.plan.customisation.archives).split('\n'))
    if (name !== '') await removeAll(root, `/etc/apt/${name}`);
  await useImageMirror(root, stage);
  await emptyMachineId(root);
  for (const pattern of removed) await removeAll(root, pattern);
  await emptyFolders(root, ctx);
  // From here on what is done goes by one list of all entries.
  const found = new Found(drawn);
  const listing = await TreeListing.make(stage.sourceDateEpoch, (entry) => found.take(entry), ctx);
  const changed = [
    ...(await removeIdentities(found.identities, drawn, stage, ctx)),
    ...(await removeSockets(found.sockets, ctx)),
    ...(await clearResolverCopies(found.resolvers, ctx)),
  ];
  const { counter, young } = changed.length > 0 ? lookAgain(listing, changed, drawn) : found;
  const clamp = (): Promise<void> => clampTimes(young, stage.sourceDateEpoch, ctx);
  const [, lists, { survey, hasChanged }] = await together([clamp(), readTreeLists(root), counter.finish(ctx)]);
  // Those files may have got back the times that they had before.
  if (hasChanged) await clamp();
  return { lists, survey };
}

/** The names that a pattern fits, below the root and as seen from outside. */
async function matching(root: string, pattern: string): Promise<string[]> {
  const place = inRoot(root, pattern);
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
async function useImageMirror(root: string, { plan: { config }, mirror }: BuildFacts): Promise<void> {
  const wanted = (config.imageMirror || mirror).replace(/\/$/, '');
  const used = mirror.replace(/\/$/, '');
  if (wanted === used) return;
  for (const pattern of ['/etc/apt/sources.list', '/etc/apt/sources.list.d/*']) {
    for (const place of await matching(root, pattern)) {
      const file = inRoot(root, path.join('/', path.relative(root, place)), { follow: true });
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
  const place = inRoot(root, '/etc/machine-id');
  if (place === undefined) return;
  const stat = await statOrUndefined(place);
  // Where it is a link, the identity lies where that leads: the link stays.
  const file = stat?.isSymbolicLink() ? inRoot(root, '/etc/machine-id', { follow: true }) : place;
  if (file === undefined) return;
  const there = await statOrUndefined(file);
  if (there === undefined ? file !== place : !there.isFile()) return;
  await writeFile(file, '');
  await chmod(file, 0o444);
}

async function emptyFolders(root: string, ctx: BuildContext): Promise<void> {
  const folders: string[] = [];
  for (const [name, mode] of Object.entries(emptied)) {
    const place = inRoot(root, name);
    if (place === undefined || (await statOrUndefined(path.dirname(place))) === undefined) continue;
    const stat = await statOrUndefined(place);
    if (stat?.isDirectory()) folders.push(place);
    else if (stat === undefined && mode !== undefined) {
      await mkdir(place);
      await chmod(place, mode);
    }
  }
  const apt = aptFolders(root);
  const kept = apt.kept.flatMap((place) => ['!', '(', '-type', 'd', '-path', place.replace(/[*?[\]\\]/g, '\\$&'), ')']);
  const all = [...folders, ...apt.folders];
  if (all.length > 0)
    await ctx.runner.run({
      label: 'emptying folders',
      file: 'find',
      args: [...all, '-xdev', '-depth', '-mindepth', '1', ...kept, '-delete'],
    });
  const lock = inRoot(root, '/run/lock');
  if (lock === undefined || !(await statOrUndefined(path.dirname(lock)))?.isDirectory()) return;
  await mkdir(lock, { recursive: true });
  await chmod(lock, 0o1777);
}

/** What one look at all entries finds. */
class Found {
  readonly counter = new Counter();
  /** Younger than the image's time stamp; as `path` of an entry, as resolvers are. */
  readonly young: string[] = [];
  /** Files that could hold a copy of the resolver. */
  readonly resolvers: string[] = [];
  /** As seen from outside, as identities are. */
  readonly sockets: string[] = [];
  readonly identities: string[] = [];
  readonly #drawn: ReadonlySet<string>;

  constructor(drawn: Drawn) {
    this.#drawn = new Set(Object.keys(drawn).map((name) => bytesOf(name.slice(1)).toString('latin1')));
  }

  take(entry: TreeEntry): void {
    this.counter.take(entry);
    if (entry.isYoung) this.young.push(entry.path);
    if (entry.kind === 's') this.sockets.push(placeOf(entry));
    if (entry.kind !== 'f') return;
    if (entry.isYoung && entry.size <= LARGEST_RESOLVER && /^(?:etc|var)\//.test(entry.path)) this.resolvers.push(entry.path);
    if (mayBeIdentity(entry) || this.#drawn.has(entry.path)) this.identities.push(placeOf(entry));
  }
}

function lookAgain(listing: TreeListing, changed: readonly string[], drawn: Drawn): Found {
  const found = new Found(drawn);
  listing.lookAgain(changed);
  listing.read((entry) => found.take(entry));
  return found;
}

/** A socket is of use to the program that has made it and to nobody else, and most targets cannot hold one. */
async function removeSockets(sockets: readonly string[], ctx: BuildContext): Promise<readonly string[]> {
  if (sockets.length === 0) return [];
  for (const place of sockets) await removeFile(place);
  const names = sockets.map((place) => place.slice(paths.root.length)).sort(byBytes);
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  const shown = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name).slice(1, -1));
  ctx.steps.note(`sockets are removed, since no image keeps them: ${shown.join(', ')}${more}`);
  return sockets;
}

/** Packages copy the resolver of the step that installs them: of such copies the tree's own lines stay. */
async function clearResolverCopies(names: readonly string[], ctx: BuildContext): Promise<string[]> {
  if (names.length === 0) return [];
  const grep = ['grep', '--files-with-matches', '--null', '--fixed-strings', '--', MARK];
  // grep finds nothing, as a rule, and xargs says 123 then.
  const command = { label: 'looking for copies of the resolver', file: 'xargs', args: ['--null', ...grep], okExitCodes: [123] };
  const copies = (await ctx.runner.capture({ ...command, input: [placesOf(names)] })).split('\0').slice(0, -1);
  for (const file of copies) {
    const text = (await readForeign(file))?.toString('latin1');
    if (text !== undefined) await writeFile(file, ownText(text), 'latin1');
  }
  return copies;
}

/** No file is younger than the image's time stamp. No process of the tree is left, nothing is mounted on it. */
async function clampTimes(young: readonly string[], sourceDateEpoch: number, ctx: BuildContext): Promise<void> {
  const list = `${paths.work}/young`;
  writeFileSync(list, placesOf(young));
  const args = ['--null', '--no-run-if-empty', `--arg-file=${list}`, 'touch', '--no-dereference', `--date=@${sourceDateEpoch}`];
  await ctx.runner.run({ label: 'setting times', file: 'xargs', args });
}

/** Where entries of these paths lie, as xargs reads it. */
function placesOf(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${paths.root}/${name}\0`).join(''), 'latin1');
}
