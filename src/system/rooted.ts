import { lstatSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { onDisk, textOf } from './names.ts';

/** Links that are followed on one way, as the kernel counts them. */
const MOST_LINKS = 40;

export interface InRootOptions {
  /** Whether a link in the place of the last part is followed, too. */
  readonly follow?: boolean;
}

/**
 * Where the path `name` of a tree lies as seen from outside of it. Links are followed as in a chroot, so that nothing of the host is
 * ever reached: an absolute one begins at the root of the tree, and nothing lies above that. (In a project such links are refused:
 * inside.ts.) Nobody may change the tree meanwhile. Undefined: a folder on the way is missing, or is none. The last part need not
 * be there; a link in its place is followed only if `follow` says so.
 */
export function inRoot(root: string, name: string, { follow = false }: InRootOptions = {}): string | undefined {
  const left = partsOf(name);
  let at: string[] = [];
  let links = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '..') {
      at.pop();
      continue;
    }
    const here = path.join(root, ...at, part);
    if (left.length === 0 && !follow) return here;
    const stat = lstatSync(onDisk(here), { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) {
      links += 1;
      if (links > MOST_LINKS) return undefined;
      const target = textOf(readlinkSync(onDisk(here), 'buffer'));
      if (target.startsWith('/')) at = [];
      left.unshift(...partsOf(target));
    } else if (left.length > 0 && !stat?.isDirectory()) return undefined;
    else at.push(part);
  }
  return path.join(root, ...at);
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}
