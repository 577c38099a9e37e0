import { mkdtemp, realpath, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ModuleReference } from '../../config/config.ts';
import { DEBIAN_KEYRING } from '../../config/settings.ts';
import type { LiveArchives } from '../../customize/live-build.ts';
import { makeRepository } from '../../customize/local-packages.ts';
import { FetchError } from '../../errors.ts';
import type { Network } from '../../sandbox/namespaces.ts';
import { namesLoopback } from '../../sandbox/network.ts';
import { parseNewer, parseUris } from '../../store/apt-output.ts';
import { PackageHarvest } from '../../store/packages.ts';
import { isMissing, sha256File } from '../../system/files.ts';
import { together } from '../../system/together.ts';
import { type Answer, asksAnyway, knownAnswers, rememberQuestion } from '../archive/answers.ts';
import { ownAuthorities } from '../archive/certificates.ts';
import { fetching, notCached } from '../archive/fetch-lock.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { linkFree } from '../project/project-file.ts';
import type { StepRunner } from './step-runner.ts';
import { type BuildFacts, ownSettings, signedBy } from './step-settings.ts';

const installPackages: ModuleReference = { name: 'install-packages', origin: 'built-in' };

/** The built-in package step, and what the builder asks of apt beside it. */
export class PackageStep {
  readonly #stage: BuildFacts;
  readonly #runner: StepRunner;
  readonly #ctx: BuildContext;
  readonly #harvest: PackageHarvest;
  /** When the archive was asked for the packages, in seconds since 1970; 0: with --offline, not at all. */
  askedAt = 0;

  constructor(stage: BuildFacts, runner: StepRunner, ctx: BuildContext) {
    this.#stage = stage;
    this.#runner = runner;
    this.#ctx = ctx;
    this.#harvest = new PackageHarvest({ cache: `${paths.cache}/apt`, view: paths.apt }, stage.plan.config.keyring, ctx.runner);
  }

  /** Writes the apt sources and pins of the configuration into the tree. */
  async prepare(): Promise<void> {
    const { config } = this.#stage.plan;
    const sources = {
      EXTRA_SOURCES: config.extraSources.text,
      EXTRA_KEYS: config.extraSources.keys.map((key) => path.basename(key)).join('\n'),
      EXTRA_PINS: config.extraPins,
    };
    const keyring = config.keyring === DEBIAN_KEYRING ? {} : { 'archive-keyring': config.keyring };
    const archives = await this.#archives();
    const keys = config.extraSources.keys.map(async (key, at) => [`extra-key-${at}`, await linkFree(`${paths.project}/${key}`)]);
    const { localPackages } = this.#stage.plan.customisation;
    if (localPackages.length > 0) await makeRepository(localPackages, paths.project, `${paths.library}/packages`, this.#ctx.runner);
    await this.#runner.script('prepare.sh', {
      env: { ...ownSettings(this.#stage), ...sources, DEBIAN_SIGNED_BY: signedBy(config.keyring) },
      files: { ...keyring, ...archives, ...Object.fromEntries(await Promise.all(keys)) },
    });
  }

  /** After the package step: no other step finds its repository, whether it has run or come from a layer. */
  async putAway(): Promise<void> {
    const repository = `${paths.library}/packages`;
    if (!(await isMissing(repository))) await rename(repository, await mkdtemp(`${paths.work}/packages-`));
  }

  /** The archives of a live-build tree, as prepare.sh takes them. */
  async #archives(): Promise<Record<string, string>> {
    const { sources, keys, pins } = this.#stage.plan.customisation.archives;
    const rows: { place: string; file: string }[] = [];
    for (const { name, text } of sources) {
      const file = `${paths.work}/${name}`;
      await writeFile(file, text);
      rows.push({ place: `sources.list.d ${name}`, file });
    }
    for (const { name, file } of keys) rows.push({ place: `trusted.gpg.d ${name}`, file: await linkFree(`${paths.project}/${file}`) });
    for (const { name, file } of pins) rows.push({ place: `preferences.d ${name}`, file: await linkFree(`${paths.project}/${file}`) });
    const list = `${paths.work}/archives`;
    await writeFile(list, rows.map(({ place }) => `${place}\n`).join(''));
    return { archives: list, ...Object.fromEntries(rows.map(({ file }, at) => [`archive-${at}`, file])) };
  }

  /** Fetches, then installs without the network. Returns the file with the state of the shell. */
  async run(last: boolean): Promise<string> {
    await fetching(this.#stage.plan.config.keyring, this.#ctx, async () => {
      const wrong = await this.#fetch();
      if (wrong.length > 0) {
        this.#ctx.steps.warn(`damaged in the cache, ${this.#ctx.request.offline ? 'removed' : 'fetched again'}: ${wrong.join(', ')}`);
        const still = await this.#fetch();
        if (still.length > 0)
          throw new FetchError(`not what the signed index says: ${still.join(', ')}`, { step: this.#ctx.steps.current });
      }
    });
    const out = await this.#apt({ network: 'none', last, env: phase('install') });
    const hooks = (await this.#runner.handedBack(path.join(out, 'hooks'))).split('\n').filter((line) => line !== '');
    if (hooks.length > 0)
      this.#ctx.steps.note(`apt's hooks of the image do not act on the package step: ${hooks.map((hook) => hook.slice(0, -2)).join(', ')}`);
    return path.join(out, 'state.sh');
  }

  /** Asks the archive whether it has changed: fetches its Release files and indices into apt's lists. */
  async update(): Promise<void> {
    const env = { ...this.#stage.proxy, ...this.#fetchTimeout, REALMFS_PACKAGES_PHASE: 'update' };
    await fetching(this.#stage.plan.config.keyring, this.#ctx, async () => {
      const now = Date.now() / 1000;
      const out = await this.#apt({ network: this.#fetchNetwork, last: true, env, files: await this.#authorities() });
      await this.#harvest.harvestLists();
      await this.#remember(out, now);
    });
  }

  /** What a run of the package step would bring up to date in the tree as it is: `NAME OLD -> NEW`. */
  async newer(): Promise<string[]> {
    const env = { REALMFS_PACKAGES_PHASE: 'newer' };
    const out = await this.#apt({ network: 'none', last: false, env });
    const own = this.#stage.plan.customisation.localPackages.map(({ name }) => `${name} `);
    return parseNewer(await this.#runner.handedBack(path.join(out, 'newer'))).filter((line) => !own.some((name) => line.startsWith(name)));
  }

  /** Runs the module, which finds the package cache and the lists in folders of the builder's own. */
  #apt(options: Omit<Parameters<StepRunner['module']>[1], 'apt'>): Promise<string> {
    return this.#runner.module(installPackages, { ...options, apt: true });
  }

  /** Returns the package files that are not what the signed index says. */
  async #fetch(): Promise<string[]> {
    const { offline } = this.#ctx.request;
    const known = offline || asksAnyway(this.#ctx) ? new Map<string, Answer>() : await knownAnswers(await this.#keyringDigest(), this.#ctx);
    const lines = [...known].flatMap(([question, { lists }]) => lists.map((list) => `${question} ${list}\n`));
    const now = Date.now() / 1000;
    const options = {
      network: offline ? ('none' as const) : this.#fetchNetwork,
      last: false,
      env: { ...this.#stage.proxy, ...this.#fetchTimeout, ...phase(offline ? 'look' : 'fetch') },
      files: { asked: lines.join(''), ...(await this.#authorities()) },
    };
    const out = await this.#harvest.during(() => this.#apt(options));
    if (offline) await this.#checkMissing(path.join(out, 'missing'));
    const wanted = parseUris(await this.#runner.handedBack(path.join(out, 'uris')));
    const [wrong] = await together([this.#harvest.verify(wanted), this.#harvest.harvestLists()]);
    if (!offline) await this.#remember(out, now, known);
    return wrong;
  }

  /** Remembers what apt has asked: `now`, or when `known` says. */
  async #remember(out: string, now: number, known: ReadonlyMap<string, Answer> = new Map()): Promise<void> {
    const [question = '', isKnown] = (await this.#runner.handedBack(path.join(out, 'question'))).trim().split(' ');
    const before = isKnown === 'known' ? known.get(question) : undefined;
    this.askedAt = before?.askedAt ?? now;
    if (before === undefined) await rememberQuestion(question, await this.#keyringDigest(), now);
  }

  /** The authorities of https servers that the project brings: apt must know them before the image does. */
  async #authorities(): Promise<Record<string, string>> {
    return { authorities: await ownAuthorities(this.#stage.plan.customisation) };
  }

  async #keyringDigest(): Promise<string> {
    return sha256File(await realpath(this.#stage.plan.config.keyring));
  }

  /** Reads what the package step would have to fetch: a line for each list of apt, and what --print-uris says of packages. */
  async #checkMissing(file: string): Promise<void> {
    const text = await this.#runner.handedBack(file);
    const files = text.split('\n').flatMap((line) => (line.startsWith('list ') ? [line.slice(5)] : []));
    files.push(...parseUris(text).keys());
    if (files.length > 0) throw notCached(files, this.#ctx.steps.current);
  }

  /** apt runs in the tree, in which modules may have put anything: it has the machine's loopback only where it is sent there. */
  get #fetchNetwork(): Network {
    const { plan, mirror, securityMirror, proxy } = this.#stage;
    const archives = plan.customisation.archives.sources.map(({ text }) => text);
    const addresses = [mirror, securityMirror, plan.config.extraSources.text, ...archives, ...Object.values(proxy)];
    return addresses.some(namesLoopback) ? 'host' : 'own';
  }

  get #fetchTimeout(): Record<string, string> {
    return { REALMFS_FETCH_TIMEOUT: String(this.#ctx.request.fetchTimeout) };
  }
}

/** The files for apt that only the build needs, below /etc/apt; a line each. */
export function buildArchives({ sources, keys, pins }: LiveArchives): string {
  const folders = Object.entries({ 'sources.list.d': sources, 'trusted.gpg.d': keys, 'preferences.d': pins });
  return folders.flatMap(([folder, files]) => files.map(({ name, isKept }) => (isKept ? '' : `${folder}/${name}\n`))).join('');
}

function phase(name: string): Record<string, string> {
  return { REALMFS_PACKAGES_PHASE: name, REALMFS_APT_STATUS_FD: '3' };
}
