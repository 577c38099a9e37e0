import { expect, test } from 'vitest';
import { failureText, sudoCommand } from '../../../src/cli/error-report.ts';
import { BuilderError, CommandError, ConfigError, toFailure, UsageError } from '../../../src/errors.ts';

const text = (error: unknown, more: Partial<Parameters<typeof failureText>[1]> = {}, step = 'bootstrap'): string =>
  failureText(toFailure(error, step), { log: undefined, debug: false, color: false, ...more });

test('details and hint of a failure stand above its one last line', () => {
  const error = new BuilderError('it broke', { step: 'pre/x', details: ['command: false'], hint: 'try again' });
  expect(text(error, { log: '/out/realmfs-build.log' }, 'other')).toBe(
    '  command: false\n  hint:    try again\nrealmfs-builder: error: pre/x: it broke; log: /out/realmfs-build.log\n',
  );
});

test('a failed command is shown with its command line and output, then the one last line', () => {
  const error = new CommandError(
    'debootstrap failed with exit code 1',
    { exitCode: 1, signal: undefined, tail: ['W: \u001b[1mfirst', 'E: no'], line: 'debootstrap --x trixie' },
    'bootstrap',
  );
  expect(text(error, { log: 'realmfs/realmfs-build.log' })).toBe(
    [
      '  command: debootstrap --x trixie',
      '  output:  W: first',
      '  output:  E: no',
      'realmfs-builder: error: bootstrap: debootstrap failed with exit code 1; log: realmfs/realmfs-build.log',
      '',
    ].join('\n'),
  );
});

test('several errors of the configuration are listed, and the last line names the first', () => {
  const error = new ConfigError([{ file: 'build.conf', line: 12, message: 'X: bad' }, { file: '--set', message: 'Y' }, { message: 'Z' }]);
  expect(text(error)).toBe(
    '  build.conf:12: X: bad\n  --set: Y\n  Z\nrealmfs-builder: error: config: build.conf:12: X: bad (and 2 more above)\n',
  );
  expect(text(new ConfigError([{ message: 'Z' }]))).toBe('realmfs-builder: error: config: Z\n');
});

test('a failure before any step names no step', () => {
  expect(text(new UsageError('wrong'), {}, '')).toBe('realmfs-builder: error: wrong\n');
});

test('a cause of several lines becomes one, with its control characters shown', () => {
  expect(text(new UsageError('a\nb\u0007\u009bc'), {}, '')).toBe('realmfs-builder: error: a b\\x07\\x9bc\n');
});

test('the last line of a failure is the only red one', () => {
  expect(text(new UsageError('x', { hint: 'y' }), { color: true }, '')).toBe(
    '  hint:    y\n\u001b[31mrealmfs-builder: error: x\u001b[39m\n',
  );
});

test('an unexpected error is shown with its stack only for --debug', () => {
  const bug = new TypeError('oops');
  expect(text(bug, {}, 'config')).not.toContain('    at ');
  expect(text(bug, { debug: true }, 'config')).toContain('    at ');
});

test('the command for sudo is quoted, so that it can be typed', () => {
  expect(sudoCommand('/home/a b/node', '/x/cli.js', ['-d', "it's"])).toBe(`sudo -- '/home/a b/node' /x/cli.js -d "it's"`);
  expect(sudoCommand('/usr/bin/node', '/opt/x/cli.js', ['--set', 'A=$x y'])).toBe("sudo -- /usr/bin/node /opt/x/cli.js --set 'A=$x y'");
});
