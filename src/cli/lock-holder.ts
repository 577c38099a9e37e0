import { readFile, stat } from 'node:fs/promises';

/**
 * The process that holds the flock on a folder, from /proc/locks
 * (`1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`; source: proc_locks(5)).
 */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const { dev, ino } = await stat(folder);
  return parseLocks(await readFile('/proc/locks', 'utf8'), dev, ino);
}

/** The first holder of a flock on the inode of the device, which is numbered as in st_dev. */
export function parseLocks(text: string, device: number, inode: number): number | undefined {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  const place = `${hex((device >> 8) & 0xfff)}:${hex((device & 0xff) | ((device >> 12) & 0xfff00))}:${inode}`;
  for (const line of text.split('\n')) {
    const fields = line.split(/\s+/);
    const [, kind, , , pid, locked] = fields;
    if (kind === 'FLOCK' && locked === place && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}
