import { styleText } from 'node:util';
import { quote } from 'shell-quote';
import type { Failure } from '../errors.ts';
import { plainLines, plainWord } from '../system/names.ts';
import { plainText } from './reporters/reporter.ts';
import { jsonLine } from './text.ts';

/** The text of a failure: details, hint, and the promised last line. */
export function failureText(failure: Failure, options: { log: string | undefined; debug: boolean; color: boolean }): string {
  const lines = failure.details.map((detail) => `  ${plainText(detail)}`);
  if (failure.hint !== undefined) lines.push(`  hint:    ${plainLines(failure.hint)}`);
  if (options.debug && failure.stack !== undefined) lines.push(...failure.stack.split('\n').map((line) => `  ${plainLines(line)}`));
  const step = failure.step === '' ? '' : `${plainWord(failure.step)}: `;
  const log = options.log === undefined ? '' : `; log: ${shownPath(options.log)}`;
  const last = `realmfs-builder: error: ${step}${plainWord(failure.cause.replaceAll('\n', ' '))}${log}`;
  lines.push(options.color ? styleText('red', last, { validateStream: false }) : last);
  return `${lines.join('\n')}\n`;
}

/** A path on one line: one with a line feed or the like is quoted. */
function shownPath(file: string): string {
  return /\p{Cc}/u.test(file) ? jsonLine(file).trimEnd() : file;
}

/** The command that runs this program as root, whatever sudo's PATH is. */
export function sudoCommand(execPath: string, script: string, args: readonly string[]): string {
  return quote(['sudo', '--', execPath, script, ...args]);
}
