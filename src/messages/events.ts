import type { Failure } from '../errors.ts';

/** The version of the event stream; it stands in every event that `--progress json` prints. */
export const EVENT_VERSION = 1;

/** An artefact that a build has written; `file` is its name in the output folder. */
export interface Artifact {
  readonly target: string;
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** All that a build reports; sinks print it, the core never does. */
export type BuildEvent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'plan'; readonly steps: readonly string[] }
  | { readonly kind: 'step-start'; readonly step: string; readonly index: number; readonly total: number }
  /** A step that was not run: a layer has its result. */
  | { readonly kind: 'step-cached'; readonly step: string; readonly index: number; readonly total: number }
  | { readonly kind: 'note'; readonly step: string; readonly text: string }
  | { readonly kind: 'progress'; readonly step: string; readonly percent: number | null; readonly text: string }
  | { readonly kind: 'step-end'; readonly step: string; readonly ok: boolean; readonly seconds: number }
  | { readonly kind: 'command'; readonly step: string; readonly line: string }
  | { readonly kind: 'output'; readonly step: string; readonly line: string }
  | { readonly kind: 'warning'; readonly step: string; readonly text: string }
  | { readonly kind: 'artifact'; readonly artifact: Artifact }
  /** A shell takes the terminal; `failure` is why, if a step has failed. */
  | { readonly kind: 'shell-start'; readonly step: string; readonly failure?: Failure }
  | { readonly kind: 'shell-end'; readonly code: number }
  /** What `plan` was asked for; plannedSchema in build/plan-report.ts has its form. */
  | { readonly kind: 'planned'; readonly plan: object }
  /** What `inspect` and `diff` have read of an image or a tree; readingSchema in images/reading.ts has its form. */
  | { readonly kind: 'read'; readonly reading: object }
  /** `key` is that of the results; empty: they cannot be looked up again. With `upToDate` they are there already. */
  | {
      readonly kind: 'built';
      readonly files: readonly string[];
      readonly rootfs: boolean;
      readonly key: string;
      readonly upToDate: boolean;
    }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Takes an event; must not throw. */
export type Report = (event: BuildEvent) => void;
