import { createInterface } from 'node:readline/promises';
import { InterruptedError, UsageError } from '../errors.ts';
import { formatSize } from '../system/memory.ts';
import { print } from './text.ts';

/** What the question before a build shows. */
export interface Confirmation {
  readonly config: string;
  readonly output: string;
  /** In bytes; 0: on disk. */
  readonly tmpfsSize: number;
  /** Results that the build may replace. */
  readonly replaced: readonly string[];
}

/** The lines above the question. */
export function confirmationText(confirmation: Confirmation): string {
  const lines = [
    `Configuration: ${confirmation.config}`,
    `Output folder: ${confirmation.output}`,
    `Tmpfs:         ${confirmation.tmpfsSize === 0 ? 'no, the tree is built in the output folder' : `yes, up to ${formatSize(confirmation.tmpfsSize)}`}`,
  ];
  if (confirmation.replaced.length > 0) lines.push(`Will be replaced if the build makes them anew: ${confirmation.replaced.join(', ')}`);
  return `${lines.join('\n')}\n`;
}

/** Asks; the default answer is no. Without a terminal it is an error. */
export async function confirm(confirmation: Confirmation, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError('there is no terminal to ask on; --no-confirm builds without a question');
  }
  print(process.stderr, confirmationText(confirmation));
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      // The prompt reads the terminal itself: Ctrl-C reaches it as a key, not as a signal.
      prompt.on('SIGINT', () => reject(new InterruptedError('interrupted by SIGINT', 130, 'preflight')));
      signal.addEventListener('abort', () => reject(signal.reason));
      prompt.on('close', () => resolve(''));
      prompt.question('Build? [y/N] ').then(resolve, reject);
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    prompt.close();
  }
}
