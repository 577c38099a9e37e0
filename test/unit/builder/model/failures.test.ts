import { expect, test } from 'vitest';
import { errorLines, explain, guiltyPackage, renamed } from '../../../../src/builder/model/failures.ts';
import { BuilderError, CommandError, FetchError, PreflightError } from '../../../../src/errors.ts';

const failed = (...tail: string[]) => new CommandError('tool failed', { exitCode: 1, signal: undefined, tail, line: 'tool' }, 'packages');

test.each([
  { exitCode: undefined, signal: 'SIGXFSZ' },
  // The sandbox's way to say so.
  { exitCode: 153, signal: undefined },
])('a program that the limit of file sizes has ended is a failure of the machine: %j', async (end) => {
  const error = new CommandError('tar failed', { ...end, tail: [], line: 'tar' }, 'target/tarball');
  expect(await explain(error, '/')).toMatchObject({ message: expect.stringMatching(/^no file may become as large on /), exitCode: 3 });
});

test('a full file system is reported with figures', async () => {
  const error = await explain(failed('dpkg: error: No space left on device'), '/');
  expect(error).toBeInstanceOf(PreflightError);
  expect(error).toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(/^no space left on the build's file system \(.* of .* inodes in use/),
  });
});

test('a failed fetch has exit code 4 and is shown without credentials', async () => {
  const error = await explain(failed('E: Failed to fetch http://me:secret@m.example/x  404'), '/');
  expect(error).toBeInstanceOf(FetchError);
  expect(error).toMatchObject({ exitCode: 4, message: 'Failed to fetch http://***@m.example/x  404' });
});

test.each([
  ["E: Couldn't download packages: x", 4],
  ['E: Failed to fetch http://mirror.example/x  Hash Sum mismatch', 4],
  ['W: Failed to fetch http://mirror.example/x', 4],
  ["E: The repository 'http://mirror.example x Release' is not signed.", 4],
  ['E: Release signed by unknown key (key id 1)', 4],
  ['tar: x: Disk quota exceeded', 3],
  ['E: Unable to locate package x', 1],
  ['note: E: Failed to fetch', 1],
])('a command whose output has the line %j fails with exit code %d', async (line, exitCode) => {
  expect(await explain(failed('first', line, 'last'), '/')).toMatchObject({ exitCode, step: 'packages' });
});

test('a failed command of no known cause is reported as it is', async () => {
  const error = failed('E: something');
  expect(await explain(error, '/')).toBe(error);
});

test('an error that is not a failed command is reported as it is', async () => {
  const error = new TypeError('No space left on device');
  expect(await explain(error, '/')).toBe(error);
});

test.each([
  [[], undefined],
  [['dpkg: error processing package man-db (--configure):'], 'man-db'],
  [['dpkg: error processing package libc6:amd64 (--configure):', 'dpkg: error processing package x (--configure):'], 'libc6:amd64'],
  [['dpkg: error processing archive /tmp/a/b_1_all.deb (--unpack):'], 'b'],
  [['dpkg: error processing archive /var/cache/apt/archives/foo_1%3a2_amd64.deb (--unpack):'], 'foo'],
])('the lines %j name the guilty package %j', (lines, expected) => {
  expect(guiltyPackage(lines)).toBe(expected);
});

test('the lines that say why are those of errors, without credentials', () => {
  expect(errorLines(['I: a', 'E: b', 'E: http://u:p@h.example'])).toEqual(['b', 'http://***@h.example']);
  expect(errorLines(['E: one', ' E: two', 'W: three', 'E: four'])).toEqual(['one', 'four']);
});

test('a failure with a better message keeps its step, details and exit code', () => {
  const error = renamed(failed('x'), 'better');
  expect(error).toBeInstanceOf(BuilderError);
  expect(error).toMatchObject({ message: 'better', step: 'packages', details: ['command: tool', 'output:  x'], exitCode: 1 });
});
