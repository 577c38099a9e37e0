import type { Layer } from '../../store/layers.ts';

/** What the steps of a cut have left beside the tree. */
export interface Made {
  /** What they have looked up, and what was there. */
  readonly reads: Readonly<Record<string, string>>;
  /** The Release files that packages come from. */
  readonly releases: Readonly<Record<string, string>>;
  /** When the archive was asked for them, in seconds since 1970; 0: not at all. */
  readonly askedAt: number;
  /** What a later build must know that takes the layer. */
  readonly facts: Readonly<Record<string, string>>;
  /** The file with the state of the shell. */
  readonly state: string | undefined;
  /** False: no layer can be made of it, and of nothing that comes after it. */
  readonly isRepeatable: boolean;
}

/** Steps that are looked up and kept together. */
export interface LayerJob {
  readonly steps: readonly string[];
  /** All inputs that are known before; without the layer below. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Whether they run in any case. */
  readonly mustRun: boolean;
  /** What speaks against a layer of these inputs: what its steps looked up, and is not there any more. */
  readonly fault: (layer: Layer) => Promise<string | undefined>;
  /** Begins what the steps wait for, as soon as it is known that they run. */
  readonly begin?: () => void;
  /** Runs the steps in the open tree. */
  readonly make: () => Promise<Made>;
  /** Asked when they have failed, in the tree as they have left it: true if they are to run once more. */
  readonly onFailure?: (error: unknown, canRetry: boolean) => Promise<boolean>;
  /** True: they are not run; without a layer it is an error. */
  readonly mustBeThere?: boolean;
  /** Takes what a layer has beside its tree. */
  readonly take: (layer: Layer) => Promise<void>;
}
