import { readdir } from 'node:fs/promises';
import type { Evaluation } from '../../config/evaluate.ts';
import type { FinishedTree } from '../finish/finalize.ts';
import { type BuildContext, paths } from '../model/context.ts';
import type { StepTexts } from '../project/step-texts.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { listFiles, writeRecords } from './records.ts';
import { writeTargets } from './targets.ts';

/** What results are made of. */
interface Origin {
  readonly stage: BuildFacts;
  readonly evaluation: Evaluation;
  readonly sources: StepTexts;
  readonly tree: FinishedTree;
  /** SHA-256 of the Release files that the layers were made from. */
  readonly releases: Readonly<Record<string, string>>;
}

/** Writes targets and records to the staging folder. Returns their names, and whether they could be made again. */
export async function makeResults(
  { stage, evaluation, sources, tree: { lists, survey }, releases }: Origin,
  ctx: BuildContext,
): Promise<{ readonly files: string[]; readonly isRepeatable: boolean }> {
  const listing = listFiles(survey);
  const { artifacts, isRepeatable } = await writeTargets(stage, evaluation, survey, ctx).catch(async (error: unknown) => {
    await listing.stop();
    throw error;
  });
  const files = await ctx.steps.run('manifest', () => writeRecords(stage, { artifacts, releases, lists, listing }, sources, ctx));
  await checkThere(files);
  return { files, isRepeatable };
}

async function checkThere(files: readonly string[]): Promise<void> {
  const there = new Set(await readdir(paths.staging));
  const missing = files.filter((file) => !there.has(file));
  if (missing.length > 0) throw new Error(`not written: ${missing.join(', ')}`);
}
