import { writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { listTree } from './records/list-tree.ts';

/** A thread of the builder: writes the list of a tree to a file. Its data: `{ root, file }`. */
const { root, file }: { readonly root: string; readonly file: string } = workerData;
writeFileSync(file, listTree(root), { flag: 'wx' });
