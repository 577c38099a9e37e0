import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { confirm, confirmationText } from '../../../src/cli/confirm.ts';
import { failureText, sudoCommand } from '../../../src/cli/error-report.ts';
import { parseArguments } from '../../../src/cli/options.ts';
import { planTmpfs, SMALLEST_BUILD } from '../../../src/cli/preflight.ts';
import { createJsonReporter } from '../../../src/cli/reporters/json.ts';
import { createLogReporter, LOG } from '../../../src/cli/reporters/log.ts';
import { createPlainReporter } from '../../../src/cli/reporters/plain.ts';
import { formatSeconds, plainText, stepTitle } from '../../../src/cli/reporters/reporter.ts';
import { Stopper } from '../../../src/cli/stopper.ts';
import {
  CommandError,
  ConfigError,
  type Failure,
  FetchError,
  InterruptedError,
  LockedError,
  PreflightError,
  toFailure,
  UsageError,
} from '../../../src/errors.ts';
import type { BuildEvent } from '../../../src/messages/events.ts';
import { availableMemory } from '../../../src/system/memory.ts';
import { heldFolders } from '../../helpers/held.ts';

describe('options', () => {
  const options = (...args: string[]) => {
    const parsed = parseArguments(args);
    return parsed.kind === 'options' ? parsed.options : undefined;
  };

  test.each<[string[], object]>([
    [['-tz'], { targets: ['tarball', 'tarball-xz'] }],
    [['-izt'], { targets: ['tarball', 'tarball-xz', 'ext4'] }],
    [['-t', '-t'], { targets: ['tarball'] }],
    [['--targets=qcow2'], { targets: ['qcow2'] }],
    [['--directory=/srv/out'], { directory: '/srv/out' }],
    [['-dout'], { directory: 'out' }],
    [['a.conf', '-t'], { config: 'a.conf', targets: ['tarball'] }],
    [['--', '-t'], { config: '-t', targets: [] }],
    [['--set', 'A='], { set: { A: '' } }],
    [['--set', 'A=1', '--set', 'A=2'], { set: { A: '2' } }],
    [['--set', 'A=x\ny'], { set: { A: 'x\ny' } }],
    [['--set=A=--new'], { isNew: false, set: { A: '--new' } }],
    [['--timeout', '90'], { timeout: 90_000 }],
    [['--verbose'], { verbose: true, debug: false }],
    [['-v', '-q'], { verbose: true, progress: 'quiet' }],
    [['--color', 'never'], { color: 'never' }],
    ...['auto', 'tty', 'plain', 'json', 'quiet'].map((kind) => [['--progress', kind], { progress: kind }] as [string[], object]),
  ])('%j', (args, expected) => {
    expect(options(...args)).toMatchObject(expected);
  });

  test('--set of one command line does not reach the next', () => {
    options('--set', 'A=1');
    expect(options()?.set).toEqual({});
  });

  test.each([
    [['--color', 'blue'], "option '--color <when>' argument 'blue' is invalid. Allowed choices are auto, always, never."],
    [['-d'], "option '-d, --directory <dir>' argument missing"],
    [['--tmpfs-size', '0'], "--tmpfs-size: '0' is no size"],
    [['--tmpfs-size', '-1G'], "--tmpfs-size: '-1G' is no size"],
    [['--timeout', 'x'], "--timeout: 'x' is no time"],
    [['--set', '=x'], "--set: '=x' is not KEY=VALUE"],
    [['--set', 'A B=x'], "--set: 'A B=x' is not KEY=VALUE"],
    [['--targets', ',;'], '--targets: names no target'],
    [['-x'], "unknown option '-x'"],
    [['--no-such'], expect.stringMatching(/^unknown option '--no-such'/)],
  ])('%j is refused with exit code 2', (args, message) => {
    let error: unknown;
    try {
      parseArguments(args);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ message, exitCode: 2 });
  });

  test('an unknown option has a hint, and nothing was printed', () => {
    const write = vi.spyOn(process.stderr, 'write');
    expect(() => parseArguments(['--nope'])).toThrow(expect.objectContaining({ hint: 'realmfs-builder --help lists the options' }));
    expect(write).not.toHaveBeenCalled();
    write.mockRestore();
  });

  test('help names every option and the exit codes', () => {
    const help = parseArguments(['-h']);
    const text = help.kind === 'text' ? help.text : '';
    for (const option of [
      '--new',
      '-d, --directory',
      ' -t ',
      ' -z ',
      ' -i ',
      '--targets',
      '--no-tmpfs',
      '--tmpfs-size',
      '--no-confirm',
      '--no-cache',
      '--keep-rootfs',
      '--set',
      '--timeout',
      '--progress',
      '-q, --quiet',
      '-v, --verbose',
      '--debug',
      '--color',
      '--version',
      '-h, --help',
    ])
      expect(text).toContain(option);
    expect(text).toMatch(/Exit codes: 0 done, 1 a step failed, .*128\+n signal\.\n$/s);
  });
});

describe('the text of a failure', () => {
  const text = (error: unknown, more: Partial<Parameters<typeof failureText>[1]> = {}, step = 'bootstrap'): string =>
    failureText(toFailure(error, step), { log: undefined, debug: false, color: false, ...more });

  test('of a command: command and output above, then the one line', () => {
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

  test('of several faults of the configuration', () => {
    const error = new ConfigError([{ file: 'build.conf', line: 12, message: 'X: bad' }, { file: '--set', message: 'Y' }, { message: 'Z' }]);
    expect(text(error)).toBe(
      '  build.conf:12: X: bad\n  --set: Y\n  Z\nrealmfs-builder: error: config: build.conf:12: X: bad (and 2 more above)\n',
    );
    expect(text(new ConfigError([{ message: 'Z' }]))).toBe('realmfs-builder: error: config: Z\n');
  });

  test('of one before any step', () => {
    expect(text(new UsageError('wrong'), {}, '')).toBe('realmfs-builder: error: wrong\n');
  });

  test('a cause of several lines is one line; control characters are shown, a name stays what it is', () => {
    expect(text(new UsageError('a\nb\u0007\u009bc'), {}, '')).toBe('realmfs-builder: error: a b\\x07\\x9bc\n');
  });

  test('the last line is the only red one', () => {
    expect(text(new UsageError('x', { hint: 'y' }), { color: true }, '')).toBe(
      '  hint:    y\n\u001b[31mrealmfs-builder: error: x\u001b[39m\n',
    );
  });

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
  ])('the exit code of %o is %d', (error, exitCode, code) => {
    expect(toFailure(error, 's')).toMatchObject({ exitCode, code });
  });

  test("sudo's command line can be typed", () => {
    expect(sudoCommand('/usr/bin/node', '/opt/x/cli.js', ['--set', 'A=$x y'])).toBe("sudo -- /usr/bin/node /opt/x/cli.js --set 'A=$x y'");
  });
});

describe('reporters', () => {
  const failure: Failure = { code: 'command', exitCode: 1, step: 'pre/x', cause: 'it broke', details: ['command: false'] };
  const events: BuildEvent[] = [
    { kind: 'ready' },
    { kind: 'plan', steps: ['config'] },
    { kind: 'step-start', step: 'pre/x', index: 3, total: 9 },
    { kind: 'command', step: 'pre/x', line: 'tool \u001b[31mred' },
    { kind: 'output', step: 'pre/x', line: 'a\u0007b\u001b[2Jc' },
    { kind: 'progress', step: 'pre/x', percent: 5, text: 'x' },
    { kind: 'warning', step: 'pre/x', text: 'look\u001b[0m' },
    { kind: 'warning', step: '', text: 'before any step' },
    { kind: 'artifact', artifact: { target: 'tarball', file: 'a.tar', size: 5, sha256: 'ab' } },
    { kind: 'step-end', step: 'pre/x', ok: true, seconds: 1.26 },
    { kind: 'failed', failure },
    { kind: 'built', files: [], rootfs: false, key: '', upToDate: false },
  ];

  test.each([
    [
      { verbose: false, debug: false },
      ['[3/9] pre/x', 'pre/x: warning: look\\x1b[0m', 'warning: before any step', 'pre/x done after 1.3 s'],
    ],
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
  ])('plain, %j', (options, expected) => {
    const lines: string[] = [];
    const reporter = createPlainReporter((text) => lines.push(text), options);
    for (const event of events) reporter.report(event);
    reporter.close();
    expect(lines.map((line) => line.slice(9))).toEqual(expected.map((line) => `${line}\n`));
    for (const line of lines) expect(line.slice(0, 9)).toMatch(/^ +\d+\.\d {2}$/);
  });

  test('json: every event, one a line', () => {
    const lines: string[] = [];
    const reporter = createJsonReporter((text) => lines.push(text));
    for (const event of events) reporter.report(event);
    expect(lines.map((line) => JSON.parse(line))).toEqual(events.map((event) => ({ v: 1, time: expect.any(String), ...event })));
    for (const line of lines) expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(new Date(JSON.parse(lines[0] ?? '').time).getTime()).toBeGreaterThan(0);
  });

  test('log: everything but progress, with times, without control characters', async () => {
    const folders = await heldFolders();
    const file = folders.output.shown(LOG);
    const log = createLogReporter(folders, undefined);
    for (const event of events) log.report(event);
    log.close();
    log.close();
    log.report({ kind: 'output', step: 'x', line: 'too late' });
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''))).toEqual([
      '== pre/x',
      'pre/x $ tool red',
      'pre/x | abc',
      'pre/x warning: look\\x1b[0m',
      'warning: before any step',
      'artifact a.tar 5 bytes sha256 ab',
      '== pre/x done after 1.3 s',
      'command: false',
      'failed: pre/x: it broke',
    ]);
  });

  test.each([
    ['\u001b]0;title\u0007x', '0;titlex'],
    ['a\tb\nc', 'a\tb\nc'],
    ['\u001b[38;5;1mred\u001b[K', 'red'],
    ['\u001bc\u0000\u007f\u0085', 'c'],
    ['grün €', 'grün €'],
    ['\r\n', '\n'],
  ])('plain text of %j', (text, expected) => {
    expect(plainText(text)).toBe(expected);
  });

  test('times and titles', () => {
    expect([0, 9.94, 10, 75.6].map(formatSeconds)).toEqual(['0.0 s', '9.9 s', '10 s', '76 s']);
    expect(stepTitle({ kind: 'step-start', step: 'config', index: 1, total: 0 })).toBe('[1] config');
  });
});

describe('the question', () => {
  test('on disk, with nothing to replace', () => {
    expect(confirmationText({ config: 'built-in base image', output: '/o', tmpfsSize: 0, replaced: [] })).toBe(
      'Configuration: built-in base image\nOutput folder: /o\nTmpfs:         no, the tree is built in the output folder\n',
    );
  });

  test('without a terminal it is a usage error that names --no-confirm', async () => {
    const before = Object.getOwnPropertyDescriptor(process.stdin, 'isTTY');
    Object.defineProperty(process.stdin, 'isTTY', { value: false, configurable: true });
    const asked = confirm({ config: 'c', output: 'o', tmpfsSize: 0, replaced: [] }, new AbortController().signal);
    await expect(asked).rejects.toMatchObject({
      message: 'there is no terminal to ask on; --no-confirm builds without a question',
      exitCode: 2,
    });
    if (before === undefined) Reflect.deleteProperty(process.stdin, 'isTTY');
    else Object.defineProperty(process.stdin, 'isTTY', before);
  });
});

describe('the tmpfs', () => {
  test('what was asked for, however small', async () => {
    expect(await planTmpfs(true, 64 * 1024 ** 2, '/')).toBe(64 * 1024 ** 2);
  });

  test('one that does not fit is refused with a way out', async () => {
    await expect(planTmpfs(true, 2 ** 50, '/')).rejects.toMatchObject({
      message: expect.stringMatching(/^a tmpfs of 1024\.0 TiB does not fit into the .* of memory that are free$/),
      hint: 'give --tmpfs-size less, or build on disk with --no-tmpfs',
      exitCode: 3,
      step: 'preflight',
    });
  });

  test('without a size: 80 % of what is free, or a refusal if that is too little', async () => {
    const most = (await availableMemory()) * 0.8;
    const outcome = await planTmpfs(true, undefined, '/').catch((error: unknown) => error);
    if (most > SMALLEST_BUILD * 1.1) {
      expect(outcome).toBeGreaterThan(most * 0.8);
      expect(outcome).toBeLessThan(most * 1.2);
    } else if (most < SMALLEST_BUILD * 0.9) {
      expect(outcome).toMatchObject({ hint: 'build on disk with --no-tmpfs', message: expect.stringContaining('a build needs') });
    } else expect(outcome).toBeDefined();
  });

  test('on disk, where nothing is free, is refused with figures', async () => {
    // No file can be stored in /proc: it has no free block.
    await expect(planTmpfs(false, undefined, '/proc')).rejects.toMatchObject({
      message: 'only 0 bytes free on the disk of /proc, a build needs 1.3 GiB',
      exitCode: 3,
    });
  });
});

describe('stopping', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function fakeSandbox() {
    const done: string[] = [];
    return {
      done,
      pid: 1,
      silent: new Promise<never>(() => {}),
      release: () => {},
      ended: new Promise<never>(() => {}),
      terminal: undefined,
      stop: () => void done.push('stop'),
      kill: () => void done.push('kill'),
    };
  }

  test('a build that does not end within 5 s is killed', () => {
    const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
    stopper.attach(sandbox);
    stopper.stop('interrupted by SIGINT', 130);
    vi.advanceTimersByTime(4999);
    expect(sandbox.done).toEqual(['stop']);
    vi.advanceTimersByTime(1);
    expect(sandbox.done).toEqual(['stop', 'kill']);
  });

  test('one that has ended is left alone', () => {
    const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
    const release = stopper.attach(sandbox);
    stopper.stop('interrupted by SIGINT', 130);
    release();
    vi.advanceTimersByTime(60_000);
    stopper.stop('interrupted by SIGINT', 130);
    expect(sandbox.done).toEqual(['stop']);
  });

  test('a stop before the sandbox ends it as soon as it is there', () => {
    const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
    stopper.stop('interrupted by SIGTERM', 143);
    expect(stopper.signal.reason).toMatchObject({ message: 'interrupted by SIGTERM', exitCode: 143, step: 'preflight' });
    stopper.attach(sandbox);
    expect(sandbox.done).toEqual(['stop']);
  });

  test('what does not come back is left behind: 5 s after a second call, at a third, or a minute after the first', () => {
    const ended: number[] = [];
    const stopper = (...waits: readonly number[]): number[] => {
      const one = new Stopper((code) => ended.push(code));
      for (const [at, wait] of waits.entries()) {
        one.stop('interrupted by SIGINT', at === 0 ? 130 : 143);
        vi.advanceTimersByTime(wait);
      }
      vi.clearAllTimers();
      return ended.splice(0);
    };
    expect([stopper(59_999), stopper(60_000), stopper(0, 4999), stopper(0, 5000), stopper(0, 0, 0)]).toEqual([[], [130], [], [130], [130]]);
  });

  test('the time limit: exit code 124', () => {
    const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
    stopper.attach(sandbox);
    stopper.limit(90_000);
    vi.advanceTimersByTime(89_999);
    expect(stopper.reason).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(stopper.reason).toEqual({ message: 'not done within the time limit of 90 s', exitCode: 124 });
    expect(sandbox.done).toEqual(['stop']);
  });

  test('a limit of months is not one of a millisecond', () => {
    const stopper = new Stopper();
    stopper.limit(2 ** 40);
    vi.advanceTimersByTime(86_400_000);
    expect(stopper.reason).toBeUndefined();
  });

  test('the first reason stays', () => {
    const stopper = new Stopper();
    stopper.stop('not done within the time limit of 1 s', 124);
    stopper.stop('interrupted by SIGINT', 130);
    expect(stopper.reason?.exitCode).toBe(124);
    expect(stopper.signal.reason).toMatchObject({ exitCode: 124 });
  });
});
