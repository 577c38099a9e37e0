import { readdir, readFile } from 'node:fs/promises';

/**
 * A process that has the flock on a folder: one that has the descriptor it belongs to, the first that was started. The one that took it,
 * which /proc/locks names, has ended.
 */
export async function lockHolder({ dev, ino }: { readonly dev: number; readonly ino: number }): Promise<number | undefined> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids.sort((a, b) => a - b)) {
    const folder = `/proc/${pid}/fdinfo`;
    for (const name of await readdir(folder).catch(() => [])) {
      const text = await readFile(`${folder}/${name}`, 'utf8').catch(() => '');
      if (hasLock(text, dev, ino)) return pid;
    }
  }
  return undefined;
}

/**
 * Whether a descriptor has a flock on the inode of the device, which is numbered as in st_dev, by the text of its fdinfo
 * (`lock:\t1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`; source: proc_pid_fdinfo(5), proc_locks(5)).
 */
export function hasLock(text: string, device: number, inode: number): boolean {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  const place = `${hex((device >> 8) & 0xfff)}:${hex((device & 0xff) | ((device >> 12) & 0xfff00))}:${inode}`;
  return text.split('\n').some((line) => {
    const [label, , kind, , , , locked] = line.split(/\s+/);
    return label === 'lock:' && kind === 'FLOCK' && locked === place;
  });
}
