import { readFile, stat } from 'node:fs/promises';

/**
 * The process that holds the flock on a folder, from /proc/locks
 * (`1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`; source: proc_locks(5)).
 */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const { ino } = await stat(folder);
  return parseLocks(await readFile('/proc/locks', 'utf8'), ino);
}

/** The first holder of a flock on the inode. */
export function parseLocks(text: string, inode: number): number | undefined {
  for (const line of text.split('\n')) {
    const fields = line.split(/\s+/);
    const [, kind, , , pid, place] = fields;
    if (kind === 'FLOCK' && place?.split(':')[2] === String(inode) && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}
