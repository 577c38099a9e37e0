import type { Damage, LayerStore } from '../../store/layer-store.ts';
import type { Layer } from '../../store/layers.ts';
import type { StepClock } from '../model/context.ts';

/** Layers that were taken are not what was kept: the row of layers begins again without them. */
export class DamagedLayers extends Error {}

/** The layers of the store that a build has taken. They are looked at before anything that was made of them is kept. */
export class TakenLayers {
  readonly #store: LayerStore | undefined;
  readonly #steps: StepClock;
  #unchecked: Layer[] = [];
  /** Folders of those that were found right. */
  readonly #right = new Set<string>();

  constructor(store: LayerStore | undefined, steps: StepClock) {
    this.#store = store;
    this.#steps = steps;
  }

  add(layer: Layer): void {
    if (!this.#right.has(layer.folder)) this.#unchecked.push(layer);
  }

  /** Forgets those that were not looked at yet. */
  clear(): void {
    this.#unchecked = [];
  }

  /** @throws DamagedLayers, after a warning for each, if one is not what was kept. */
  async check(): Promise<void> {
    const layers = this.#unchecked;
    this.clear();
    const touched = ({ meta }: Layer): void =>
      this.#steps.note(`the layer of ${meta.step} was copied or touched since it was made: all of it is compared with its record`);
    const damages = (await this.#store?.check(layers, touched)) ?? [];
    for (const damage of damages) this.warn(damage);
    if (damages.length > 0) throw new DamagedLayers();
    for (const { folder } of layers) this.#right.add(folder);
  }

  /** Says what is wrong with a layer, and what becomes of it. */
  warn({ step, why, removed }: Damage): void {
    const end = removed ? 'it is removed, and made again' : 'another build uses it; this one makes its own';
    this.#steps.warn(`the layer of ${step} is damaged: ${why}; ${end}`);
  }
}
