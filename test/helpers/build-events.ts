import type { Failure } from '../../src/errors.ts';
import type { BuildEvent } from '../../src/messages/events.ts';

const failure: Failure = { code: 'command', exitCode: 1, step: 'pre/x', cause: 'it broke', details: ['command: false'] };
/** One of each kind of event, some with control characters. */
export const events: BuildEvent[] = [
  { kind: 'ready' },
  { kind: 'plan', steps: ['config'] },
  { kind: 'step-start', step: 'pre/x', index: 3, total: 9 },
  { kind: 'command', step: 'pre/x', line: 'tool \u001b[31mred' },
  { kind: 'output', step: 'pre/x', line: 'a\u0007b\u001b[2Jc' },
  { kind: 'progress', step: 'pre/x', percent: 5, text: 'x' },
  { kind: 'warning', step: 'pre/x', text: 'look\u001b[0m' },
  { kind: 'warning', step: '', text: 'before any step' },
  { kind: 'artifact', artifact: { target: 'tarball', file: 'a.tar', size: 5, sha256: 'ab' } },
  { kind: 'step-end', step: 'pre/x', ok: true, seconds: 1.26 },
  { kind: 'failed', failure },
  { kind: 'built', files: [], rootfs: false, key: '', upToDate: false },
];
