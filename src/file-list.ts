import { closeSync, openSync, writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { treeLines } from './records/list-tree.ts';

/** Characters that are written at once. */
const AT_ONCE = 256 * 1024;

/** A thread of the builder: writes the list of a tree to a file, in pieces. `unlisted`: inodes of files whose content is not hashed. */
const { root, file, unlisted }: { readonly root: string; readonly file: string; readonly unlisted: readonly string[] } = workerData;
const descriptor = openSync(file, 'wx');
let text = '';
for (const line of treeLines(root, new Set(unlisted))) {
  text += line;
  if (text.length < AT_ONCE) continue;
  writeFileSync(descriptor, text);
  text = '';
}
writeFileSync(descriptor, text);
closeSync(descriptor);
