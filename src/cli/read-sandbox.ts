import { BuilderError, type Failure, InterruptedError } from '../errors.ts';
import type { BuildEvent } from '../messages/events.ts';
import { type Reading, type ReadRequest, readingSchema } from '../messages/reading.ts';
import { type SandboxEnd, startSandbox } from '../sandbox/launcher.ts';
import { availableMemory } from '../system/memory.ts';
import { checkTools, TMPFS_SHARE } from './preflight.ts';
import type { Reporter } from './reporters/reporter.ts';
import { ReportedError, refusedSandbox } from './run-build.ts';
import type { Stopper } from './stopper.ts';

/** Programs that the sandbox needs; what an image needs beside them is known once it was looked at. */
const TOOLS = ['unshare', 'setpriv', 'pivot_root', 'mount', 'umount', 'bash', 'dpkg'];

/** What the commands need from their surroundings. */
export interface ReadSurroundings {
  readonly cwd: string;
  readonly isRoot: boolean;
  /** The command line that runs the same as root. */
  readonly sudo: string;
  readonly reporter: Reporter;
  readonly stopper: Stopper;
}

/** Reads an image, or the files of a tree, in a sandbox. Nothing is made on the host. */
export async function readInSandbox(file: string, request: Omit<ReadRequest, 'isRoot'>, around: ReadSurroundings): Promise<Reading> {
  await checkTools(TOOLS);
  const outcome: { ready: boolean; failure?: Failure; reading?: object } = { ready: false };
  const onEvent = (event: BuildEvent): void => {
    if (event.kind === 'ready') outcome.ready = true;
    if (event.kind === 'failed') outcome.failure = event.failure;
    if (event.kind === 'read') outcome.reading = event.reading;
    else around.reporter.report(event);
  };
  around.stopper.signal.throwIfAborted();
  const sandbox = startSandbox({
    mode: 'read',
    project: file,
    request: JSON.stringify({ ...request, isRoot: around.isRoot }),
    isRoot: around.isRoot,
    scratch: Math.floor((await availableMemory()) * TMPFS_SHARE),
    onEvent,
  });
  const released = around.stopper.attach(sandbox);
  await sandbox.silent;
  released();
  sandbox.release();
  const end = await sandbox.ended;
  const stopped = around.stopper.reason;
  if (stopped !== undefined) throw new InterruptedError(stopped.message, stopped.exitCode);
  if (outcome.reading !== undefined) return readingSchema.parse(outcome.reading);
  if (outcome.failure !== undefined) throw new ReportedError(named(file, outcome.failure, around));
  throw noReading(file, outcome.ready, end, around);
}

/** What the builder says of an image begins with its verb. */
function named(file: string, failure: Failure, { isRoot, sudo }: ReadSurroundings): Failure {
  const hint = failure.hint ?? (!isRoot && failure.cause.includes('takes root') ? `run: ${sudo}` : undefined);
  const cause = failure.cause.startsWith('missing: ') ? failure.cause : `${file}: ${failure.cause}`;
  return { ...failure, cause, step: '', ...(hint === undefined ? {} : { hint }) };
}

function noReading(file: string, ready: boolean, end: SandboxEnd, { isRoot, sudo }: ReadSurroundings): Error {
  if (!ready) return refusedSandbox(end, { isRoot, sudo });
  const details = end.noise.map((line) => `output:  ${line}`);
  return new BuilderError(`${file} could not be read: the reader has ended, memory may be short`, { details });
}
