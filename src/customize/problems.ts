import { realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Problem } from '../errors.ts';

/** What is found while the customisation of a project is read: faults all at once, and what its user should know. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** Names of editor backups and of version control, which are left out of what is copied onto the root. */
export function isLeftOut(name: string): boolean {
  return name.startsWith('.git') || name.endsWith('~') || name.startsWith('.#') || /^#.*#$/.test(name) || /^\..*\.sw[a-p]$/.test(name);
}

/** Sorts as the C locale does: by bytes. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Where a name below a folder leads in the end, or undefined if that is nothing, or lies outside of it. */
export async function insideOf(folder: string, name: string): Promise<string | undefined> {
  try {
    const real = await realpath(path.join(folder, name));
    return real.startsWith(`${await realpath(folder)}/`) ? real : undefined;
  } catch {
    // Nothing there, or links in a circle.
    return undefined;
  }
}
