import path from 'node:path';
import { PreflightError, reasonOf } from '../../errors.ts';
import { type LastBuild, lastBuild, rememberBuild } from '../../store/last-build.ts';
import type { LayerStore } from '../../store/layer-store.ts';
import { keyOf, type Layer, newId } from '../../store/layers.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { explain } from '../model/failures.ts';
import { shortage } from '../model/memory-budget.ts';
import type { LayerJob, Made } from './layer-job.ts';
import { MOST_LOWERS, type OverlayTree } from './overlay-tree.ts';
import { DamagedLayers, TakenLayers } from './taken-layers.ts';
import { differences } from './why-it-runs.ts';

/** Reasons that are told of one step. */
const MOST_REASONS = 5;

/** A build as a row of layers: each is taken from the store, or made and kept there. */
export class LayerStack {
  readonly #store: LayerStore | undefined;
  readonly #tree: OverlayTree;
  readonly #ctx: BuildContext;
  readonly #folder: string;
  readonly #taken: TakenLayers;
  /** Copies that are still on their way into the store. */
  readonly #keeping: Promise<void>[] = [];
  #links: readonly (readonly string[])[] = [];
  #below = '';
  /** Nothing from here on can be looked up. */
  #isUnrepeatable = false;
  #rebuilds = false;
  /** How many steps were taken from layers, before the first that was not. */
  cached = 0;
  #isMissing = false;
  /** SHA-256 of the Release files that the layers were made from, by name in apt's lists. */
  releases: Record<string, string> = {};

  constructor(store: LayerStore | undefined, folder: string, tree: OverlayTree, ctx: BuildContext) {
    this.#store = store;
    this.#folder = folder;
    this.#tree = tree;
    this.#taken = new TakenLayers(store, ctx.steps);
    this.#ctx = ctx;
  }

  /** The id of the topmost layer; empty if nothing of it could be looked up again. */
  get top(): string {
    return this.#isUnrepeatable ? '' : this.#below;
  }

  /**
   * Runs a row of plans, and what comes after it; again from the first plan, as often as layers are found to be damaged.
   * Nothing that was made on top of them is kept.
   */
  async sound<T>(body: () => Promise<T>): Promise<T> {
    const mark = this.#ctx.steps.mark();
    for (;;) {
      try {
        return await body();
      } catch (error) {
        if (!(error instanceof DamagedLayers)) throw error;
        this.#ctx.steps.rewind(mark);
        await this.#tree.discard();
        while (this.#tree.depth > 0) this.#tree.drop();
        this.#taken.clear();
        [this.#links, this.#below, this.releases] = [[], '', {}];
        [this.#isUnrepeatable, this.#rebuilds, this.#isMissing, this.cached] = [false, false, false, 0];
      }
    }
  }

  /** Takes the layer of a plan, or makes and keeps it. */
  async run(plan: LayerJob): Promise<void> {
    const { request } = this.#ctx;
    const inputs = { ...plan.inputs, 'the layer below': this.#below };
    const key = keyOf(inputs);
    if (plan.steps.some((step) => step === request.rebuildFrom || step.replace(/^\w+\//, '') === request.rebuildFrom))
      this.#rebuilds = true;
    const store = this.#isUnrepeatable || plan.mustRun || this.#tree.depth > MOST_LOWERS ? undefined : this.#store;
    const faults: string[] = [];
    const layer = store === undefined ? undefined : await this.#find(store, key, plan, faults);
    if (layer !== undefined) {
      await this.#take(plan, layer, inputs);
      return;
    }
    try {
      if (plan.mustBeThere === true) throw await this.#noLayer(plan, inputs, faults);
      plan.begin?.();
      const checked = this.#check();
      await this.#explain(plan, inputs, faults);
      const started = Date.now();
      const made = await this.#make(plan, checked);
      Object.assign(this.releases, made.releases);
      const id = newId();
      const isKept = store !== undefined && made.isRepeatable && (await this.#begin(store, id, plan, made));
      const frozen = await this.#tree.freeze(this.#links);
      this.#links = frozen.links;
      this.#below = id;
      if (store === undefined || !isKept) {
        this.#isUnrepeatable = true;
        await store?.end(key);
        return;
      }
      const { reads, releases, facts } = made;
      const meta = {
        id,
        key,
        parent: inputs['the layer below'],
        step: lastOf(plan),
        steps: [...plan.steps],
        project: request.project,
        seconds: (Date.now() - started) / 1000,
        inputs,
        links: frozen.links,
        reads: { ...reads },
        releases: { ...releases },
        facts: { ...facts },
      };
      const put = store.put(meta, frozen.folder, made.askedAt);
      const kept = put
        .catch((error: unknown) => this.#lost(plan, error, () => store.forget(id)))
        .then((size) => (size === undefined ? undefined : this.#remember(meta.step, { inputs, size })))
        .finally(() => store.end(key));
      this.#keeping.push(kept);
    } catch (error) {
      await store?.end(key);
      throw error;
    }
  }

  /** Looks a layer up. Without one this build makes it: another one that needs it waits until `end`. */
  async #find(store: LayerStore, key: string, plan: LayerJob, faults: string[]): Promise<Layer | undefined> {
    const { steps, request } = this.#ctx;
    const look = async (): Promise<Layer | undefined> =>
      request.noCache || this.#rebuilds
        ? undefined
        : store.find(
            key,
            plan.fault,
            (fault) => faults.push(fault),
            (damage) => this.#taken.warn({ ...damage, step: lastOf(plan) }),
          );
    const there = await look();
    if (there !== undefined) return there;
    let waited = false;
    await store.begin(key, () => {
      waited = true;
      steps.note(`${lastOf(plan)}: waiting for another build that makes the same layer`);
    });
    try {
      const layer = waited ? await look() : undefined;
      if (layer !== undefined) await store.end(key);
      return layer;
    } catch (error) {
      await store.end(key);
      throw error;
    }
  }

  /** Why a shell cannot be opened. */
  async #noLayer(plan: LayerJob, inputs: Record<string, string>, faults: readonly string[]): Promise<PreflightError> {
    const last = lastOf(plan);
    if (this.#store === undefined)
      return new PreflightError('no layers are kept (LAYERS_MAX_SIZE=0, or the disk of the cache folder holds none)', { step: last });
    if (plan.mustRun) {
      return new PreflightError(`${last} runs in every build, and is never kept`, {
        step: last,
        hint: 'a shell can be opened after a step before it',
      });
    }
    const before = (await lastBuild(this.#folder, this.#ctx.request.project, last))?.inputs;
    const why = faults.length > 0 || before === undefined ? faults : differences(before, inputs);
    return new PreflightError(`there is no layer of ${last} as things are now`, {
      step: last,
      details: why.slice(0, MOST_REASONS),
      hint: 'build first, then open the shell',
    });
  }

  /** Runs the steps, and again for as long as the user asks for it. `checked`: the layers below are what was kept. */
  async #make(plan: LayerJob, checked: Promise<void>): Promise<Made> {
    for (;;) {
      try {
        await this.#open(lastOf(plan));
        const made = await plan.make();
        await checked;
        return made;
      } catch (error) {
        await checked;
        const canRetry = this.#tree.isLayered;
        const again = this.#ctx.runner.isStopped() ? false : ((await plan.onFailure?.(error, canRetry)) ?? false) && canRetry;
        if (!again) throw error;
        await this.#tree.discard();
      }
    }
  }

  /** Begins a layer; false if the store has no room for it. */
  async #begin(store: LayerStore, id: string, plan: LayerJob, made: Made): Promise<boolean> {
    try {
      await store.open(id, made.state);
      return true;
    } catch (error) {
      await this.#lost(plan, error, () => store.forget(id));
      return false;
    }
  }

  /** `forget` gives the room of what was copied back. */
  async #lost(plan: LayerJob, error: unknown, forget: () => Promise<void>): Promise<undefined> {
    this.#ctx.steps.warn(`the layer of ${lastOf(plan)} could not be kept: ${reasonOf(await explain(error, paths.cache))}`);
    // Where even that fails, the next build does it.
    await forget().catch(() => {});
  }

  /** Remembers what a step was made of: it helps the next build, and this one needs nothing of it. */
  async #remember(step: string, build: LastBuild): Promise<void> {
    try {
      await rememberBuild(this.#folder, this.#ctx.request.project, step, build);
    } catch (error) {
      this.#ctx.steps.warn(`what ${step} was made of is not remembered: ${reasonOf(await explain(error, paths.cache))}`);
    }
  }

  /** Opens the tree and runs what comes after the last layer, while the layers below are looked at. */
  async last<T>(body: () => Promise<T>): Promise<T> {
    const checked = this.#check();
    try {
      await this.#open('finalize');
      const result = await body();
      await checked;
      return result;
    } catch (error) {
      await checked;
      throw error;
    }
  }

  /** Begins to look at the layers below. What is made on damaged ones meanwhile is thrown away, and a failure on them says nothing. */
  #check(): Promise<void> {
    const checked = this.#taken.check();
    checked.catch(() => {});
    return checked;
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
    this.#taken.add(layer);
    await this.#taken.check();
    this.#tree.add(path.join(layer.folder, 'tree'));
    await this.#tree.open(paths.parts);
    try {
      return await body();
    } finally {
      await this.#tree.discard();
      this.#tree.drop();
    }
  }

  /** Whether a step had to run. */
  get hasMissed(): boolean {
    return this.#isMissing;
  }

  /** Whether a layer was added to the store. */
  get hasGrown(): boolean {
    return this.#keeping.length > 0;
  }

  /** Waits until all new layers are in the store. */
  async finish(): Promise<void> {
    await Promise.all(this.#keeping);
  }

  async #take(plan: LayerJob, layer: Layer, inputs: Record<string, string>): Promise<void> {
    const { steps } = this.#ctx;
    this.#tree.add(path.join(layer.folder, 'tree'));
    this.#taken.add(layer);
    this.#links = layer.meta.links;
    Object.assign(this.releases, layer.meta.releases);
    this.#below = layer.meta.id;
    for (const step of plan.steps) {
      steps.cached(step);
      if (!this.#isMissing) this.cached += 1;
    }
    await plan.take(layer);
    await this.#remember(lastOf(plan), { inputs, size: layer.meta.size });
  }

  /** Says why the first layer that must be made is not there. */
  async #explain(plan: LayerJob, inputs: Record<string, string>, faults: readonly string[]): Promise<void> {
    if (this.#isMissing) return;
    this.#isMissing = true;
    const { steps, request } = this.#ctx;
    const last = lastOf(plan);
    if (this.cached > 0)
      steps.note(`${this.cached === 1 ? '1 step is' : `${this.cached} steps are`} taken from layers; it goes on at ${plan.steps[0]}`);
    if (request.noCache || this.#rebuilds) return;
    if (plan.mustRun) {
      steps.note(`${last} runs in every build: "cache: no", or NOCACHE_STEPS`);
      return;
    }
    const before = (await lastBuild(this.#folder, request.project, last))?.inputs;
    const reasons = faults.length > 0 || before === undefined ? faults : differences(before, inputs);
    for (const reason of reasons.slice(0, MOST_REASONS)) steps.note(`${last} runs again: ${reason}`);
    if (reasons.length > MOST_REASONS) steps.note(`${last} runs again: and ${reasons.length - MOST_REASONS} more reasons`);
  }
}

/** The step that gives a layer its name. */
function lastOf({ steps }: LayerJob): string {
  return steps.at(-1) ?? '';
}
