import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { lookAtTree, type TreeTask } from './store/tree-record.ts';

/** The lowest priority: Linux has one for each thread, and 0 is the thread that asks. */
const LOWEST = 19;

/** A thread of the builder, or of `cache verify`: makes the record of a layer's tree, or compares the tree with it. Its data: a TreeTask. */
const { priority, ...task }: TreeTask & { readonly priority: 'low' | 'normal' } = workerData;
if (priority === 'low') setPriority(0, LOWEST);
parentPort?.postMessage(lookAtTree(task));
