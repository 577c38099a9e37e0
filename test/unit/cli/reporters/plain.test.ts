import { expect, test } from 'vitest';
import { createPlainReporter } from '../../../../src/cli/reporters/plain.ts';
import { events } from '../../../helpers/build-events.ts';

test.each([
  [{ verbose: false, debug: false }, ['[3/9] pre/x', 'pre/x: warning: look\\x1b[0m', 'warning: before any step', 'pre/x done after 1.3 s']],
  [
    { verbose: true, debug: false },
    ['[3/9] pre/x', 'pre/x | abc', 'pre/x: warning: look\\x1b[0m', 'warning: before any step', 'pre/x done after 1.3 s'],
  ],
  [
    { verbose: true, debug: true },
    [
      '[3/9] pre/x',
      'pre/x $ tool red',
      'pre/x | abc',
      'pre/x: warning: look\\x1b[0m',
      'warning: before any step',
      'pre/x done after 1.3 s',
    ],
  ],
])('the plain reporter prints, with %j, what belongs to it', (options, expected) => {
  const lines: string[] = [];
  const reporter = createPlainReporter((text) => lines.push(text), options);
  for (const event of events) reporter.report(event);
  reporter.close();
  expect(lines.map((line) => line.slice(9))).toEqual(expected.map((line) => `${line}\n`));
  for (const line of lines) expect(line.slice(0, 9)).toMatch(/^ +\d+\.\d {2}$/);
});

test('the plain reporter numbers steps, names failed ones and hides their output', () => {
  const lines: string[] = [];
  const { report } = createPlainReporter((text) => lines.push(text), { verbose: false, debug: false });
  report({ kind: 'step-start', step: 'config', index: 1, total: 0 });
  report({ kind: 'step-start', step: 'bootstrap', index: 2, total: 9 });
  report({ kind: 'output', step: 'bootstrap', line: 'hidden' });
  report({ kind: 'step-end', step: 'bootstrap', ok: false, seconds: 75.2 });
  expect(lines.map((line) => line.slice(9))).toEqual(['[1] config\n', '[2/9] bootstrap\n', 'bootstrap FAILED after 75 s\n']);
});
