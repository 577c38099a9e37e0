import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { isRecordFile, recordNames, SIGNATURE } from '../records/names.ts';
import { knownResultsForm } from '../store/known-results.ts';
import { readSealed, writeSealed } from '../store/sealed.ts';
import { makeFolders, statOrUndefined } from '../system/files.ts';
import { type HeldFolder, isPlainName } from '../system/held-folder.ts';
import { isTargetFile, targets } from '../targets/all.ts';

/** Names that results can have in the output folder, the log and those of binary hooks left out. */
export const resultNames: string[] = [
  ...targets.map(({ file }) => file('base')),
  ...Object.values(recordNames('base')),
  'SHA256SUMS',
  'manifest.json',
];

/** The names of the results of the last build that is remembered of an output folder. */
export async function lastResults(cache: string, output: string): Promise<readonly string[]> {
  return (await readSealed(path.join(cache, 'layers', 'results', nameOf(output)), knownResultsForm))?.files ?? [];
}

/** The names that results may take the place of: those of targets, and those of earlier builds as the cache or SHA256SUMS names them. */
export async function replaceable(output: HeldFolder, last: readonly string[]): Promise<string[]> {
  const sums = (await output.read('SHA256SUMS'))?.toString('utf8') ?? '';
  return [...resultNames, ...last, ...sums.split('\n').map((line) => line.replace(/^[0-9a-f]{64} [ *]/, ''))];
}

/** What lies under the names of results, and under `others`: name, size, inode and times of each; a line each. */
export async function describeResults(output: HeldFolder, others: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  for (const name of new Set([...resultNames, ...others])) {
    const stat = isPlainName(name) ? await output.stat(name) : undefined;
    if (stat !== undefined) lines.push(`${name} ${stat.size} ${stat.ino} ${stat.mtimeMs} ${stat.ctimeMs}`);
  }
  return lines;
}

/** The names of those that are there: what a build may replace. */
export async function existingResults(output: HeldFolder, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) if (isPlainName(name) && (await output.stat(name)) !== undefined) found.push(name);
  return found;
}

/** Remembers for the next build what these results are, and what they were made of. */
export async function rememberResults(cache: string, output: HeldFolder, key: string, files: readonly string[]): Promise<void> {
  const folder = path.join(cache, 'layers', 'results');
  await makeFolders(folder, 0o700);
  const name = nameOf(output.path);
  await writeSealed(path.join(folder, name), { key, files, results: await describeResults(output, files) });
}

/** The name of what is remembered of an output folder. */
export function nameOf(output: string): string {
  return createHash('sha256').update(output).digest('hex');
}

/** Names in the project folder that the results have, or the folder that holds them; those of an earlier build in the project folder itself, too. */
export async function namesOfOutput(project: string, output: string, last: readonly string[] = []): Promise<string[]> {
  const below = path.relative(project, output);
  const isUsed = project !== '' && (await statOrUndefined(path.join(project, 'realmfs-build.log'))) !== undefined;
  const made = isUsed ? (await readdir(project)).filter((name) => isTargetFile(name) || isRecordFile(name)) : [];
  if (below === '') return [...new Set([...resultNames, SIGNATURE, ...made, ...last])];
  const earlier = isUsed ? [...resultNames, ...made] : [];
  return below.startsWith('..') ? earlier : [...earlier, below.split(path.sep)[0] ?? ''];
}
