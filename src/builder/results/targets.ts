import { mkdir, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Evaluation } from '../../config/evaluate.ts';
import type { Artifact } from '../../messages/events.ts';
import { sha256File, sha256WhileWritten, syncPath } from '../../system/files.ts';
import { together } from '../../system/together.ts';
import { findTarget } from '../../targets/all.ts';
import type { Target, TargetInput } from '../../targets/target.ts';
import type { Survey } from '../finish/survey.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { explained } from '../model/failures.ts';
import { freeMemory } from '../model/memory-budget.ts';
import type { BuildFacts } from '../steps/step-settings.ts';
import { runBinaryHooks } from './binary-hooks.ts';
import { makeOrderedTree, type OrderedTree, sizeOfCopy } from './ordered-tree.ts';
import { checkLimits, toolsIn } from './target-tools.ts';

/** Files that are hashed at the same time. */
const HASHES_AT_ONCE = 2;
/** Bytes of memory that the programs of one target may take. */
const MEMORY_OF_ONE = 512 * 1024 ** 2;

/** What the targets of a build have in common. */
interface Writing {
  readonly input: Omit<TargetInput, 'file' | 'identity'>;
  readonly output: string;
  /** For targets that take order. */
  readonly copy: Promise<OrderedTree>;
  readonly hasHooks: boolean;
  /** Aborted by the first target that fails: the others are in vain. */
  readonly failed: AbortSignal;
}

/** Writes every target of the plan, runs the binary hooks, and hashes what is kept of it in the staging folder. */
export async function writeTargets(
  stage: BuildFacts,
  evaluation: Evaluation,
  survey: Survey,
  ctx: BuildContext,
): Promise<{ readonly artifacts: Artifact[]; readonly isRepeatable: boolean }> {
  const { config, binaryHooks } = stage.plan;
  const all = stage.plan.targets.map(findTarget);
  const hasHooks = binaryHooks.length > 0;
  // Hooks see nothing of the staging folder but results.
  const output = hasHooks ? `${paths.staging}/output` : paths.staging;
  if (hasHooks) await mkdir(output);
  const { name, freeSpace, channel } = config;
  const { treeSize, treeEntries, sparse } = survey;
  const input = { sourceDateEpoch: stage.sourceDateEpoch, treeSize, treeEntries, sparse, freeSpace, name, channel };
  await checkLimits(all, survey, ctx);
  const digests = new Map<string, string>();
  const failed = new AbortController();
  const first = all.find(({ takesOrder }) => takesOrder);
  const limit = pLimit(await targetsAtOnce(ctx.request.memoryLimit, first === undefined ? 0 : sizeOfCopy(survey)));
  const copier = first === undefined ? ctx.runner : ctx.runnerOf(`target/${first.name}`, failed.signal);
  // The first in line: those that take the tree itself are written beside it. Its failure is that of a target that waits for it.
  const copy = limit(() => makeOrderedTree(first !== undefined, survey, stage.sourceDateEpoch, copier, ctx));
  copy.catch(() => {});
  const writing = { input, output, copy, hasHooks, failed: failed.signal };
  try {
    // None of them rejects: what went wrong first is the reason of the signal.
    await Promise.all(
      all.map(async (target) => {
        // One that waits for the copy takes no place from one that need not.
        if (target.takesOrder) await copy.catch(() => {});
        await limit(async () => {
          if (failed.signal.aborted) return;
          try {
            const digest = await writeTarget(target, writing, ctx);
            if (digest !== undefined) digests.set(target.name, digest);
          } catch (error) {
            // Others run beside it: which one it was is known here alone.
            if (!failed.signal.aborted) ctx.steps.current = `target/${target.name}`;
            failed.abort(error);
          }
        });
      }),
    );
    failed.signal.throwIfAborted();
  } catch (error) {
    // What went wrong first is told.
    await copy.then((tree) => tree.remove()).catch(() => {});
    throw error;
  }
  const tree = await copy;
  await tree.remove();
  const made = all.filter(({ isFolder }) => !isFolder).map((target) => ({ target: target.name, file: target.file(name) }));
  const kept = await runBinaryHooks(made, output, stage, evaluation, ctx);
  const hashing = pLimit(HASHES_AT_ONCE);
  const artifacts = await Promise.all(kept.map((one) => hashing(() => describe(one, digests.get(one.target)))));
  for (const artifact of artifacts) ctx.report({ kind: 'artifact', artifact });
  return { artifacts, isRepeatable: tree.isOrdered };
}

/** As many as there are processors, and memory for their programs beside `taken` bytes. */
async function targetsAtOnce(memoryLimit: number, taken: number): Promise<number> {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(((await freeMemory(memoryLimit)) - taken) / MEMORY_OF_ONE)));
}

/** Writes one target as a step of its own; its digest, if nothing changes it any more. */
async function writeTarget(
  target: Target,
  { input, output, copy, hasHooks, failed }: Writing,
  ctx: BuildContext,
): Promise<string | undefined> {
  const step = `target/${target.name}`;
  // A folder is no result that hooks could change.
  const file = `${target.isFolder ? paths.staging : output}/${target.file(input.name)}`;
  const runner = ctx.runnerOf(step, failed);
  const { folder, digest: identity } = target.takesOrder ? await copy : { folder: paths.root, digest: '' };
  const tools = toolsIn(folder, runner);
  return ctx.steps.run(step, async () => {
    if (target.loses !== undefined) ctx.steps.note(`${target.name} holds no ${target.loses}`);
    const writing = explained(paths.staging, async () => {
      await target.write({ ...input, identity, file }, tools);
      await syncPath(file);
    });
    const hashing = (): Promise<string> => (target.growsAtEnd ? sha256WhileWritten(file, writing) : writing.then(() => sha256File(file)));
    // A folder has none, and a hook may change it yet. Without the file its digest fails, too; the writer says why.
    const [, digest] = await together([writing, hasHooks || target.isFolder ? undefined : hashing()]);
    return digest;
  });
}

async function describe({ target, file: name }: Pick<Artifact, 'target' | 'file'>, digest: string | undefined): Promise<Artifact> {
  const file = `${paths.staging}/${name}`;
  return { target, file: name, size: (await stat(file)).size, sha256: digest ?? (await sha256File(file)) };
}
