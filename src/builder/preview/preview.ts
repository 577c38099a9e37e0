import { fileNames } from '../../config/evaluate.ts';
import { copyProgram } from '../../config/project.ts';
import { PreflightError } from '../../errors.ts';
import { hostRepositories } from '../../host/mirrors.ts';
import type { Planned } from '../../messages/plan.ts';
import { hasCode } from '../../system/files.ts';
import { readInside } from '../../system/inside.ts';
import { findMirrors } from '../archive/mirrors.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { checkNoCacheSteps, needsProgram, planBuild } from '../model/plan.ts';
import { readConfig } from '../project/read-project.ts';
import { planLayers } from './cached-steps.ts';
import { describePlan } from './describe.ts';

/** Reads the configuration as a build does, and says what a build would do. */
export async function planOnly(ctx: BuildContext): Promise<Planned> {
  const { config, customisation, evaluation } = await ctx.steps.run('config', () => readable(() => readConfig(ctx, { bindData: true })));
  const hosts = await hostRepositories(ctx.runner);
  const { configName } = ctx.request;
  const plan = planBuild(config, customisation);
  checkNoCacheSteps(evaluation, plan);
  const mirrors = await findMirrors(config, hosts, ctx);
  if (needsProgram(plan)) await copyProgram(paths.program, `${paths.library}/program`);
  return describePlan({
    request: ctx.request,
    evaluation,
    plan,
    mirrors,
    hosts,
    states: await planLayers(plan, mirrors, evaluation, ctx),
    text: configName === null ? '' : ((await readInside(paths.project, configName))?.toString('utf8') ?? ''),
    modules: {
      project: await fileNames(paths.project, 'realmfs-modules'),
      builtIn: await fileNames(paths.library, 'modules'),
    },
  });
}

/** A build is root and reads everything; who plans without root may lack the right. */
async function readable<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const denied = error instanceof PreflightError && error.message.endsWith(': Permission denied');
    if (!denied && !hasCode(error, 'EACCES')) throw error;
    const said = (error instanceof Error ? error.message : '').replaceAll(`${paths.source}/`, '');
    const message = denied ? said : `the project cannot be read whole: ${said}`;
    throw new PreflightError(message, { step: 'config', hint: 'a build is root: run it with sudo' });
  }
}
