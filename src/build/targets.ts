import { mkdir, stat } from 'node:fs/promises';
import pLimit from 'p-limit';
import type { Evaluation } from '../config/evaluate.ts';
import type { Artifact } from '../events.ts';
import { sandboxed } from '../sandbox/namespaces.ts';
import { sha256File, sha256WhileWritten, syncPath } from '../system/files.ts';
import { together } from '../system/together.ts';
import { findTarget } from '../targets/all.ts';
import type { Target, TargetInput } from '../targets/target.ts';
import { runBinaryHooks } from './binary-hooks.ts';
import { type BuildContext, paths } from './context.ts';
import { explained } from './failures.ts';
import type { Stage } from './stage.ts';

/** Bytes of a block of a file system, as targets count them. */
const BLOCK = 4096;
/** Targets that are hashed at the same time. */
const HASHES_AT_ONCE = 2;

/** Writes every target of the plan, runs the binary hooks, and hashes what is kept of it in the staging folder. */
export async function writeTargets(stage: Stage, evaluation: Evaluation, ctx: BuildContext): Promise<Artifact[]> {
  const { config, customisation, binaryHooks } = stage.plan;
  const names = customisation.targets;
  const hasHooks = binaryHooks.length > 0;
  // Hooks see nothing of the staging folder but results.
  const output = hasHooks ? `${paths.staging}/output` : paths.staging;
  if (hasHooks) await mkdir(output);
  const size = names.some((name) => findTarget(name).needsSize) ? await treeSize(ctx) : { treeSize: 0, treeEntries: 0 };
  const input: TargetInput = {
    sourceDateEpoch: stage.sourceDateEpoch,
    output,
    ...size,
    freeSpace: config.freeSpace,
    identity: `${config.name} ${config.release} ${config.arch} ${stage.sourceDateEpoch}`,
  };
  const digests = new Map<string, string>();
  for (const name of names) {
    const target = findTarget(name);
    const file = `${input.output}/${target.file}`;
    await ctx.steps.run(`target/${name}`, async () => {
      const writing = explained(paths.staging, () => write(target, input, ctx));
      // A hook may change it yet.
      const digest = target.growsAtEnd && !hasHooks ? sha256WhileWritten(file, writing) : undefined;
      // Without the file its digest fails, too; the writer says why.
      const [, hashed] = await together([writing, digest]);
      if (hashed !== undefined) digests.set(name, hashed);
    });
  }
  const limit = pLimit(HASHES_AT_ONCE);
  const made = names.map((name) => ({ target: name, file: findTarget(name).file }));
  const kept = await runBinaryHooks(made, output, stage, evaluation, ctx);
  const artifacts = await Promise.all(kept.map((one) => limit(() => describe(one, digests.get(one.target)))));
  for (const artifact of artifacts) ctx.report({ kind: 'artifact', artifact });
  return artifacts;
}

async function write(target: Target, input: TargetInput, ctx: BuildContext): Promise<void> {
  for (const command of target.commands(input)) {
    await ctx.runner.run(
      sandboxed({
        label: command.label,
        script: 'writer.sh',
        args: [command.file, ...command.args],
        network: false,
        ...(command.env === undefined ? {} : { env: command.env }),
      }),
    );
  }
  await syncPath(`${input.output}/${target.file}`);
}

async function describe({ target, file: name }: Pick<Artifact, 'target' | 'file'>, digest: string | undefined): Promise<Artifact> {
  const file = `${paths.staging}/${name}`;
  return { target, file: name, size: (await stat(file)).size, sha256: digest ?? (await sha256File(file)) };
}

/** Content in whole blocks, and the number of entries: the same on every file system, which du's blocks are not. */
async function treeSize(ctx: BuildContext): Promise<{ treeSize: number; treeEntries: number }> {
  const args = [paths.root, '-xdev', '-printf', '%y %s %n %D:%i\\n'];
  const seen = new Set<string>();
  const size = { treeSize: 0, treeEntries: 0 };
  for (const line of (await ctx.runner.capture({ label: 'find', file: 'find', args })).split('\n')) {
    const [kind = '', bytes = '', links = '', inode = ''] = line.split(' ');
    if (kind === '' || (kind !== 'd' && links !== '1' && seen.has(inode))) continue;
    seen.add(inode);
    size.treeEntries += 1;
    if (kind === 'f') size.treeSize += Math.ceil(Number(bytes) / BLOCK) * BLOCK;
  }
  return size;
}
