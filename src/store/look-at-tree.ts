import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Runner } from '../system/runner.ts';
import { lookAtTree, parseAttributes, type TreeAnswer, type TreeAttributes, type TreeTask } from './tree-record.ts';

/** A tree of so many entries and bytes is looked at without a thread of its own, whose start takes longer. */
const FEW = { entries: 1000, bytes: 8 * 1024 ** 2 };
/** Memory for the newest objects of such a thread, in MiB: what an entry leaves behind is garbage at once. */
const YOUNG_MEBIBYTES = 8;

/** What looks at trees needs: a runner, and the folder of the program. */
export interface TreeTools {
  readonly runner: Runner;
  readonly program: string;
}

/** The extended attributes of trees, which Node cannot read. */
export async function attributesOf(trees: readonly string[], { runner, program }: TreeTools): Promise<TreeAttributes[]> {
  const chunks: Buffer[] = [];
  const args = [`${program}/templates/sandbox/xattrs.pl`, ...trees];
  await runner.stream({ label: 'reading attributes', file: 'perl', args }, (chunk) => chunks.push(chunk));
  return parseAttributes(Buffer.concat(chunks).toString('latin1'));
}

/** Makes the record of a tree, or compares it with one. `priority`: `low` where the build goes on meanwhile. */
export async function look(
  task: TreeTask,
  { entries, bytes }: Pick<TreeAttributes, 'entries' | 'bytes'>,
  priority: 'low' | 'normal',
  { runner, program }: TreeTools,
): Promise<TreeAnswer> {
  if (entries <= FEW.entries && bytes <= FEW.bytes) return lookAtTree(task);
  const worker = new Worker(`${program}/dist/tree-thread.js`, {
    workerData: { ...task, priority },
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES },
  });
  const stopper = setInterval(() => {
    if (runner.isStopped()) void worker.terminate();
  }, 100);
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`looking at ${task.tree} ended with exit code ${code}`)));
    });
  } finally {
    clearInterval(stopper);
  }
}

/**
 * A mark of each tree: a digest of the name, inode, mode, size and times of all its entries. No program can change a tree that
 * keeps it: the time of the last change cannot be set. A copy of the tree has another one. Undefined: the tree cannot be read.
 */
export async function marksOf(trees: readonly string[], { runner }: TreeTools): Promise<(string | undefined)[]> {
  if (trees.length === 0) return [];
  const chunks: Buffer[] = [];
  const args = [...trees, '-xdev', '-printf', '%P\\0%i %m %s %T@ %C@\\0'];
  await runner.stream({ label: 'looking at layers', file: 'find', args, okExitCodes: [1] }, (chunk) => chunks.push(chunk));
  const bytes = Buffer.concat(chunks);
  // A tree begins with its root, whose path is empty: only there two NULs stand side by side.
  const starts = bytes.length === 0 ? [] : [0];
  for (let at = bytes.indexOf('\0\0'); at >= 0; at = bytes.indexOf('\0\0', at + 2)) starts.push(at + 1);
  if (starts.length !== trees.length) return trees.map(() => undefined);
  return starts.map((start, at) =>
    createHash('sha256')
      .update(bytes.subarray(start, starts[at + 1]))
      .digest('hex'),
  );
}
