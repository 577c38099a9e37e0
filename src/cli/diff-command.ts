import { PreflightError } from '../errors.ts';
import { type Diff, diffOf, diffReport, sameBytes } from '../inspect/diff.ts';
import { loadSide, type Side } from '../inspect/diff-side.ts';
import { diffText } from './diff-text.ts';
import { placeOf, unknownFolder } from './inspect-command.ts';
import type { DiffOptions } from './options/types.ts';
import { type ReadSurroundings, readInSandbox } from './read-sandbox.ts';
import { jsonLine } from './text.ts';

/** What `diff` prints, and its exit code. */
export async function diffCommand(options: DiffOptions, around: ReadSurroundings): Promise<{ text: string; exitCode: number }> {
  const places = [await placeOf(options.a, around.cwd), await placeOf(options.b, around.cwd)];
  const sides: Side[] = [];
  // One after the other: both may take all the memory.
  for (const { file, size } of places) {
    const name = size === undefined ? '' : 'image';
    const read = (image: string) => readInSandbox(image, { name: image === file ? name : 'image', wantsFiles: true }, around);
    const side = await rootHint(around.sudo, () => loadSide(file, size, around.isRoot, read));
    if (side === undefined) throw unknownFolder(file);
    sides.push(side);
  }
  const [a, b] = sides;
  if (a === undefined || b === undefined) throw new Error('two sides were read');
  const diff: Diff = diffOf(a, b, await sameBytes(a, b));
  const text = options.json
    ? jsonLine(diffReport(diff))
    : diffText({ ...diff, a: { ...a, path: options.a }, b: { ...b, path: options.b } }, options.all);
  return { text, exitCode: options.exitCode && !diff.same ? 1 : 0 };
}

/** A failure for want of root says how to have it. */
async function rootHint<T>(sudo: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof PreflightError) || error.hint !== undefined) throw error;
    throw new PreflightError(error.message, { hint: `run: ${sudo}`, details: error.details });
  }
}
