import path from 'node:path';
import { BuilderError, type Failure, InterruptedError } from '../errors.ts';
import type { BuildEvent } from '../messages/events.ts';
import { type PlanReport, plannedSchema, planReport } from '../messages/plan.ts';
import type { BuildRequest } from '../messages/request.ts';
import { type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { statOrUndefined } from '../system/files.ts';
import { namesOfOutput } from './known-results.ts';
import { checkedSetting, makeRequest } from './make-request.ts';
import type { PlanOptions } from './options/types.ts';
import { findOutput, refuseRoot } from './output-folder.ts';
import { findPlace } from './place.ts';
import { planText } from './plan-text.ts';
import { checkTools } from './preflight.ts';
import type { Reporter } from './reporters/reporter.ts';
import { ReportedError, refusedSandbox } from './run-build.ts';
import type { Stopper } from './stopper.ts';
import { jsonLine } from './text.ts';

/** Programs that a plan needs; debootstrap for the suites that it knows. */
const TOOLS = ['debootstrap', 'unshare', 'setpriv', 'pivot_root', 'mount', 'ip', 'apt-get', 'dpkg'];

/** What the command needs from its surroundings. */
export interface PlanSurroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whose realmfs.env is believed, beside root's: the user behind sudo, or the caller. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly isRoot: boolean;
  /** The command line that runs the same as root. */
  readonly sudo: string;
  readonly reporter: Reporter;
  readonly stopper: Stopper;
}

/** The text that `plan` prints. Nothing is made on the host. */
export async function planCommand(options: PlanOptions, around: PlanSurroundings): Promise<string> {
  const place = await findPlace(options.config, around.cwd);
  const request = await makeRequest({ ...options, proxy: undefined }, place, around);
  await checkTools(TOOLS);
  const output = await findOutput(options.directory, around.cwd);
  refuseRoot(output);
  const outputNames = await namesOfOutput(place.project, output);
  const { planned, warnings } = await runPlan({ ...request, outputNames }, place.project, around);
  const report: PlanReport = planReport(plannedSchema.parse(planned), {
    config: place.configName === null ? null : path.join(place.project, place.configName),
    output,
    warnings,
  });
  return options.json ? jsonLine(report) : planText(report, process.getuid?.() === 0);
}

interface Outcome {
  ready: boolean;
  step: string;
  failure?: Failure;
  planned?: object;
  readonly warnings: string[];
}

async function runPlan(request: BuildRequest, project: string, around: PlanSurroundings): Promise<{ planned: object; warnings: string[] }> {
  const outcome: Outcome = { ready: false, step: '', warnings: [] };
  const onEvent = (event: BuildEvent): void => {
    if (event.kind === 'ready') outcome.ready = true;
    if (event.kind === 'step-start') outcome.step = event.step;
    if (event.kind === 'failed') outcome.failure = event.failure;
    if (event.kind === 'planned') outcome.planned = event.plan;
    if (event.kind === 'warning') outcome.warnings.push(event.text);
    around.reporter.report(event);
  };
  around.stopper.signal.throwIfAborted();
  const cache = checkedSetting(request, 'REALMFS_CACHE_DIR');
  const seesCache = around.isRoot && (await statOrUndefined(path.join(cache, 'layers')))?.isDirectory() === true;
  const sandbox = startSandbox({
    mode: 'plan',
    cache: seesCache ? cache : '',
    request: JSON.stringify(request),
    project,
    keyring: checkedSetting(request, 'DEBIAN_KEYRING'),
    isRoot: around.isRoot,
    onEvent,
  });
  const released = around.stopper.attach(sandbox);
  await sandbox.silent;
  released();
  sandbox.release();
  const end = await sandbox.ended;
  const stopped = around.stopper.reason;
  if (stopped !== undefined) throw new InterruptedError(stopped.message, stopped.exitCode, outcome.step || 'preflight');
  if (outcome.planned === undefined) throw failureOf(outcome, end, around);
  return { planned: outcome.planned, warnings: outcome.warnings };
}

function failureOf(outcome: Outcome, end: SandboxEnd, around: PlanSurroundings): Error {
  if (outcome.failure !== undefined) return new ReportedError(outcome.failure);
  if (!outcome.ready) return refusedSandbox(end, around, 'preflight');
  const details = end.noise.map((line) => `output:  ${line}`);
  return new BuilderError('the builder ended without a plan: was it killed?', { step: outcome.step, details });
}
