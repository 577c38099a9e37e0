import type { BuildEvent, Report } from '../../events.ts';

/** Prints events; `close` ends what it has drawn. */
export interface Reporter {
  readonly report: Report;
  close(): void;
}

/** Control characters of a build's output must not reach the user's terminal. */
export function plainText(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
  return line.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b[@-_]|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}

/** What is said before a shell takes the terminal: the step that has failed, the line, and what can be done. */
export function shellText({ step, failure }: Extract<BuildEvent, { kind: 'shell-start' }>): string {
  if (failure === undefined) return '';
  const lines = [
    `${step} has failed: ${plainText(failure.cause)}`,
    ...failure.details.slice(-12).map((line) => `  ${plainText(line)}`),
    'This is a shell in the tree as the step has left it. exit: give up; retry: run the step once more, from where it began.',
    'What you edit in the project counts from the next build on, which goes on at this step.',
  ];
  return `${lines.join('\n')}\n`;
}

/** `75 s`, `1.2 s`. */
export function formatSeconds(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** `[3/9] pre/create-user` */
export function stepTitle(event: Extract<BuildEvent, { kind: 'step-start' | 'step-cached' }>): string {
  // How many there are is known once build.conf was read.
  return `[${event.index}${event.total === 0 ? '' : `/${event.total}`}] ${event.step}`;
}
