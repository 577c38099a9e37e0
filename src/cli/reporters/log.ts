import { closeSync, constants, fchownSync, openSync, writeSync } from 'node:fs';
import { hasCode } from '../../system/files.ts';
import { plainText, type Reporter } from './reporter.ts';

/** The log file: everything, with times. A link in its place is not followed. */
export function createLogReporter(file: string, owner: { uid: number; gid: number } | undefined): Reporter {
  const fd = openSync(
    file,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    0o644,
  );
  if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
  let open = true;
  const line = (text: string): void => {
    try {
      if (open) writeSync(fd, `${new Date().toISOString()} ${plainText(text)}\n`);
    } catch (error) {
      // On a full disk the build itself says so; the log must not hide its words.
      if (!hasCode(error, 'ENOSPC')) throw error;
    }
  };
  return {
    report: (event) => {
      switch (event.kind) {
        case 'step-start':
          return line(`== ${event.step}`);
        case 'step-end':
          return line(`== ${event.step} ${event.ok ? 'done' : 'FAILED'} after ${event.seconds.toFixed(1)} s`);
        case 'command':
          return line(`${event.step} $ ${event.line}`);
        case 'output':
          return line(`${event.step} | ${event.line}`);
        case 'warning':
          return line(`${event.step} warning: ${event.text}`);
        case 'artifact':
          return line(`artifact ${event.artifact.file} ${event.artifact.size} bytes sha256 ${event.artifact.sha256}`);
        case 'failed': {
          const { step, cause, details } = event.failure;
          for (const detail of details) line(detail);
          return line(`failed: ${step}: ${cause}`);
        }
        default:
          return undefined;
      }
    },
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
