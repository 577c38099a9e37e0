import type { Command } from '../system/runner.ts';

/** A file with holes: every block of 4096 zeros in it is one. */
export interface SparseFile {
  /** Below the tree; a character for each byte. */
  readonly path: string;
  readonly inode: string;
  /** Bytes of them. */
  readonly holes: number;
}

/** What a target writer needs to know of the finished tree. */
export interface TargetInput {
  /** Seconds since 1970; the newest time stamp in an artefact. */
  readonly sourceDateEpoch: number;
  /** The file to write, inside the sandbox. */
  readonly file: string;
  /** In bytes: content, in whole blocks of 4096 bytes, without holes. */
  readonly treeSize: number;
  readonly treeEntries: number;
  readonly sparse: readonly SparseFile[];
  /** In bytes, for file systems. */
  readonly freeSpace: number;
  /** What identifiers and salts are derived from: the digest of all that is in the tree, as hex. */
  readonly identity: string;
  /** REALMFS_NAME. */
  readonly name: string;
  /** Whose key the image is signed with, as realms name it. */
  readonly channel: string;
}

/** How a target runs its programs: in the finished root, read-only, without network. */
export interface TargetTools {
  run(command: TargetCommand): Promise<void>;
  /** The same; returns standard output. */
  capture(command: TargetCommand): Promise<string>;
  /** Copies the tree with all that belongs to it, which needs more rights than programs of a writer have. */
  copyTree(to: string): Promise<void>;
  /** Whether the artefact is not wanted any more: what takes long looks now and then. */
  isStopped(): boolean;
}

/** Something that can be made of the finished root. */
export interface Target {
  readonly name: string;
  /** The name of the artefact in the output folder, by that of the image. */
  file(name: string): string;
  /** The artefact is a folder: it has no checksum, and hooks do not see it. */
  readonly isFolder?: true;
  /** One program writes the artefact from the beginning to the end: it is hashed meanwhile. */
  readonly growsAtEnd?: true;
  /** It takes entries as the disk lists them, and derives identifiers: it gets a copy of the tree whose order is known. */
  readonly takesOrder?: true;
  /** Programs that it starts beside those of every build, with the Debian packages that have them. */
  readonly tools?: Readonly<Record<string, string>>;
  /** Its program may fail at names of 255 bytes, as old versions do: that is tried if the tree has one. */
  readonly mayLackLongNames?: true;
  /** What it cannot hold of a tree. */
  readonly loses?: string;
  /** Writes the artefact. */
  write(input: TargetInput, tools: TargetTools): Promise<void>;
}

/** A command of a target writer. */
export type TargetCommand = Pick<Command, 'label' | 'file' | 'args' | 'env' | 'okExitCodes'> & {
  /** Its process has the number 1 in its namespace: for programs that write their number. */
  readonly isFirst?: boolean;
};
