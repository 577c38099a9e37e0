import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { isMissing } from '../system/files.ts';
import { isWild, namesIn } from '../system/names.ts';
import type { Runner } from '../system/runner.ts';
import { chrootHooksIn, type Hook, isHook } from './hooks.ts';
import {
  checkLiveTree,
  isLiveTree,
  type LiveArchives,
  type LiveSetting,
  readArchives,
  readPackageLists,
  readPreseeds,
} from './live-build.ts';
import { type LocalPackage, readLocalPackages } from './local-packages.ts';
import { isOurs } from './make-hooks.ts';
import { type Placement, readPlacement } from './placement.ts';
import { type Findings, folderInside, isLeftOut, isPassedOver, NOT_TEXT } from './problems.ts';
import { listHooks } from './series.ts';

/** All that a project says of its image beside build.conf, modules and their files. */
export interface Customisation {
  /** Copied onto the root before anything else: overlay/, config/includes.chroot_before_packages. */
  readonly before: readonly Placement[];
  /** Copied onto the root after the packages: config/includes.chroot, config/includes.chroot_after_packages. */
  readonly after: readonly Placement[];
  /** Answers for debconf: files below the project folder. */
  readonly preseeds: readonly string[];
  readonly earlyHooks: readonly Hook[];
  readonly chrootHooks: readonly Hook[];
  /** Run on the finished root, beside it. */
  readonly binaryHooks: readonly Hook[];
  /** Packages that lists of a live-build tree name. */
  readonly packages: readonly string[];
  readonly localPackages: readonly LocalPackage[];
  readonly archives: LiveArchives;
  /** The targets that the builder writes itself. */
  readonly targets: readonly string[];
  /** The files that are kept of what targets and hooks have made; undefined: all. */
  readonly provides: readonly string[] | undefined;
}

/** What a project is read for. */
export interface CustomisationOptions extends LiveSetting {
  readonly project: string;
  /** The image targets that are asked for. */
  readonly names: readonly string[];
  /** The files of each target that the builder knows itself. */
  readonly builtIn: ReadonlyMap<string, readonly string[]>;
  readonly runner: Runner;
}

/** Nothing beside build.conf. */
export function noCustomisation(targets: readonly string[]): Customisation {
  return {
    before: [],
    after: [],
    preseeds: [],
    earlyHooks: [],
    chrootHooks: [],
    binaryHooks: [],
    packages: [],
    localPackages: [],
    archives: { sources: [], keys: [], pins: [] },
    targets,
    provides: undefined,
  };
}

/** Reads the customisation of a project; faults and warnings go to `findings`. */
export async function readCustomisation(options: CustomisationOptions, findings: Findings): Promise<Customisation> {
  const { project, arch, runner } = options;
  const series = await readSeries(options, findings);
  const isLive = await isLiveTree(project, findings);
  const placements = async (folders: readonly string[]): Promise<Placement[]> => {
    const found: Placement[] = [];
    for (const folder of folders) {
      const one = await readPlacement(project, folder, findings, folder === 'overlay' ? 'overlay.owners' : undefined);
      if (one !== undefined && one.entries.length > 0) found.push(one);
    }
    return found;
  };
  await checkHooksFolder(project, findings);
  const chrootHooks = [...series.chroot, ...(await chrootHooksIn(project, 'hooks/chroot', findings))];
  if (isLive) {
    await checkLiveTree(project, findings);
    for (const folder of ['config/hooks/normal', 'config/hooks/live'])
      chrootHooks.push(...(await chrootHooksIn(project, folder, findings)));
  }
  const packages = ['packages', ...(isLive ? ['config/packages', 'config/packages.chroot'] : [])];
  return {
    before: await placements(['overlay', ...(isLive ? ['config/includes.chroot_before_packages'] : [])]),
    after: await placements(isLive ? ['config/includes.chroot', 'config/includes.chroot_after_packages'] : []),
    preseeds: isLive ? await readPreseeds(project, findings) : [],
    earlyHooks: series.early,
    chrootHooks,
    binaryHooks: series.binary,
    packages: isLive ? await readPackageLists(project, options, findings) : [],
    localPackages: await readLocalPackages(project, packages, arch, findings, runner),
    archives: isLive ? await readArchives(project, options, findings) : { sources: [], keys: [], pins: [] },
    targets: series.targets,
    provides: series.provides,
  };
}

/** Names of hooks, by when they run. */
const HOOK = /\.(?:chroot_early|chroot|binary)$/;

interface SeriesHooks extends Pick<Customisation, 'targets' | 'provides'> {
  readonly early: readonly Hook[];
  readonly chroot: readonly Hook[];
  readonly binary: readonly Hook[];
}

/** The hooks of hooks.d that a build runs, and the targets that its series ask for. */
async function readSeries({ project, names, builtIn }: CustomisationOptions, findings: Findings): Promise<SeriesHooks> {
  const none: SeriesHooks = { early: [], chroot: [], binary: [], targets: names, provides: undefined };
  if ((await folderInside(project, 'hooks.d', findings)) === undefined) return none;
  let list: Awaited<ReturnType<typeof listHooks>>;
  try {
    list = await listHooks({ project, folder: 'hooks.d' }, names, [...builtIn.keys()]);
  } catch (error) {
    if (!(error instanceof BuilderError)) throw error;
    findings.problems.push({ file: 'hooks.d', message: error.message });
    return none;
  }
  const hooks: Hook[] = [];
  // What a series names is meant; what only lies in chroot/ may be a left-over of another program.
  const odd = list.hooks.filter((name) => !list.series.has(name) && isPassedOver(path.basename(name)));
  if (odd.length > 0) findings.warnings.push(`hooks.d: hidden files and backups, and not run: ${odd.join(', ')}`);
  for (const name of list.hooks.filter((one) => !odd.includes(one))) {
    const file = path.posix.join('hooks.d', name);
    const from = list.series.get(name);
    if (isWild(name)) findings.problems.push({ file, message: NOT_TEXT });
    else if (await isMissing(path.join(project, file)))
      findings.problems.push({ file, message: `there is no such hook${from === undefined ? '' : `: series ${from} names it`}` });
    else if (!HOOK.test(name)) findings.warnings.push(`${file} is not run: its name ends neither in .chroot_early, .chroot nor .binary`);
    else if (await isHook(project, file, findings))
      hooks.push({ name: path.basename(name), file, ...(from === undefined ? {} : { series: from }) });
  }
  const ending = (text: string): Hook[] => hooks.filter(({ file }) => file.endsWith(text));
  const provides = list.provides.map(({ set, files }) => {
    const own = builtIn.get(set);
    return files.length === 0 && own !== undefined && list.targets.includes(set) ? own : files;
  });
  for (const file of provides.flat()) {
    if (file.includes('/') || file.startsWith('.'))
      findings.problems.push({ file: 'hooks.d', message: `provides ${file}: is no plain file name` });
  }
  return {
    early: ending('.chroot_early'),
    chroot: ending('.chroot'),
    binary: ending('.binary'),
    targets: list.targets,
    provides: provides.some((files) => files.length === 0) ? undefined : [...new Set(provides.flat())],
  };
}

/** Names what lies in hooks/ and is not used: links of make-hooks are, by way of hooks.d. */
async function checkHooksFolder(project: string, findings: Findings): Promise<void> {
  const folder = await folderInside(project, 'hooks', findings);
  if (folder === undefined) return;
  const odd: string[] = [];
  for (const name of await namesIn(folder))
    if (name !== 'chroot' && !isLeftOut(name) && !(await isOurs(folder, name, path.join(project, 'hooks.d')))) odd.push(name);
  if (odd.length > 0)
    findings.warnings.push(`hooks: not understood, and not used: ${odd.join(', ')} (chroot hooks belong into hooks/chroot)`);
}
