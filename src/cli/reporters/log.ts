import { closeSync, constants, fchownSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { diskCode } from '../../system/disk-faults.ts';
import { hasCode } from '../../system/files.ts';
import type { HeldFolder } from '../../system/held-folder.ts';
import { formatSize } from '../../system/memory.ts';
import { plainWord } from '../../system/names.ts';
import { plainText, type Reporter } from './reporter.ts';

/** Bytes of the output of one step that the log keeps: a module in a loop must not fill the disk. */
const OUTPUT_LIMIT = 64 * 1024 ** 2;

/** The name of the log in the output folder. */
export const LOG = 'realmfs-build.log';

/**
 * The log file: everything, with times; of the output of a step the first 64 MiB, and how much
 * was left out. It is made in the staging folder, where nobody else can reach it, and replaces that of the build before. `onLost` is
 * called once if a line cannot be written.
 */
export function createLogReporter(
  { output: place, staging }: { readonly output: HeldFolder; readonly staging: HeldFolder },
  owner: { uid: number; gid: number } | undefined,
  { outputLimit = OUTPUT_LIMIT, onLost = () => {} }: { readonly outputLimit?: number; readonly onLost?: (error: unknown) => void } = {},
): Reporter {
  const fd = openLog(place, staging, owner);
  let open = true;
  let isLost = false;
  const line = (text: string): void => {
    try {
      if (open) writeSync(fd, `${new Date().toISOString()} ${plainText(text)}\n`);
    } catch (error) {
      // On a full disk the build itself says why it ends; the log must not hide its words.
      if (diskCode(error) === undefined) throw error;
      if (!isLost) onLost(error);
      isLost = true;
    }
  };
  const flood = { kept: 0, lines: 0, bytes: 0 };
  const output = (step: string, text: string): void => {
    const size = Buffer.byteLength(text) + 1;
    if (flood.lines === 0 && flood.kept + size <= outputLimit) {
      flood.kept += size;
      return line(`${step} | ${text}`);
    }
    flood.lines += 1;
    flood.bytes += size;
  };
  const endFlood = (step: string): void => {
    if (flood.lines > 0)
      line(
        `${step}: the log holds the first ${formatSize(outputLimit)} of the output; ${flood.lines} lines (${formatSize(flood.bytes)}) are left out`,
      );
    Object.assign(flood, { kept: 0, lines: 0, bytes: 0 });
  };
  let current = '';
  return {
    report: (event) => {
      switch (event.kind) {
        case 'step-start':
          current = event.step;
          return line(`== ${event.step}`);
        case 'step-end':
          endFlood(event.step);
          return line(`== ${event.step} ${event.ok ? 'done' : 'FAILED'} after ${event.seconds.toFixed(1)} s`);
        case 'command':
          return line(`${event.step} $ ${event.line}`);
        case 'output':
          return output(event.step, event.line);
        case 'warning':
          return line(plainWord(`${event.step === '' ? '' : `${event.step} `}warning: ${event.text}`));
        case 'step-cached':
          return line(`== ${event.step} from a layer`);
        case 'note':
          return line(plainWord(`note: ${event.text}`));
        case 'artifact':
          return line(`artifact ${event.artifact.file} ${event.artifact.size} bytes sha256 ${event.artifact.sha256}`);
        case 'failed': {
          const { step, cause, details } = event.failure;
          for (const detail of details) line(detail);
          return line(plainWord(`failed: ${step}: ${cause}`));
        }
        default:
          return undefined;
      }
    },
    close: () => {
      // A build that was killed has ended no step.
      endFlood(current);
      try {
        if (open) closeSync(fd);
      } catch (error) {
        // Some file systems say only now that there was no room.
        if (diskCode(error) === undefined) throw error;
        onLost(error);
      }
      open = false;
    },
  };
}

/** @throws an Error if something else has the name of the log: a link, a pipe, a folder. */
function openLog(output: HeldFolder, staging: HeldFolder, owner: { uid: number; gid: number } | undefined): number {
  try {
    checkOld(output.at(LOG));
    const fd = openSync(staging.at(LOG), 'wx', 0o644);
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    renameSync(staging.at(LOG), output.at(LOG));
    return fd;
  } catch (error) {
    throw output.inWords(staging.inWords(error));
  }
}

function checkOld(file: string): void {
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  const isFile = fstatSync(fd).isFile();
  closeSync(fd);
  if (!isFile) throw new Error(`${file} is no regular file`);
}
