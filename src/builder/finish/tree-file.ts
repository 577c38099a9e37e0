import type { Identity } from '../../records/identity.ts';

/** A file of the tree. */
export interface TreeFile {
  readonly path: string;
  readonly place: string;
  readonly bytes: Buffer;
  readonly mode: number;
  /** `UID:GID`. */
  readonly owner: string;
}
/** One that belongs to one machine. */
export interface IdentityFile extends TreeFile {
  readonly identity: Identity;
}
