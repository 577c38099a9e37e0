import type { BuildEvent, Report } from '../../messages/events.ts';
import { plainLines, plainWord } from '../../system/names.ts';

/** Prints events; `close` ends what it has drawn. */
export interface Reporter {
  readonly report: Report;
  close(): void;
}

/**
 * A program's output without what would steer the user's terminal; bytes that are not UTF-8 as `\xe9`. Messages of our own go through `plainWord`: a name
 * in them is not another one.
 */
export function plainText(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
  const text = line.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b[@-_]|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
  return plainLines(text);
}

/** What is said before a shell takes the terminal: the step that has failed, the line, and what can be done. */
export function shellText({ step, failure }: Extract<BuildEvent, { kind: 'shell-start' }>): string {
  if (failure === undefined) return '';
  const lines = [
    `${plainWord(step)} has failed: ${plainWord(failure.cause)}`,
    ...failure.details.slice(-12).map((line) => `  ${plainText(line)}`),
    'This is a shell in the tree as the step has left it. exit: give up; retry: run the step once more, from where it began.',
    'What you edit in the project counts from the next build on, which goes on at this step.',
  ];
  return `${lines.join('\n')}\n`;
}

/** An event for a terminal: the name of its step does not steer it. The texts are left to the reporter. */
export function plainEvent(event: BuildEvent): BuildEvent {
  return 'step' in event ? { ...event, step: plainWord(event.step) } : event;
}

/** `STEP: warning: TEXT`; nothing stands for no step. */
export function warningText({ step, text }: Extract<BuildEvent, { kind: 'warning' }>): string {
  return `${step === '' ? '' : `${step}: `}warning: ${plainWord(text)}`;
}

/** `75 s`, `1.2 s`. */
export function formatSeconds(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
}

/** `[3/9] pre/create-user` */
export function stepTitle(event: Extract<BuildEvent, { kind: 'step-start' | 'step-cached' }>): string {
  // How many there are is known once build.conf was read.
  return `[${event.index}${event.total === 0 ? '' : `/${event.total}`}] ${plainWord(event.step)}`;
}
