import { randomUUID } from 'node:crypto';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { hasCode, makeFolders, statOrUndefined } from '../system/files.ts';
import type { Locks } from './locks.ts';

/** Where what was removed waits for its end. Who empties it holds it exclusively. */
export function trashOf(store: string): string {
  return path.join(store, 'trash');
}

/**
 * Renames an entry of a store into its trash, whatever it is. A folder stays if somebody holds it, or the `lock` in it.
 * True if it went; false if it stays, or was gone already.
 */
export async function takeAway(store: string, entry: string, locks: Locks): Promise<boolean> {
  const isFolder = (await statOrUndefined(entry))?.isDirectory() === true;
  const lock = path.join(entry, 'lock');
  const held = isFolder ? [entry, ...((await statOrUndefined(lock))?.isFile() === true ? [lock] : [])] : [];
  const got: string[] = [];
  try {
    for (const file of held) {
      if (!(await locks.exclusive(file))) return false;
      got.push(file);
    }
    await makeFolders(trashOf(store), 0o700);
    await rename(entry, path.join(trashOf(store), randomUUID()));
    return true;
  } catch (error) {
    // Somebody else was faster.
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  } finally {
    for (const file of got) await locks.release(file);
  }
}
