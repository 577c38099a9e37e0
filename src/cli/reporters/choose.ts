import type { ColorChoice, ProgressKind } from '../options/types.ts';
import { createJsonReporter } from './json.ts';
import { createPlainReporter } from './plain.ts';
import type { Reporter } from './reporter.ts';

/** Makes the reporter that the options and the terminal call for. */
export async function chooseReporter(options: {
  progress: ProgressKind;
  verbose: boolean;
  debug: boolean;
  color: ColorChoice;
  ci: boolean;
  noColor: boolean;
}): Promise<Reporter> {
  const { progress, verbose, debug } = options;
  const stderr = process.stderr;
  // On a terminal that reports no columns ora would draw for ever.
  const drawable = stderr.isTTY && (stderr.columns ?? 0) > 0;
  if (progress === 'json') return createJsonReporter((text) => process.stdout.write(text));
  if (progress === 'quiet') return { report: () => {}, close: () => {} };
  if (drawable && (progress === 'tty' || (progress === 'auto' && !options.ci))) {
    const { createTtyReporter } = await import('./tty.ts');
    return createTtyReporter(stderr, {
      verbose,
      debug,
      color: options.color === 'always' || (options.color === 'auto' && !options.noColor),
    });
  }
  return createPlainReporter((text) => stderr.write(text), { verbose, debug });
}
