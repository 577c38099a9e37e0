import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { failureText } from '../../../src/cli/error-report.ts';
import { planText } from '../../../src/cli/plan-text.ts';
import { createPlainReporter } from '../../../src/cli/reporters/plain.ts';
import { jsonLine, print, table } from '../../../src/cli/text.ts';

// An escape sequence in both forms, a bell, and a byte that is no text.
const evil = 'x\x1b]0;PWNED\x07\x1b[2J\u009b31m\udce9';
const shown = 'x\\x1b]0;PWNED\\x07\\x1b[2J\\x9b31m\\xe9';
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

test('what is printed steers no terminal', () => {
  const written: string[] = [];
  print({ write: (text) => void written.push(text) }, `${evil}\n\tline\n`);
  expect(written).toEqual([`${shown}\n\tline\n`]);
  expect(
    table([
      ['NAME', 'B'],
      [evil, 'a\nb'],
    ]),
  ).toEqual([`NAME${' '.repeat(shown.length - 2)}B`, `${shown}  a\\x0ab`]);
});

test('a line of JSON holds no control character, and says the same', () => {
  const line = jsonLine({ [evil]: [evil, 'é🐧'] });
  expect(line.slice(0, -1)).not.toMatch(controls);
  expect(JSON.parse(line)).toEqual({ [evil]: [evil, 'é🐧'] });
});

test('names of steps in plans, in progress and in failures', () => {
  const report = {
    config: evil,
    output: evil,
    settings: [],
    packages: [evil],
    targets: [],
    provides: [evil],
    warnings: [evil],
    localPackages: [{ file: evil, name: evil, version: evil, arch: evil }],
    files: [{ step: evil, file: evil }],
    steps: [{ step: `hooks/chroot/${evil}`, origin: 'hook', from: evil, overrides: [evil], cached: false, why: [evil] }],
  };
  const text = planText(report as unknown as Parameters<typeof planText>[0], true);
  expect(text).not.toMatch(controls);
  expect(text).toContain(`hooks/chroot/${shown}`);

  const lines: string[] = [];
  const reporter = createPlainReporter((line) => void lines.push(line), { verbose: true, debug: true });
  reporter.report({ kind: 'step-start', step: evil, index: 1, total: 2 });
  reporter.report({ kind: 'warning', step: evil, text: evil });
  reporter.report({ kind: 'output', step: evil, line: evil });
  reporter.report({ kind: 'step-end', step: evil, ok: true, seconds: 1 });
  expect(lines.join('')).not.toMatch(controls);
  expect(lines[0]).toContain(`[1/2] ${shown}`);

  const failure = { code: 'x', exitCode: 1, step: evil, cause: evil, details: [evil], hint: evil, stack: evil };
  expect(failureText(failure, { log: evil, debug: true, color: false })).not.toMatch(controls);
});

test('the launcher prints by way of this alone', () => {
  const src = path.resolve(import.meta.dirname, '../../../src');
  const direct = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => {
    if (!/^(?:main\.ts|cli\/.*\.ts)$/.test(file)) return false;
    return /process\.std(?:out|err)\.write\(/.test(
      readFileSync(path.join(src, file), 'utf8').replaceAll('process.stderr.write(failureText(', ''),
    );
  });
  // JSON has escapes of its own.
  expect(direct).toEqual(['cli/reporters/choose.ts']);
});
