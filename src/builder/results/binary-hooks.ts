import { chmod, copyFile, lstat, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { projectEntries } from '../../config/entries.ts';
import type { Evaluation } from '../../config/evaluate.ts';
import { binaryVariables } from '../../config/settings.ts';
import { BuilderError, CommandError } from '../../errors.ts';
import type { Artifact } from '../../messages/events.ts';
import { SIGNATURE } from '../../records/names.ts';
import { SANDBOX } from '../../resources.ts';
import { sandboxed } from '../../sandbox/namespaces.ts';
import { makeFolders, statOrUndefined, syncPath } from '../../system/files.ts';
import { commandLine } from '../../system/runner.ts';
import { rootDir } from '../../targets/root-dir.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { explain } from '../model/failures.ts';
import { linkFree } from '../project/project-file.ts';
import { exitText } from '../steps/step-failure.ts';
import type { BuildFacts } from '../steps/step-settings.ts';

/** A file in the output folder, and what has made it. */
type Result = Pick<Artifact, 'target' | 'file'>;

/** Names in the output folder that are the builder's own. */
const OWN = [
  'SHA256SUMS',
  SIGNATURE,
  'manifest.json',
  'realmfs-build.log',
  'debootstrap.log',
  'rootfs',
  'request.json',
  'output',
  'build',
  'parts',
];

/** The environment of binary hooks, beside PATH and their like: what livecd-rootfs gives them, and ours. */
export function hookVariables(stage: BuildFacts, evaluation: Evaluation): Record<string, string> {
  const { config } = stage.plan;
  const said = (key: string): string => evaluation.variables.get(key)?.values.join(' ') ?? '';
  return {
    ...Object.fromEntries(binaryVariables.map((key) => [key, said(key)])),
    PROJECT: said('PROJECT') || config.name,
    ARCH: config.arch,
    IMAGE_TARGETS: config.targets.join(' '),
    SOURCE_DATE_EPOCH: String(stage.sourceDateEpoch),
    DEBIAN_RELEASE: config.release,
    REALMFS_NAME: config.name,
    REALMFS_HOSTNAME: config.hostname,
    REALMFS_PROFILE: config.profile,
    REALMFS_PROJECT: `${SANDBOX}/project`,
    REALMFS_ROOTFS: `${SANDBOX}/root`,
    REALMFS_OUTPUT: `${SANDBOX}/output`,
  };
}

/**
 * Runs the binary hooks one after the other in the folder of the results, and keeps what the sets provide. `made` are the
 * results of targets. Returns what is kept, all of it in the staging folder.
 */
export async function runBinaryHooks(
  made: readonly Result[],
  output: string,
  stage: BuildFacts,
  evaluation: Evaluation,
  ctx: BuildContext,
): Promise<Result[]> {
  const { binaryHooks, customisation } = stage.plan;
  const makers = new Map(made.map(({ target, file }) => [file, target]));
  for (const { step, hook } of binaryHooks)
    await ctx.steps.run(step, async () => {
      await runHook(hook.file, { ...hookVariables(stage, evaluation), REALMFS_HOOK: hook.file }, ctx);
      for (const name of (await readdir(output)).sort()) if (!makers.has(name)) makers.set(name, step);
    });
  const results: Result[] = [];
  for (const [file, target] of makers) {
    const isWanted = customisation.provides?.includes(file) ?? true;
    const stat = await statOrUndefined(path.join(output, file));
    // A hook has removed it.
    if (stat === undefined && !isUnfit(file)) continue;
    if (!isWanted) ctx.steps.note(`${file} is not kept: no set that was asked for provides it`);
    else if (isUnfit(file)) throw new BuilderError(`${target} makes a file of an unfit name: ${JSON.stringify(file)}`, { step: target });
    else if (OWN.includes(file) || projectEntries.includes(file) || file === ctx.request.configName)
      throw new BuilderError(`${target} makes ${file}, which is a name of the builder's own`, { step: target });
    else if (file.startsWith('.') || stat?.isFile() !== true)
      ctx.steps.warn(`${target}: ${file} is not kept: it is ${stat?.isFile() ? 'hidden' : 'no regular file'}`);
    else results.push({ target, file });
  }
  checkProvided(results, customisation.provides, ctx);
  if (results.length === 0 && !stage.plan.targets.includes(rootDir.name))
    throw new BuilderError('nothing was made: neither a target nor a hook has left a file', { step: ctx.steps.current });
  if (output !== paths.staging)
    for (const { file } of results) {
      const made = path.join(output, file);
      await chmod(made, (await lstat(made)).mode & 0o777);
      await syncPath(made);
      await rename(path.join(output, file), path.join(paths.staging, file));
    }
  return results;
}

function checkProvided(results: readonly Result[], provides: readonly string[] | undefined, ctx: BuildContext): void {
  if (provides === undefined) return;
  const missing = provides.filter((name) => !results.some(({ file }) => file === name));
  if (missing.length > 0 && missing.length === provides.length)
    throw new BuilderError(`nothing of what the sets provide was made: ${missing.join(', ')}`, { step: ctx.steps.current });
  if (missing.length > 0) ctx.steps.warn(`provided by a set, but made by no hook: ${missing.join(', ')}`);
}

/** Whether a name cannot stand in SHA256SUMS, or is not the name that the file has. */
function isUnfit(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u001f\u007f\\\ufffd]/.test(name);
}

async function runHook(file: string, env: Readonly<Record<string, string>>, ctx: BuildContext): Promise<void> {
  const folder = `${SANDBOX}/hook`;
  const copy = path.join(folder, path.basename(file));
  await makeFolders(folder, 0o755);
  await copyFile(await linkFree(path.join(paths.project, file)), copy);
  await chmod(copy, 0o755);
  const command = sandboxed({ label: `hook ${file}`, script: 'hook.sh', args: [copy], network: 'none', env });
  const result = await ctx.runner.attempt(command);
  if (result.exitCode === 0) return;
  const cause = `${file}: ${exitText(result.exitCode ?? 1)}`;
  throw await explain(new CommandError(cause, { ...result, line: commandLine(command) }, ctx.steps.current), paths.staging);
}
