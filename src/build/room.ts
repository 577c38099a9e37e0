import { statfs } from 'node:fs/promises';
import { availableMemory, formatSize } from '../system/memory.ts';
import { paths } from './context.ts';
import { canBeUpper } from './tree.ts';

const MIB = 1024 ** 2;
/** Bytes that a step is taken to leave of which nothing is known yet. */
const guesses: Readonly<Record<string, number>> = { bootstrap: 512 * MIB, packages: 1024 * MIB };
const OTHERS = 256 * MIB;
/** What a step that is known may leave beyond what it left the last time. */
const MARGIN = 64 * MIB;
const GROWTH = 1.25;
/** Memory that the programs of a step may take. */
const PROGRAMS = 256 * MIB;

/**
 * Why a step should not leave its files in memory; undefined: there is room. `known`: the bytes that
 * it left the last time. The disk takes over only where it can.
 */
export async function shortage(step: string, known: number | undefined): Promise<string | undefined> {
  const need = known === undefined ? (guesses[step] ?? OTHERS) : known * GROWTH + MARGIN;
  const { bavail, bsize } = await statfs(paths.work);
  const room = Math.min(bavail * bsize, Math.max(0, (await availableMemory()) - PROGRAMS));
  if (room >= need || !(await canBeUpper(paths.staging))) return undefined;
  return `it may need ${formatSize(Math.ceil(need))}, and ${formatSize(Math.floor(room))} of memory are left`;
}
