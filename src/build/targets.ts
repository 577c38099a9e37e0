import { stat } from 'node:fs/promises';
import pLimit from 'p-limit';
import { BuilderError } from '../errors.ts';
import type { Artifact } from '../events.ts';
import { sandboxed } from '../sandbox/namespaces.ts';
import { sha256File, syncPath } from '../system/files.ts';
import { findTarget } from '../targets/all.ts';
import type { Target, TargetInput } from '../targets/target.ts';
import { type BuildContext, paths } from './context.ts';
import { explained } from './failures.ts';
import type { Stage } from './stage-two.ts';

/** Targets that are hashed at the same time. */
const HASHES_AT_ONCE = 2;

/** Writes every target of the plan to the staging folder, checks and hashes it. */
export async function writeTargets(stage: Stage, ctx: BuildContext): Promise<Artifact[]> {
  const { config } = stage.plan;
  const size = await treeSize(ctx);
  const input: TargetInput = {
    sourceDateEpoch: stage.sourceDateEpoch,
    output: paths.staging,
    ...size,
    freeSpace: config.freeSpace,
    identity: `${config.name} ${config.release} ${config.arch} ${stage.sourceDateEpoch}`,
  };
  for (const name of config.targets) {
    await ctx.steps.run(`target/${name}`, () => explained(paths.staging, () => write(findTarget(name), input, ctx)));
  }
  const limit = pLimit(HASHES_AT_ONCE);
  const artifacts = await Promise.all(config.targets.map((name) => limit(() => describe(findTarget(name)))));
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

async function describe(target: Target): Promise<Artifact> {
  const file = `${paths.staging}/${target.file}`;
  return { target: target.name, file: target.file, size: (await stat(file)).size, sha256: await sha256File(file) };
}

async function treeSize(ctx: BuildContext): Promise<{ treeSize: number; treeEntries: number }> {
  const measure = async (flag: string): Promise<number> => {
    const text = await ctx.runner.capture({ label: 'du', file: 'du', args: ['--summarize', '--one-file-system', flag, paths.root] });
    const value = Number(text.split('\t')[0]);
    if (!Number.isFinite(value)) throw new BuilderError('du has given no number');
    return value;
  };
  return { treeSize: await measure('--block-size=1'), treeEntries: await measure('--inodes') };
}
