import { statfs } from 'node:fs/promises';
import { availableMemory, formatSize } from '../../system/memory.ts';
import { paths } from './context.ts';

const MIB = 1024 ** 2;
/** Bytes that a step is taken to leave of which nothing is known yet. */
const guesses: Readonly<Record<string, number>> = { bootstrap: 512 * MIB, packages: 1024 * MIB };
const OTHERS = 256 * MIB;
/** What a step that is known may leave beyond what it left the last time. */
const MARGIN = 64 * MIB;
const GROWTH = 1.25;
/** Memory that the programs of a step may take. */
const PROGRAMS = 256 * MIB;

/** File systems that can hold an upper of overlayfs, by the magic numbers of statfs(2): ext2 to ext4, xfs, btrfs, tmpfs, f2fs. */
const upperDisks = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0xf2f52010]);

/**
 * Why a step should not leave its files in memory; undefined: there is room. `known`: the bytes that
 * it left the last time; `memoryLimit`: those that the control group of this machine allows. The disk takes over only where it
 * can hold it.
 */
export async function shortage(step: string, known: number | undefined, memoryLimit: number): Promise<string | undefined> {
  const need = known === undefined ? (guesses[step] ?? OTHERS) : known * GROWTH + MARGIN;
  const { bavail, bsize } = await statfs(paths.work);
  const room = Math.min(bavail * bsize, Math.max(0, (await freeMemory(memoryLimit)) - PROGRAMS));
  if (room >= need) return undefined;
  const disk = await statfs(paths.staging);
  const onDisk = disk.bavail * disk.bsize;
  if (!upperDisks.has(disk.type) || onDisk < need || onDisk < room) return undefined;
  return `it may need ${formatSize(Math.ceil(need))}, and ${formatSize(Math.floor(room))} of memory are left`;
}

/** Bytes of memory that are left; what the build itself has on its tmpfs counts against the limit of a control group. */
export async function freeMemory(memoryLimit: number): Promise<number> {
  const { blocks, bavail, bsize } = await statfs(paths.work);
  return Math.min(await availableMemory(), memoryLimit - (blocks - bavail) * bsize);
}
