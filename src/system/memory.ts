import { readFile } from 'node:fs/promises';

async function readNumber(file: string): Promise<number> {
  try {
    const value = Number((await readFile(file, 'utf8')).trim());
    return Number.isFinite(value) && value > 0 ? value : Number.POSITIVE_INFINITY;
  } catch {
    // No such limit on this machine.
    return Number.POSITIVE_INFINITY;
  }
}

/** Bytes of memory that a build can use: MemAvailable, or less where a control group allows less. */
export async function availableMemory(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(text);
  const machine = match?.[1] === undefined ? Number.POSITIVE_INFINITY : Number(match[1]) * 1024;
  return Math.min(machine, await memoryLimit());
}

/** Bytes of memory that the control group of this process allows; infinite without a limit, or where control groups cannot be seen. */
export async function memoryLimit(): Promise<number> {
  return Math.min(
    ...(await Promise.all([readNumber('/sys/fs/cgroup/memory.max'), readNumber('/sys/fs/cgroup/memory/memory.limit_in_bytes')])),
  );
}

/** `1.5 GiB`; for people. */
export function formatSize(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Reads `2G`, `512M`, `1.5GiB`, `1048576`; undefined if it is no size. Powers of 1024. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}

/** Reads `90`, `90s`, `15m`, `2h` into milliseconds; undefined if it is no time. */
export function parseTime(text: string): number | undefined {
  const match = /^(\d+)([smh]?)$/.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const factor = { '': 1, s: 1, m: 60, h: 3600 }[match[2] ?? ''] ?? 1;
  return Number(match[1]) * factor * 1000;
}
