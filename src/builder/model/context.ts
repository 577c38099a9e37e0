import type { Report } from '../../messages/events.ts';
import type { BuildRequest } from '../../messages/request.ts';
import { SANDBOX } from '../../resources.ts';
import type { StepNetwork } from '../../sandbox/network.ts';
import type { Locks } from '../../store/locks.ts';
import type { Runner } from '../../system/runner.ts';

/** The folders of a build inside its sandbox. */
export const paths = {
  program: `${SANDBOX}/program`,
  source: `${SANDBOX}/source`,
  staging: `${SANDBOX}/staging`,
  cache: `${SANDBOX}/cache`,
  work: `${SANDBOX}/build`,
  root: `${SANDBOX}/build/root`,
  project: `${SANDBOX}/build/project`,
  evaluate: `${SANDBOX}/build/evaluate`,
  library: `${SANDBOX}/build/lib`,
  steps: `${SANDBOX}/build/steps`,
  /** The parts of the tree: in memory, and on the output disk for what memory does not hold. */
  parts: `${SANDBOX}/build/parts`,
  diskParts: `${SANDBOX}/staging/parts`,
  layers: `${SANDBOX}/cache/layers`,
  apt: `${SANDBOX}/build/apt`,
} as const;

/** What a build's parts need; passed explicitly. */
export interface BuildContext {
  readonly request: BuildRequest;
  readonly runner: Runner;
  /** A runner whose events carry a step of its own: several run at the same time. `unwanted` ends its programs, too, and its reason is thrown. */
  readonly runnerOf: (step: string, unwanted: AbortSignal) => Runner;
  readonly report: Report;
  readonly steps: StepClock;
  /** As dpkg names it. */
  readonly hostArch: string;
  /** Locks on files of the cache; they end with the builder. */
  readonly locks: Locks;
  /** One for the whole build, also where stage two begins again. */
  readonly network: StepNetwork;
}

/** How long a step took, for the manifest. */
export interface StepRecord {
  readonly step: string;
  readonly start: string;
  readonly seconds: number;
  /** True: it was not run, a layer has its result. */
  readonly cached: boolean;
}

/** A place to which a clock can be set back. */
export interface ClockMark {
  readonly step: string;
  readonly index: number;
  readonly records: number;
}

/** Names the running step and reports where each begins and ends. */
export class StepClock {
  readonly records: StepRecord[] = [];
  current = '';
  #index = 0;
  #total = 0;
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  plan(steps: readonly string[]): void {
    this.#total = steps.length;
    this.#report({ kind: 'plan', steps });
  }

  /** Runs a step; a failure leaves `current` at its name. */
  async run<T>(step: string, body: () => Promise<T>): Promise<T> {
    const start = new Date();
    // A second try is no other step.
    if (this.records.at(-1)?.step !== step) this.#index += 1;
    this.current = step;
    this.#report({ kind: 'step-start', step, index: this.#index, total: this.#total });
    let ok = false;
    try {
      const result = await body();
      ok = true;
      return result;
    } finally {
      const seconds = (Date.now() - start.getTime()) / 1000;
      this.records.push({ step, start: start.toISOString(), seconds, cached: false });
      this.#report({ kind: 'step-end', step, ok, seconds });
    }
  }

  /** A step whose result comes from a layer. */
  cached(step: string): void {
    this.#index += 1;
    this.current = step;
    this.records.push({ step, start: new Date().toISOString(), seconds: 0, cached: true });
    this.#report({ kind: 'step-cached', step, index: this.#index, total: this.#total });
  }

  /** Where the clock is. */
  mark(): ClockMark {
    return { step: this.current, index: this.#index, records: this.records.length };
  }

  /** Goes back to where it was: what came after that is done again. */
  rewind(mark: ClockMark): void {
    this.current = mark.step;
    this.#index = mark.index;
    this.records.length = mark.records;
  }

  /** What the user should know, and need not mend. */
  note(text: string): void {
    this.#report({ kind: 'note', step: this.current, text });
  }

  warn(text: string): void {
    this.#report({ kind: 'warning', step: this.current, text });
  }

  progress(percent: number | null, text: string): void {
    this.#report({ kind: 'progress', step: this.current, percent, text });
  }
}
