import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { BuilderError, CommandError, InterruptedError } from '../../../src/errors.ts';
import type { BuildEvent } from '../../../src/messages/events.ts';
import { sha256WhileWritten } from '../../../src/system/files.ts';
import { LineSplitter } from '../../../src/system/lines.ts';
import { formatSize, parseSize, parseTime } from '../../../src/system/memory.ts';
import { type Command, createRunner } from '../../../src/system/runner.ts';
import { withScope } from '../../../src/system/scope.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const events: BuildEvent[] = [];
const stop = new AbortController();
const runner = createRunner({ report: (event) => events.push(event), signal: stop.signal, currentStep: () => 'test' });
const bash = (script: string, more: Partial<Command> = {}): Command => ({
  label: 'the script',
  file: 'bash',
  args: ['-c', script],
  ...more,
});

describe('runner', () => {
  test('a failure names command, code and last output', async () => {
    const error = await runner
      .run(bash('for i in {1..50}; do echo line $i; done; echo bad >&2; exit 3'))
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({ message: 'the script failed with exit code 3', step: 'test', commandExitCode: 3 });
    expect(error instanceof CommandError && error.outputTail).toHaveLength(40);
    expect(error instanceof CommandError && error.details[0]).toMatch(/^command: bash -c /);
  });

  test.each([
    ['kill -9 $$', 'the script was killed by SIGKILL'],
    ['sleep 30', 'the script did not end within 1 s'],
  ])('%s', async (script, message) => {
    await expect(runner.run(bash(script, { timeout: 500 }))).rejects.toThrow(message);
  });

  test('a program that does not exist', async () => {
    await expect(runner.run({ label: 'nothing', file: 'no-such-program', args: [] })).rejects.toThrow('nothing could not be started');
  });

  test('output becomes events, line by line', async () => {
    events.length = 0;
    await runner.run(bash('printf "a\\nb\\rc\\nlast"'));
    expect(events).toEqual([
      { kind: 'command', step: 'test', line: expect.stringContaining('bash -c') },
      { kind: 'output', step: 'test', line: 'a' },
      { kind: 'output', step: 'test', line: 'c' },
      { kind: 'output', step: 'test', line: 'last' },
    ]);
  });

  test('the environment is the small one, input is empty, there is no terminal', async () => {
    process.env.LEAKED = 'yes';
    const text = await runner.capture(
      bash('env | cut -d= -f1 | sort | tr "\\n" " "; cat; (: </dev/tty) 2>/dev/null || echo none', { env: { MORE: '1' } }),
    );
    expect(text).toBe('HOME LC_ALL MORE PATH PWD SHLVL TERM TMPDIR _ none\n');
  });

  test('descriptor 3 is for status lines', async () => {
    const lines: string[] = [];
    await runner.run(bash('echo one >&3; echo two >&3', { onStatus: (line) => lines.push(line) }));
    expect(lines).toEqual(['one', 'two']);
  });

  test('other exit codes can be allowed', async () => {
    expect((await runner.run(bash('exit 4', { okExitCodes: [4] }))).exitCode).toBe(4);
  });

  test('an abort ends the whole group, also what ignores SIGTERM', async () => {
    const abort = new AbortController();
    const file = path.join(tempRoot(), 'pid');
    const own = createRunner({ report: () => {}, signal: abort.signal, currentStep: () => '' });
    const running = own.run(bash(`trap '' TERM; bash -c 'trap "" TERM; echo $$ >${file}; sleep 60' & wait`));
    const waiting = setInterval(() => {
      if (!existsSync(file) || readFileSync(file, 'utf8') === '') return;
      clearInterval(waiting);
      abort.abort(new InterruptedError('stopped', 130));
    }, 20);
    await expect(running).rejects.toThrow('stopped');
    // Dying takes its time, and so does who reaps an orphan: a zombie has ended too.
    const stat = `/proc/${readFileSync(file, 'utf8').trim()}/stat`;
    await expect.poll(() => (existsSync(stat) ? readFileSync(stat, 'utf8') : ') Z '), { timeout: 5000 }).toContain(') Z ');
  });
});

test('lines: pieces, carriage returns, characters across chunks, long lines', () => {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line), 10);
  const euro = Buffer.from('€');
  splitter.push(Buffer.from('a'));
  splitter.push(Buffer.concat([Buffer.from('b\nx\ry\r\n'), euro.subarray(0, 1)]));
  splitter.push(Buffer.concat([euro.subarray(1), Buffer.from('\n0123456789abc\n\nend')]));
  splitter.end();
  expect(lines).toEqual(['ab', 'y', '€', '0123456789', 'abc', '', 'end']);
});

describe('scope', () => {
  test('releases newest first, keeps the first error, adds failing releases', async () => {
    const order: string[] = [];
    const error = await withScope(async (scope) => {
      scope.defer('a', async () => void order.push(await Promise.resolve('a')));
      scope.defer('b', () => Promise.reject(new Error('busy')));
      scope.defer('c', async () => void order.push(await Promise.resolve('c')));
      throw await Promise.resolve(new BuilderError('first'));
    }).catch((thrown: unknown) => thrown);
    expect(order).toEqual(['c', 'a']);
    expect(error).toMatchObject({ message: 'first', details: ['also:    clean-up: b: busy'] });
  });

  test('a failing release alone is an error', async () => {
    await expect(
      withScope((scope) => {
        scope.defer('x', () => Promise.reject(new Error('busy')));
        return Promise.resolve(1);
      }),
    ).rejects.toThrow('clean-up: x: busy');
  });
});

test.each([
  ['512M', 512 * 1024 ** 2],
  ['1.5GiB', 1.5 * 1024 ** 3],
  ['100', 100],
  ['2k', 2048],
  ['M', undefined],
  ['-1', undefined],
])('size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ['90', 90_000],
  ['5s', 5000],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['1d', undefined],
])('time %s', (text, milliseconds) => {
  expect(parseTime(text)).toBe(milliseconds);
});

test('sizes for people', () => {
  expect([10, 1536, 3 * 1024 ** 3].map(formatSize)).toEqual(['10 bytes', '1.5 KiB', '3.0 GiB']);
});

describe('a digest of what is being written', () => {
  const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

  test('a file that comes later and grows', async () => {
    const file = path.join(tempRoot(), 'grows');
    const write = async (): Promise<void> => {
      for (const part of ['one', 'two', 'three']) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        appendFileSync(file, part);
      }
    };
    expect(await sha256WhileWritten(file, write())).toBe(digest('onetwothree'));
  });

  test('no file, and a writer that fails', async () => {
    const file = path.join(tempRoot(), 'none');
    await expect(sha256WhileWritten(file, Promise.resolve())).rejects.toThrow('ENOENT');
    writeFileSync(file, 'half');
    expect(await sha256WhileWritten(file, Promise.reject(new Error('full')))).toBe(digest('half'));
  });
});
