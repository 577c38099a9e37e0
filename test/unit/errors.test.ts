import { stat } from 'node:fs/promises';
import { expect, test } from 'vitest';
import {
  CommandError,
  ConfigError,
  FetchError,
  InterruptedError,
  LockedError,
  PreflightError,
  toFailure,
  UsageError,
} from '../../src/errors.ts';

test.each<[unknown, number, string]>([
  [new UsageError('x'), 2, 'usage'],
  [new ConfigError([]), 2, 'config'],
  [new PreflightError('x'), 3, 'machine'],
  [new FetchError('x'), 4, 'fetch'],
  [new LockedError('x'), 5, 'locked'],
  [new InterruptedError('x', 143), 143, 'interrupted'],
  [new CommandError('x', { exitCode: 9, signal: undefined, tail: [], line: '' }, ''), 1, 'command'],
  ['a string', 70, 'bug'],
  [new RangeError('x'), 70, 'bug'],
])('the error %o ends the program with exit code %d', (error, exitCode, code) => {
  expect(toFailure(error, 's')).toMatchObject({ exitCode, code });
});

test('an unexpected error is our bug, with exit code 70', () => {
  const failure = toFailure(new TypeError('oops'), 'config');
  expect(failure).toMatchObject({ code: 'bug', exitCode: 70, step: 'config', cause: 'internal error: oops' });
});

test.each([
  ['config', 2],
  ['finalize', 1],
])('a path that is too long for the kernel is named as such: in step %s with exit code %i', async (step, exitCode) => {
  const thrown = await stat(`/tmp/${'long/'.repeat(1000)}`).catch((error: unknown) => error);
  const failure = toFailure(thrown, step);
  expect(failure).toMatchObject({ exitCode, step, cause: expect.stringContaining('or a path longer than 4095: /tmp/long/long/') });
  expect(failure.cause.length).toBeLessThan(200);
});
