import { createHash } from 'node:crypto';
import path from 'node:path';
import { BuilderError } from '../errors.ts';
import { diskCode } from '../system/disk-faults.ts';
import { isMissing, readForeign, statOrUndefined, writeWhole } from '../system/files.ts';
import type { Layer } from './layers.ts';
import { attributesOf, look, marksOf, type TreeTools } from './look-at-tree.ts';

/** A layer, and in what it is not what was kept. */
export interface LayerFault {
  readonly layer: Layer;
  readonly why: string;
}

/** Bytes of the longest record of a tree: some million entries. */
const LONGEST_RECORD = 1024 ** 3;

/** How layers are looked at. */
export interface CheckOptions {
  /** True: every file is read, whatever its mark says. */
  readonly isThorough?: boolean;
  /** Told of a tree that has to be read whole, since something has touched it. */
  readonly onTouched?: (layer: Layer) => void;
}

/**
 * The layers that are not what was kept. A tree whose mark (see marksOf) is the one that was written beside it is believed;
 * another one is read whole, and gets a new mark if it is right: it may have been copied.
 */
export async function faultsOf(layers: readonly Layer[], options: CheckOptions, tools: TreeTools): Promise<LayerFault[]> {
  const faults: LayerFault[] = [];
  const left: Layer[] = [];
  for (const layer of layers) {
    const why = await outerFault(layer);
    if (why === undefined) left.push(layer);
    else faults.push({ layer, why });
  }
  const marks = await marksOf(left.map(treeOf), tools);
  for (const [at, layer] of left.entries()) {
    const mark = marks[at];
    const isMarked = mark !== undefined && (await readForeign(markOf(layer.folder), 64))?.toString('latin1') === mark;
    if (isMarked && options.isThorough !== true) continue;
    if (!isMarked) options.onTouched?.(layer);
    const why = await treeFault(layer, tools);
    if (why !== undefined) faults.push({ layer, why });
    else if (!isMarked && mark !== undefined) await writeMark(layer.folder, mark);
  }
  return faults;
}

/** Writes the mark of a tree that was just made. */
export async function keepMark(folder: string, tools: TreeTools): Promise<void> {
  const [mark] = await marksOf([path.join(folder, 'tree')], tools);
  if (mark !== undefined) await writeMark(folder, mark);
}

/** Without it the tree is read once more: a full disk is no fault here. */
async function writeMark(folder: string, mark: string): Promise<void> {
  try {
    await writeWhole(markOf(folder), mark, 0o600);
  } catch (error) {
    if (diskCode(error) === undefined) throw error;
  }
}

/** The record of a layer's tree; undefined if it is not the one that its meta.json speaks of. */
export async function recordOf({ folder, meta }: Layer): Promise<string | undefined> {
  const bytes = await readForeign(path.join(folder, 'files'), LONGEST_RECORD);
  return digestOfBytes(bytes) === meta.tree.sha256 ? bytes?.toString('latin1') : undefined;
}

function treeOf({ folder }: Layer): string {
  return path.join(folder, 'tree');
}

function markOf(folder: string): string {
  return path.join(folder, 'mark');
}

/** What is wrong with the shell's state of a layer; undefined: nothing. */
export async function stateFault({ folder, meta }: Layer): Promise<string | undefined> {
  const state = path.join(folder, 'state.sh');
  if ((await isMissing(state)) !== (meta.state === '')) return `state.sh is ${meta.state === '' ? 'new' : 'gone'}`;
  return meta.state === '' || digestOfBytes(await readForeign(state)) === meta.state ? undefined : 'state.sh has other content';
}

/** What is wrong with all but the content of the tree. */
async function outerFault(layer: Layer): Promise<string | undefined> {
  const state = await stateFault(layer);
  if (state !== undefined) return state;
  if ((await statOrUndefined(markOf(layer.folder)))?.isDirectory() === true) return 'mark is a folder';
  return (await statOrUndefined(treeOf(layer)))?.isDirectory() === true ? undefined : 'tree is gone';
}

function digestOfBytes(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined ? undefined : createHash('sha256').update(bytes).digest('hex');
}

async function treeFault(layer: Layer, tools: TreeTools): Promise<string | undefined> {
  const known = await recordOf(layer);
  if (known === undefined) return 'its record of files is damaged';
  try {
    const [attributes] = await attributesOf([treeOf(layer)], tools);
    if (attributes === undefined) return 'tree cannot be read';
    const answer = await look({ tree: treeOf(layer), attributes: attributes.of, known }, attributes, 'normal', tools);
    return 'fault' in answer ? answer.fault : undefined;
  } catch (error) {
    if (tools.runner.isStopped() || !(error instanceof BuilderError || (error instanceof Error && 'code' in error))) throw error;
    return `tree cannot be read: ${error.message}`;
  }
}
