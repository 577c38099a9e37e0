import path from 'node:path';
import { z } from 'zod';
import { makeFolders, readForeign, writeWhole } from '../system/files.ts';
import { keyOf } from './layers.ts';
import { readSealed, seal } from './sealed.ts';

const lastSchema = z.object({
  /** What the step's key is made of. */
  inputs: z.record(z.string(), z.string()),
  /** What it has left, in bytes. */
  size: z.number(),
});

/** What the last build of a configuration has used for a step, and made of it. */
export type LastBuild = z.infer<typeof lastSchema>;

/** Remembers it for the next one: to say why it misses, and what room it needs. */
export async function rememberBuild(folder: string, project: string, step: string, build: LastBuild): Promise<void> {
  const file = fileOf(folder, project, step);
  const text = seal(build);
  // Most often nothing has changed, and to bring a file to the disk takes longer than to read it.
  if ((await readForeign(file))?.toString('utf8') === text) return;
  await makeFolders(path.dirname(file), 0o700);
  await writeWhole(file, text, 0o600);
}

/** What was remembered; undefined: nothing. */
export async function lastBuild(folder: string, project: string, step: string): Promise<LastBuild | undefined> {
  return readSealed(fileOf(folder, project, step), lastSchema);
}

function fileOf(folder: string, project: string, step: string): string {
  return path.join(folder, 'last', keyOf({ project, step }));
}
