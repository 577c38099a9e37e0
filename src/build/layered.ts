import { readdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { isSecret } from '../config/settings.ts';
import { PreflightError } from '../errors.ts';
import { keyOf, type Layer, type LayerStore, lastBuild, newId, rememberBuild } from '../store/layers.ts';
import { sha256File, statOrUndefined } from '../system/files.ts';
import { type BuildContext, paths } from './context.ts';
import { shortage } from './room.ts';
import { MOST_LOWERS, type Tree } from './tree.ts';

/** What the steps of a cut have left beside the tree. */
export interface Made {
  /** What they have looked up, and what was there. */
  readonly reads: Readonly<Record<string, string>>;
  /** The Release files that packages come from. */
  readonly releases: Readonly<Record<string, string>>;
  /** What a later build must know that takes the layer. */
  readonly facts: Readonly<Record<string, string>>;
  /** The file with the state of the shell. */
  readonly state: string | undefined;
  /** Whether apt's lists belong to it. */
  readonly keepsLists: boolean;
  /** False: no layer can be made of it, and of nothing that comes after it. */
  readonly isRepeatable: boolean;
}

/** Steps that are looked up and kept together. */
export interface LayerPlan {
  readonly steps: readonly string[];
  /** All inputs that are known before; without the layer below. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Whether they run in any case. */
  readonly mustRun: boolean;
  /** What speaks against a layer of these inputs: what its steps looked up, and is not there any more. */
  readonly fault: (layer: Layer) => Promise<string | undefined>;
  /** Runs the steps in the open tree. */
  readonly make: () => Promise<Made>;
  /** Asked when they have failed, in the tree as they have left it: true if they are to run once more. */
  readonly onFailure?: (error: unknown, canRetry: boolean) => Promise<boolean>;
  /** True: they are not run; without a layer it is an error. */
  readonly mustBeThere?: boolean;
  /** Takes what a layer has beside its tree. */
  readonly take: (layer: Layer) => Promise<void>;
}

/** Reasons that are told of one step. */
const MOST_REASONS = 5;
/** Lines of a change, and characters of a line or value. */
const MOST_LINES = 6;
const LONGEST_VALUE = 80;

/** A build as a row of layers: each is taken from the store, or made and kept there. */
export class LayeredBuild {
  readonly #store: LayerStore | undefined;
  readonly #tree: Tree;
  readonly #ctx: BuildContext;
  readonly #folder: string;
  /** Copies that are still on their way into the store. */
  readonly #keeping: Promise<void>[] = [];
  #links: readonly (readonly string[])[] = [];
  #below = '';
  /** Nothing from here on can be looked up. */
  #isUnrepeatable = false;
  #rebuilds = false;
  /** How many steps were taken from layers, before the first that was not. */
  cached = 0;
  #hasMissed = false;

  constructor(store: LayerStore | undefined, folder: string, tree: Tree, ctx: BuildContext) {
    this.#store = store;
    this.#folder = folder;
    this.#tree = tree;
    this.#ctx = ctx;
  }

  /** The id of the topmost layer; empty if nothing of it could be looked up again. */
  get top(): string {
    return this.#isUnrepeatable ? '' : this.#below;
  }

  async run(plan: LayerPlan): Promise<void> {
    const { steps, request } = this.#ctx;
    const last = plan.steps.at(-1) ?? '';
    const inputs = { ...plan.inputs, 'the layer below': this.#below };
    const key = keyOf(inputs);
    if (plan.steps.some((step) => step === request.rebuildFrom || step.replace(/^\w+\//, '') === request.rebuildFrom))
      this.#rebuilds = true;
    const store = this.#isUnrepeatable || plan.mustRun || this.#tree.depth > MOST_LOWERS ? undefined : this.#store;
    const faults: string[] = [];
    const look = async (): Promise<Layer | undefined> =>
      store === undefined || request.noCache || this.#rebuilds ? undefined : store.find(key, plan.fault, (fault) => faults.push(fault));
    let layer = await look();
    let waited = false;
    if (layer === undefined && store !== undefined) {
      await store.begin(key, () => {
        waited = true;
        steps.note(`${last}: waiting for another build that makes the same layer`);
      });
      if (waited) layer = await look();
      if (layer !== undefined) await store.end(key);
    }
    if (layer !== undefined) {
      await this.#take(plan, layer, inputs);
      return;
    }
    if (plan.mustBeThere === true) {
      await store?.end(key);
      const why =
        faults.length > 0 || store === undefined
          ? faults
          : differences((await lastBuild(this.#folder, request.project, last))?.inputs ?? {}, inputs);
      throw new PreflightError(`there is no layer of ${last} as things are now`, {
        step: last,
        details: why.slice(0, MOST_REASONS),
        hint: 'build first, then open the shell',
      });
    }
    await this.#explain(plan, inputs, faults);
    const started = Date.now();
    let made: Made | undefined;
    while (made === undefined) {
      try {
        await this.#open(last);
        made = await plan.make();
      } catch (error) {
        const canRetry = this.#tree.isLayered;
        const again = this.#ctx.runner.isStopped() ? false : ((await plan.onFailure?.(error, canRetry)) ?? false) && canRetry;
        if (!again) {
          await store?.end(key);
          throw error;
        }
        await this.#tree.discard();
      }
    }
    const lists = made.keepsLists ? { view: `${paths.apt}/lists`, cache: `${paths.cache}/apt/lists` } : undefined;
    const id = newId();
    const lost = (error: unknown): void =>
      steps.warn(`the layer of ${last} could not be kept: ${error instanceof Error ? error.message : String(error)}`);
    const keeper = made.isRepeatable
      ? await store?.open(id, { state: made.state, lists }).then(
          () => store,
          (error: unknown) => void lost(error),
        )
      : undefined;
    const frozen = await this.#tree.freeze(this.#links);
    const seconds = (Date.now() - started) / 1000;
    this.#links = frozen.links;
    this.#below = id;
    if (keeper === undefined) {
      this.#isUnrepeatable = true;
      await store?.end(key);
      return;
    }
    const parent = inputs['the layer below'];
    const meta = { id, key, parent, step: last, steps: [...plan.steps], project: request.project, seconds, inputs, links: frozen.links };
    const { reads, releases, facts } = made;
    const whole = { ...meta, reads: { ...reads }, releases: { ...releases }, facts: { ...facts } };
    const put = keeper.put(whole, frozen.folder, !request.offline);
    const kept = put
      .then((size) => rememberBuild(this.#folder, request.project, last, { inputs, size }))
      .catch(lost)
      .finally(() => keeper.end(key));
    this.#keeping.push(kept);
  }

  /** Opens the tree for what comes after the last layer. */
  async open(): Promise<void> {
    await this.#open('finalize');
  }

  /** Opens the tree in memory, or on disk where memory would not hold what the step leaves. */
  async #open(step: string): Promise<void> {
    const { request, steps } = this.#ctx;
    const known = (await lastBuild(this.#folder, request.project, step))?.size;
    const short = request.tmpfs && this.#tree.isLayered ? await shortage(step, known, request.memoryLimit) : undefined;
    if (short !== undefined) steps.note(`${step} is built on disk: ${short}`);
    await this.#tree.open(short === undefined ? paths.parts : paths.diskParts);
  }

  /** Runs something on top of a layer, and forgets what it has changed. */
  async lookInto<T>(layer: Layer, body: () => Promise<T>): Promise<T> {
    this.#tree.add(path.join(layer.folder, 'tree'));
    await this.#tree.open(paths.parts);
    try {
      return await body();
    } finally {
      await this.#tree.discard();
      this.#tree.drop();
    }
  }

  /** Whether a layer was added to the store. */
  get hasGrown(): boolean {
    return this.#keeping.length > 0;
  }

  /** Waits until all new layers are in the store. */
  async finish(): Promise<void> {
    await Promise.all(this.#keeping);
  }

  async #take(plan: LayerPlan, layer: Layer, inputs: Record<string, string>): Promise<void> {
    const { steps, request } = this.#ctx;
    this.#tree.add(path.join(layer.folder, 'tree'));
    this.#links = layer.meta.links;
    this.#below = layer.meta.id;
    for (const step of plan.steps) {
      steps.cached(step);
      if (!this.#hasMissed) this.cached += 1;
    }
    await plan.take(layer);
    await rememberBuild(this.#folder, request.project, plan.steps.at(-1) ?? '', { inputs, size: layer.meta.size });
  }

  /** Says why the first layer that must be made is not there. */
  async #explain(plan: LayerPlan, inputs: Record<string, string>, faults: readonly string[]): Promise<void> {
    if (this.#hasMissed) return;
    this.#hasMissed = true;
    const { steps, request } = this.#ctx;
    const last = plan.steps.at(-1) ?? '';
    if (this.cached > 0) steps.note(`${this.cached} steps are taken from layers; it goes on at ${plan.steps[0]}`);
    if (request.noCache || this.#rebuilds) return;
    if (plan.mustRun) {
      steps.note(`${last} runs each time: cache: no`);
      return;
    }
    const before = (await lastBuild(this.#folder, request.project, last))?.inputs;
    const reasons = faults.length > 0 || before === undefined ? faults : differences(before, inputs);
    for (const reason of reasons.slice(0, MOST_REASONS)) steps.note(`${last} runs again: ${reason}`);
  }
}

/** What differs between two sets of inputs, in words. */
export function differences(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  return names.flatMap((name) => {
    const [was, is] = [before[name], now[name]];
    if (was === is) return [];
    if (was === undefined) return [`${name} is new`];
    if (is === undefined) return [`${name} is gone`];
    if (isSecret(name)) return [`${name} has changed`];
    const isValue = /^(?:setting|variable) |^packages$|^modules$/.test(name);
    if (isValue && isShort(was) && isShort(is)) return [`${name} was ${was}, is ${is}`];
    return [/^(?:function|step|commands) ?/.test(name) ? `${name} has changed: ${changedLines(was, is)}` : `${name} has changed`];
  });
}

function isShort(text: string): boolean {
  return text.length <= LONGEST_VALUE && !text.includes('\n');
}

/** The lines that only one of two texts has: `- old`, `+ new`; a few of them. */
function changedLines(was: string, is: string): string {
  const [before, now] = [was, is].map((text) => text.split('\n').map((line) => line.trim()));
  const only = (lines: readonly string[] = [], others: readonly string[] = [], sign: string): string[] =>
    lines.filter((line) => line !== '' && !others.includes(line)).map((line) => `${sign} ${line.slice(0, LONGEST_VALUE)}`);
  const changed = [...only(before, now, '-'), ...only(now, before, '+')];
  const shown = changed.slice(0, MOST_LINES).join('; ');
  return changed.length === 0 ? 'the order of its lines' : changed.length > MOST_LINES ? `${shown}; ...` : shown;
}

/** SHA-256 of every Release file in a folder of apt's lists, by name. */
export async function releasesIn(lists: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(lists)).sort()) {
    if (/_(?:In)?Release$/.test(name)) found[name] = await sha256File(path.join(lists, name));
  }
  return found;
}

/** Seconds since the archive of a layer was asked whether it has changed. */
export async function secondsSinceAsked(layer: string): Promise<number> {
  const stat = await statOrUndefined(path.join(layer, 'meta.json'));
  return stat === undefined ? Number.POSITIVE_INFINITY : (Date.now() - stat.mtimeMs) / 1000;
}

/** Remembers that the archive of a layer has just been asked. */
export async function rememberAsked(layer: string): Promise<void> {
  const now = new Date();
  await utimes(path.join(layer, 'meta.json'), now, now);
}
