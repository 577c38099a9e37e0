import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { CommandError, InterruptedError } from '../../../src/errors.ts';
import { type Command, commandLine, howItEnded } from '../../../src/system/runner.ts';
import { fakeCommand, withFakes } from '../../helpers/fake-command.ts';
import { realRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const bash = (script: string, more: Partial<Command> = {}): Command => ({
  label: 'it',
  file: 'bash',
  args: ['--norc', '-c', script],
  ...more,
});

/** True once the process has ended; a zombie has ended too. */
async function hasEnded(pid: string, within = 3000): Promise<boolean> {
  const stat = `/proc/${pid}/stat`;
  for (const end = Date.now() + within; Date.now() < end; ) {
    try {
      if (readFileSync(stat, 'utf8').includes(') Z ')) return true;
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/** The text of a file as soon as it has one. */
async function appearing(file: string): Promise<string> {
  for (const end = Date.now() + 5000; Date.now() < end; ) {
    if (existsSync(file) && readFileSync(file, 'utf8').endsWith('\n')) return readFileSync(file, 'utf8').trim();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${file} has not appeared`);
}

describe('how a command ends', () => {
  test.each([
    ['exit 0', {}, { exitCode: 0, signal: undefined, timedOut: false }],
    ['exit 255', {}, { exitCode: 255, signal: undefined, timedOut: false }],
    ['kill -TERM $$', {}, { exitCode: undefined, signal: 'SIGTERM', timedOut: false }],
    ['exec sleep 30', { timeout: 100 }, { exitCode: undefined, signal: 'SIGTERM', timedOut: true }],
    ['exec sleep 30', { timeout: 100, sandboxed: true }, { exitCode: undefined, signal: 'SIGKILL', timedOut: true }],
  ])('%s', async (script, more, expected) => {
    expect(await realRunner().attempt(bash(script, more))).toMatchObject(expected);
  });

  test('one that handles SIGTERM and exits well has still not ended in time', async () => {
    const command = bash('trap "exit 0" TERM; sleep 30 & wait', { timeout: 300 });
    await expect(realRunner().run(command)).rejects.toThrow('it did not end within 0 s');
  });

  test.each([
    [{ exitCode: 2, signal: undefined, timedOut: false, tail: [] }, 'failed with exit code 2'],
    [{ exitCode: undefined, signal: 'SIGSEGV', timedOut: false, tail: [] }, 'was killed by SIGSEGV'],
    [{ exitCode: undefined, signal: undefined, timedOut: false, tail: [] }, 'could not be started'],
    [{ exitCode: undefined, signal: 'SIGTERM', timedOut: true, tail: [] }, 'did not end within 10 s'],
  ])('%j', (result, text) => {
    expect(howItEnded(bash('', { timeout: 10_000 }), result)).toBe(text);
  });

  test('a failing capture throws, and its standard error is kept', async () => {
    const error = await realRunner()
      .capture(bash('echo out; echo why >&2; exit 1'))
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CommandError);
    expect(error).toMatchObject({ message: 'it failed with exit code 1', outputTail: ['why'], exitCode: 1 });
  });

  test('the tail is the last 40 lines, in order', async () => {
    const { tail } = await realRunner().attempt(bash('seq 1 100'));
    expect([tail.length, tail[0], tail[39]]).toEqual([40, '61', '100']);
  });

  test('a program that is not there is named', async () => {
    const { tail } = await realRunner().attempt({ label: 'x', file: 'no-such-program', args: [] });
    expect(tail).toEqual(['no-such-program: program not found']);
  });
});

describe('what a command gets', () => {
  test('its environment is exactly this', async () => {
    process.env.LEAKED = 'yes';
    const text = await realRunner().capture({ label: 'env', file: 'env', args: [], env: { MORE: 'a\nb', TERM: 'vt100' } });
    expect(text.split('\n').sort()).toEqual(
      ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'TERM=vt100', 'LC_ALL=C.UTF-8', 'TMPDIR=/tmp', 'MORE=a', 'b', ''].sort(),
    );
    delete process.env.LEAKED;
  });

  test('standard input is /dev/null, the folder is /', async () => {
    expect(await realRunner().capture(bash('readlink /proc/self/fd/0; pwd'))).toBe('/dev/null\n/\n');
    expect(await realRunner().capture(bash('pwd', { cwd: '/usr' }))).toBe('/usr\n');
  });

  test('arguments are not read by a shell', async () => {
    const fake = fakeCommand('tool');
    await withFakes(realRunner(), fake).run({ label: 'tool', file: 'tool', args: ['a b', '$(id)', '*', '', "it's", 'x\ny'] });
    expect(fake.calls()).toEqual([['a b', '$(id)', '*', '', "it's", 'x\ny']]);
  });

  test('it is shown as one could type it', async () => {
    const command: Command = { label: 'x', file: 'printf', args: ['%s|', 'a b', '$HOME', "it's", '~', ''] };
    const expected = "a b|$HOME|it's|~||";
    expect(await realRunner().capture(command)).toBe(expected);
    expect(await realRunner().capture(bash(commandLine(command)))).toBe(expected);
  });
});

describe('output', () => {
  test('becomes events of the running step, with the command in front', async () => {
    const { events, ...runner } = realRunner();
    const lines: string[] = [];
    await runner.run(bash('echo one; echo two >&2', { onLine: (line) => lines.push(line) }));
    expect(events[0]).toEqual({ kind: 'command', step: 'test', line: "bash --norc -c 'echo one; echo two >&2'" });
    expect(events.slice(1)).toHaveLength(2);
    expect(lines.sort()).toEqual(['one', 'two']);
  });

  test('what is captured is no event, standard error is', async () => {
    const { events, ...runner } = realRunner();
    expect(await runner.capture(bash('printf "a\\0b"; echo note >&2'))).toBe('a\0b');
    expect(events.slice(1)).toEqual([{ kind: 'output', step: 'test', line: 'note' }]);
  });

  test('lines on descriptor 3 are neither output nor part of the tail', async () => {
    const { events, ...runner } = realRunner();
    const status: string[] = [];
    const { tail } = await runner.run(bash('echo one >&3; printf two >&3; echo out', { onStatus: (line) => status.push(line) }));
    expect(status).toEqual(['one', 'two']);
    expect(tail).toEqual(['out']);
    expect(events.filter(({ kind }) => kind === 'output')).toHaveLength(1);
  });
});

describe('an abort', () => {
  function abortable() {
    const abort = new AbortController();
    const file = path.join(tempRoot(), 'pid');
    return { abort, file, runner: realRunner(abort.signal) };
  }

  test('after it nothing is started', async () => {
    const { abort, file, runner } = abortable();
    abort.abort(new InterruptedError('stopped', 143));
    await expect(runner.run(bash(`echo $$ >${file}`))).rejects.toMatchObject({ message: 'stopped', exitCode: 143 });
    expect(existsSync(file)).toBe(false);
    expect(runner.events).toEqual([]);
  });

  test('SIGTERM comes first: a program may end in good order', async () => {
    const { abort, file, runner } = abortable();
    const running = runner.run(bash(`trap 'echo tidy >${file}.done; exit 0' TERM; sleep 30 & echo $$ >${file}; wait`));
    await appearing(file);
    abort.abort(new InterruptedError('stopped', 130));
    await expect(running).rejects.toThrow('stopped');
    expect(readFileSync(`${file}.done`, 'utf8')).toBe('tidy\n');
  });

  test('a grandchild ends too', async () => {
    const { abort, file, runner } = abortable();
    const running = runner.run(bash(`bash -c 'sleep 60 & echo $! >${file}; wait' & wait`));
    const pid = await appearing(file);
    abort.abort(new InterruptedError('stopped', 130));
    await expect(running).rejects.toThrow('stopped');
    expect(await hasEnded(pid)).toBe(true);
  });

  test('a grandchild that ignores SIGTERM and has closed its output ends too', async () => {
    const { abort, file, runner } = abortable();
    const running = runner.run(bash(`(trap '' TERM; echo $BASHPID >${file}; exec sleep 20 >/dev/null 2>&1) & wait`));
    const pid = await appearing(file);
    abort.abort(new InterruptedError('stopped', 130));
    await expect(running).rejects.toThrow('stopped');
    const ended = await hasEnded(pid);
    if (!ended) process.kill(Number(pid), 'SIGKILL');
    expect(ended).toBe(true);
  });
});

test('a failed command is an error with its command line, exit code and last output', async () => {
  const error = await realRunner()
    .run(bash('for i in {1..50}; do echo line $i; done; echo bad >&2; exit 3'))
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(CommandError);
  expect(error).toMatchObject({ message: 'it failed with exit code 3', step: 'test', commandExitCode: 3 });
  expect(error instanceof CommandError && error.outputTail).toHaveLength(40);
  expect(error instanceof CommandError && error.details[0]).toMatch(/^command: bash --norc -c /);
});

test.each([
  ['kill -9 $$', 'it was killed by SIGKILL'],
  ['sleep 30', 'it did not end within 1 s'],
])('the script %j throws: %s', async (script, message) => {
  await expect(realRunner().run(bash(script, { timeout: 500 }))).rejects.toThrow(message);
});

test('a program that does not exist could not be started', async () => {
  await expect(realRunner().run({ label: 'nothing', file: 'no-such-program', args: [] })).rejects.toThrow('nothing could not be started');
});

test('exit codes other than 0 can be allowed', async () => {
  expect((await realRunner().run(bash('exit 4', { okExitCodes: [4] }))).exitCode).toBe(4);
});

test('the output of a command becomes events, line by line', async () => {
  const { events, ...runner } = realRunner();
  await runner.run(bash('printf "a\\nb\\rc\\nlast"'));
  expect(events).toEqual([
    { kind: 'command', step: 'test', line: expect.stringContaining('bash --norc -c') },
    { kind: 'output', step: 'test', line: 'a' },
    { kind: 'output', step: 'test', line: 'c' },
    { kind: 'output', step: 'test', line: 'last' },
  ]);
});

test('a shell gets these variables, an empty input and no terminal', async () => {
  process.env.LEAKED = 'yes';
  const text = await realRunner().capture(
    bash('env | cut -d= -f1 | sort | tr "\\n" " "; cat; (: </dev/tty) 2>/dev/null || echo none', { env: { MORE: '1' } }),
  );
  expect(text).toBe('HOME LC_ALL MORE PATH PWD SHLVL TERM TMPDIR _ none\n');
  delete process.env.LEAKED;
});

test('an abort ends the whole group of a command, even one that ignores SIGTERM', async () => {
  const abort = new AbortController();
  const file = path.join(tempRoot(), 'pid');
  const running = realRunner(abort.signal).run(bash(`trap '' TERM; bash -c 'trap "" TERM; echo $$ >${file}; sleep 60' & wait`));
  const pid = await appearing(file);
  abort.abort(new InterruptedError('stopped', 130));
  await expect(running).rejects.toThrow('stopped');
  expect(await hasEnded(pid, 5000)).toBe(true);
});
