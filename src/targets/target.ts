import type { Command } from '../system/runner.ts';

/** What a target writer needs to know of the finished tree. */
export interface TargetInput {
  /** Seconds since 1970; the newest time stamp in an artefact. */
  readonly sourceDateEpoch: number;
  /** The folder that the artefact is written to, inside the sandbox. */
  readonly output: string;
  /** In bytes: content, in whole blocks of 4096 bytes. */
  readonly treeSize: number;
  readonly treeEntries: number;
  /** In bytes, for file systems. */
  readonly freeSpace: number;
  /** The name and the suite of the image: identifiers are derived from them. */
  readonly identity: string;
}

/** Something that can be made of the finished root. */
export interface Target {
  readonly name: string;
  /** The name of the artefact in the output folder. */
  readonly file: string;
  /** It looks at treeSize and treeEntries, which take a walk through the tree. */
  readonly needsSize?: true;
  /** Its one command writes the artefact from the beginning to the end: it is hashed meanwhile. */
  readonly growsAtEnd?: true;
  /** It takes times as the tree has them: none may be newer than SOURCE_DATE_EPOCH. */
  readonly takesTimes?: true;
  /** Commands that are run one after the other, in the finished root, read-only, without network. */
  commands(input: TargetInput): TargetCommand[];
}

/** A command of a target writer. */
export type TargetCommand = Pick<Command, 'label' | 'file' | 'args' | 'env' | 'okExitCodes'>;
