import { constants } from 'node:fs';
import { open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { BuilderError, UsageError } from '../errors.ts';
import { readManifest } from '../inspect/build-beside.ts';
import { inspectBuild, inspectImage, inspectTree } from '../inspect/inspect.ts';
import type { InspectReport } from '../inspect/inspect-report.ts';
import { isTree } from '../inspect/root-folder.ts';
import { inspectText } from './inspect-text.ts';
import type { InspectOptions } from './options/types.ts';
import { type ReadSurroundings, readInSandbox } from './read-sandbox.ts';
import { jsonLine } from './text.ts';

/** What `inspect` prints. */
export async function inspectCommand(options: InspectOptions, around: ReadSurroundings): Promise<string> {
  const place = await placeOf(options.file, around.cwd);
  const report = await inspect(place, around);
  return options.json ? jsonLine(report) : inspectText({ ...report, path: options.file }, options.packages);
}

async function inspect({ file, size }: Place, around: ReadSurroundings): Promise<InspectReport> {
  if (size !== undefined) return inspectImage(file, size, await readInSandbox(file, { name: 'image', wantsFiles: false }, around));
  // The root of a system may hold a file of this name; a build holds no etc.
  if (await isTree(file)) return inspectTree(file, around.stopper.signal);
  const manifest = await readManifest(file, true);
  if (manifest === undefined) throw unknownFolder(file);
  return inspectBuild(file, manifest);
}

/** What a name on the command line stands for. */
export interface Place {
  /** As a real path. */
  readonly file: string;
  /** Bytes of a file; undefined: it is a folder. */
  readonly size: number | undefined;
}

/** @throws UsageError if it is neither a file nor a folder, or cannot be read. */
export async function placeOf(name: string, cwd: string): Promise<Place> {
  try {
    const file = await realpath(path.resolve(cwd, name));
    const found = await stat(file);
    if (!found.isFile() && !found.isDirectory()) throw new UsageError(`${name}: is neither a file nor a folder`);
    // Whether it may be read at all.
    await (await open(file, constants.O_RDONLY | constants.O_NONBLOCK)).close();
    return { file, size: found.isFile() ? found.size : undefined };
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw new UsageError(`${name}: ${error.message.replace(/, .*$/, '')}`);
    throw error;
  }
}

/** What to say of a folder that is nothing that is known. */
export function unknownFolder(folder: string): BuilderError {
  return new BuilderError(`${folder}: is neither the output folder of a build (it has no manifest.json) nor the root folder of a system`);
}
