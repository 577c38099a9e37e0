import type { BuildEvent } from '../../messages/events.ts';
import { plainWord } from '../../system/names.ts';
import { formatSeconds, plainEvent, plainText, type Reporter, shellText, stepTitle, warningText } from './reporter.ts';

/** Lines with the time since the start: for logs of CI systems. */
export function createPlainReporter(write: (text: string) => void, options: { verbose: boolean; debug: boolean }): Reporter {
  const start = Date.now();
  const line = (text: string): void => write(`${((Date.now() - start) / 1000).toFixed(1).padStart(7)}  ${text}\n`);
  const report = (raw: BuildEvent): void => {
    const event = plainEvent(raw);
    switch (event.kind) {
      case 'step-start':
        return line(stepTitle(event));
      case 'step-end':
        return line(`${event.step} ${event.ok ? 'done' : 'FAILED'} after ${formatSeconds(event.seconds)}`);
      case 'step-cached':
        return line(`${stepTitle(event)} cached`);
      case 'note':
        return line(plainWord(event.text));
      case 'shell-start':
        return write(shellText(event));
      case 'warning':
        return line(warningText(event));
      case 'output':
        return options.verbose ? line(`${event.step} | ${plainText(event.line)}`) : undefined;
      case 'command':
        return options.debug ? line(`${event.step} $ ${plainText(event.line)}`) : undefined;
      default:
        return undefined;
    }
  };
  return { report, close: () => {} };
}
