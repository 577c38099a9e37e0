import { expect, test } from 'vitest';
import { createJsonReporter } from '../../../../src/cli/reporters/json.ts';
import { events } from '../../../helpers/build-events.ts';

test('the JSON reporter prints every event, one a line', () => {
  const lines: string[] = [];
  const reporter = createJsonReporter((text) => lines.push(text));
  for (const event of events) reporter.report(event);
  expect(lines.map((line) => JSON.parse(line))).toEqual(events.map((event) => ({ v: 1, time: expect.any(String), ...event })));
  for (const line of lines) expect(line.indexOf('\n')).toBe(line.length - 1);
  expect(new Date(JSON.parse(lines[0] ?? '').time).getTime()).toBeGreaterThan(0);
});

test('the JSON reporter keeps an event with a line feed on one line, with version and time', () => {
  const lines: string[] = [];
  createJsonReporter((text) => lines.push(text)).report({ kind: 'output', step: 'x', line: 'a\nb' });
  expect(JSON.parse(lines[0] ?? '')).toEqual({ v: 1, time: expect.any(String), kind: 'output', step: 'x', line: 'a\nb' });
  expect(lines[0]?.split('\n')).toHaveLength(2);
});
