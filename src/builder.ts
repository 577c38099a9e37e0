import { closeSync, writeSync } from 'node:fs';
import { readFile, unlink } from 'node:fs/promises';
import { build } from './builder/build.ts';
import { paths, StepClock } from './builder/model/context.ts';
import { disks } from './builder/model/failures.ts';
import { planOnly } from './builder/preview/preview.ts';
import { InterruptedError, toFailure } from './errors.ts';
import { readImage } from './images/read-image.ts';
import type { BuildEvent } from './messages/events.ts';
import { readRequestSchema } from './messages/reading.ts';
import { buildRequestSchema } from './messages/request.ts';
import { StepNetwork } from './sandbox/network.ts';
import { openLocks } from './store/locks.ts';
import { hideCredentials } from './system/credentials.ts';
import { namedDisk } from './system/disk-faults.ts';
import { createRunner, type Runner } from './system/runner.ts';

/**
 * The builder: runs inside the sandbox, as a child of its PID 1, and speaks to the launcher
 * through events on descriptor 4. SIGTERM asks it to stop. It loads nothing later than at its start.
 */
const LOADED_FD = 3;
const EVENTS_FD = 4;

function report(event: BuildEvent): void {
  const text = JSON.stringify(event);
  // What was read of an image is shown as it is: names of files are no addresses.
  const bytes = Buffer.from(`${event.kind === 'read' ? text : hideCredentials(text)}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(EVENTS_FD, bytes, at);
    } catch (error) {
      // A full pipe: the launcher is slower than the build. It is waited for.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

// Where the code was read from, the view may have nothing.
try {
  writeSync(LOADED_FD, 'loaded\n');
} catch {
  // Nobody waits for it any more: making the view has failed, and has said why.
  process.exit(1);
}
closeSync(LOADED_FD);
// The view of the host is made while this process starts; it must not look at a file before. Without
// the word that it is there, and which the host's architecture is, making it has failed and has said why.
let word = '';
for await (const chunk of process.stdin) word += String(chunk);
const hostArch = /^ready (\S+)\n$/.exec(word)?.[1];
if (hostArch === undefined) process.exit(1);

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort(new InterruptedError('interrupted', 130)));

const steps = new StepClock(report);
const locks = openLocks(`${paths.program}/templates/sandbox/locks.pl`);
try {
  report({ kind: 'ready' });
  const requestFile = `${paths.staging}/request.json`;
  const asked: unknown = JSON.parse(await readFile(requestFile, 'utf8'));
  await unlink(requestFile);
  const { signal } = stopping;
  const runner = createRunner({ report, signal, currentStep: () => steps.current });
  if (process.argv[2] === 'read') {
    const reading = await readImage(readRequestSchema.parse(asked), { runner, turn: () => signal.throwIfAborted() });
    report({ kind: 'read', reading });
  } else {
    const runnerOf = (step: string, unwanted: AbortSignal): Runner =>
      createRunner({ report, signal: AbortSignal.any([signal, unwanted]), currentStep: () => step });
    const network = new StepNetwork(runner, (text) => steps.warn(text));
    const context = { request: buildRequestSchema.parse(asked), runner, runnerOf, report, steps, hostArch, locks, network };
    if (process.argv[2] === 'plan') report({ kind: 'planned', plan: await planOnly(context) });
    else report({ kind: 'built', ...(await build(context)) });
  }
} catch (error) {
  report({ kind: 'failed', failure: toFailure(namedDisk(error, Object.values(disks)), steps.current) });
  process.exitCode = 1;
}
// The helper that holds the locks ends with this process.
process.exit();
