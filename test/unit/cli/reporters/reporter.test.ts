import { expect, test } from 'vitest';
import { formatSeconds, plainText, stepTitle } from '../../../../src/cli/reporters/reporter.ts';

test.each([
  ['a\u001b[31mred\u001b[0m\u0007 b\u001b]x\tc', 'ared bx\tc'],
  ['\u001b]0;title\u0007x', '0;titlex'],
  ['a\tb\nc', 'a\tb\nc'],
  ['\u001b[38;5;1mred\u001b[K', 'red'],
  ['\u001bc\u0000\u007f\u0085', 'c'],
  ['grün €', 'grün €'],
  ['\r\n', '\n'],
])('the text %j reaches a terminal as %j', (text, expected) => {
  expect(plainText(text)).toBe(expected);
});

test('seconds from ten on are shown whole, and a step without a total has its number alone', () => {
  expect([0, 9.94, 10, 75.6].map(formatSeconds)).toEqual(['0.0 s', '9.9 s', '10 s', '76 s']);
  expect(stepTitle({ kind: 'step-start', step: 'config', index: 1, total: 0 })).toBe('[1] config');
});
