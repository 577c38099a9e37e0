import { mkdir, writeFile } from 'node:fs/promises';
import { BuilderError, CommandError } from '../../errors.ts';
import { sandboxed } from '../../sandbox/namespaces.ts';
import { removeFile } from '../../system/files.ts';
import type { Runner } from '../../system/runner.ts';
import type { Target, TargetCommand, TargetTools } from '../../targets/target.ts';
import type { Survey } from '../finish/survey.ts';
import { type BuildContext, paths } from '../model/context.ts';

/** Characters of a name that are shown. */
const SHOWN = 40;

/** What a target writer works with, in a tree. */
export function toolsIn(folder: string, runner: Runner): TargetTools {
  const command = ({ label, file: program, args, env, isFirst = false }: TargetCommand) =>
    sandboxed({
      label,
      script: 'writer.sh',
      args: [program, ...args],
      network: 'none',
      env: { ...env, RB_TREE: folder, ...(isFirst ? { RB_FIRST: 'yes' } : {}) },
    });
  return {
    run: async (one) => void (await runner.run(command(one))),
    capture: (one) => runner.capture(command(one)),
    copyTree: async (to) =>
      void (await runner.run({ label: 'cp', file: 'cp', args: ['--archive', '--no-target-directory', '--', folder, to] })),
    isStopped: () => runner.isStopped(),
  };
}

/**
 * Looks whether the programs of targets can hold the tree, before the first of them begins: what they cannot would throw the others away.
 * @throws BuilderError that names the target and the file.
 */
export async function checkLimits(targets: readonly Target[], { longName }: Survey, ctx: BuildContext): Promise<void> {
  const asked = targets.filter(({ mayLackLongNames }) => mayLackLongNames === true);
  if (longName === undefined || asked.length === 0) return;
  // Which version of a program can do it is known to nobody but the program.
  const folder = `${paths.work}/long-name`;
  await mkdir(folder);
  await writeFile(`${folder}/${'n'.repeat(255)}`, '');
  for (const target of asked) {
    const file = `${paths.staging}/long-name.${target.name}`;
    const input = {
      treeSize: 4096,
      treeEntries: 2,
      sparse: [],
      freeSpace: 0,
      sourceDateEpoch: 0,
      identity: '',
      name: 'x',
      channel: 'x',
      file,
    };
    try {
      await target.write(input, toolsIn(folder, ctx.runner));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      ctx.steps.current = `target/${target.name}`;
      const shown = Buffer.from(longName, 'latin1').toString('utf8');
      const start = shown.slice(0, shown.lastIndexOf('/') + 1 + SHOWN);
      throw new BuilderError(`${Object.keys(target.tools ?? {}).join()} of this machine takes no name of 255 bytes: ${start}...`, {
        step: `target/${target.name}`,
        details: error.details,
        hint: `give the file a shorter name, leave ${target.name} out, or take a newer version of the program`,
        cause: error,
      });
    } finally {
      await removeFile(file);
    }
  }
}
