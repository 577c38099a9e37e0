import ora from 'ora';
import type { BuildEvent } from '../../messages/events.ts';
import { plainWord } from '../../system/names.ts';
import { formatSeconds, plainEvent, plainText, type Reporter, shellText, stepTitle, warningText } from './reporter.ts';

/** A spinner with the step, what apt and debootstrap are doing, and the time so far. */
export function createTtyReporter(stream: NodeJS.WriteStream, options: { verbose: boolean; debug: boolean; color: boolean }): Reporter {
  // discardStdin would put the terminal in raw mode, and Ctrl-C would reach nobody.
  const spinner = ora({ stream, discardStdin: false, ...(options.color ? {} : { color: false as const }) });
  /** Titles of the steps that run: targets are written side by side. */
  const titles = new Map<string, string>();
  let title = '';
  let doing = '';
  let started = Date.now();
  const draw = (): void => {
    const seconds = formatSeconds((Date.now() - started) / 1000);
    const text = doing === '' ? `${title}  ${seconds}` : `${title}  ${seconds}  ${doing}`;
    spinner.text = text.slice(0, Math.max(10, stream.columns - 4));
  };
  const timer = setInterval(draw, 1000);
  timer.unref();
  const print = (text: string): void => {
    const spinning = spinner.isSpinning;
    if (spinning) spinner.clear();
    stream.write(`${text}\n`);
    if (spinning) spinner.render();
  };
  const report = (raw: BuildEvent): void => {
    const event = plainEvent(raw);
    switch (event.kind) {
      case 'step-start':
        [title, doing, started] = [stepTitle(event), '', Date.now()];
        titles.set(event.step, title);
        draw();
        spinner.start();
        return;
      case 'progress':
        doing = `${event.percent === null ? '' : `${event.percent} % `}${plainText(event.text)}`;
        return draw();
      case 'step-end':
        spinner.stopAndPersist({
          symbol: event.ok ? '✔' : '✖',
          text: `${titles.get(event.step) ?? event.step}  ${formatSeconds(event.seconds)}`,
        });
        titles.delete(event.step);
        if (titles.size === 0) return;
        title = [...titles.values()].at(-1) ?? '';
        draw();
        spinner.start();
        return;
      case 'step-cached':
        return print(`✔ ${stepTitle(event)}  cached`);
      case 'note':
        return print(plainWord(event.text));
      case 'shell-start':
        if (spinner.isSpinning) spinner.stop();
        stream.write(shellText(event));
        return;
      case 'warning':
        return print(warningText(event));
      case 'output':
        return options.verbose ? print(`${event.step} | ${plainText(event.line)}`) : undefined;
      case 'command':
        return options.debug ? print(`${event.step} $ ${plainText(event.line)}`) : undefined;
      default:
        return undefined;
    }
  };
  return {
    report,
    close: () => {
      clearInterval(timer);
      if (spinner.isSpinning) spinner.stop();
    },
  };
}
