import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { statOrUndefined, writeWhole } from '../system/files.ts';
import { targets } from '../targets/all.ts';

/** Names that results can have in the output folder, the log left out. */
export const resultNames: string[] = [...targets.map(({ file }) => file), 'SHA256SUMS', 'manifest.json', 'rootfs'];

/** What lies under the names of results: name, size, inode and times of each; a line each. */
export async function describeResults(output: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of resultNames) {
    const stat = await statOrUndefined(path.join(output, name));
    if (stat !== undefined) lines.push(`${name} ${stat.size} ${stat.ino} ${stat.mtimeMs} ${stat.ctimeMs}`);
  }
  return lines;
}

/** Remembers for the next build what these results were made of. */
export async function rememberResults(cache: string, output: string, key: string): Promise<void> {
  if (key === '') return;
  const folder = path.join(cache, 'layers', 'results');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const name = nameOf(output);
  await writeWhole(path.join(folder, name), JSON.stringify({ key, results: await describeResults(output) }), 0o600);
}

/** The name of what is remembered of an output folder. */
export function nameOf(output: string): string {
  return createHash('sha256').update(output).digest('hex');
}

/** Names in the project folder that the results have, or the folder that holds them; those of an earlier build in the project folder itself, too. */
export async function namesOfOutput(project: string, output: string): Promise<string[]> {
  const below = path.relative(project, output);
  if (below === '') return resultNames;
  const earlier = project !== '' && (await statOrUndefined(path.join(project, 'realmfs-build.log'))) !== undefined ? resultNames : [];
  return below.startsWith('..') ? earlier : [...earlier, below.split(path.sep)[0] ?? ''];
}
