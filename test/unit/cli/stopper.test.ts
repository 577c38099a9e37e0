import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Stopper } from '../../../src/cli/stopper.ts';

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

test('the first stop asks the build to end, the second kills it, and so does time', () => {
  const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
  const release = stopper.attach(sandbox);
  stopper.stop('interrupted by SIGINT', 130);
  expect(sandbox.done).toEqual(['stop']);
  stopper.stop('interrupted by SIGTERM', 143);
  expect(sandbox.done).toEqual(['stop', 'kill']);
  expect(stopper.reason).toEqual({ message: 'interrupted by SIGINT', exitCode: 130 });
  vi.advanceTimersByTime(5000);
  expect(sandbox.done).toEqual(['stop', 'kill', 'kill']);
  release();
});

test('a build that does not end within 5 s is killed', () => {
  const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
  stopper.attach(sandbox);
  stopper.stop('interrupted by SIGINT', 130);
  vi.advanceTimersByTime(4999);
  expect(sandbox.done).toEqual(['stop']);
  vi.advanceTimersByTime(1);
  expect(sandbox.done).toEqual(['stop', 'kill']);
});

test('a build that has ended is left alone', () => {
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

test('a program that does not come back is left behind: 5 s after a second call, at a third, or a minute after the first', () => {
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

test('a build that reaches its time limit is stopped, with exit code 124', () => {
  const [stopper, sandbox] = [new Stopper(), fakeSandbox()];
  stopper.attach(sandbox);
  stopper.limit(90_000);
  vi.advanceTimersByTime(89_999);
  expect(stopper.reason).toBeUndefined();
  vi.advanceTimersByTime(1);
  expect(stopper.reason).toEqual({ message: 'not done within the time limit of 90 s', exitCode: 124 });
  expect(sandbox.done).toEqual(['stop']);
});

test('a time limit of months is not one of a millisecond', () => {
  const stopper = new Stopper();
  stopper.limit(2 ** 40);
  vi.advanceTimersByTime(86_400_000);
  expect(stopper.reason).toBeUndefined();
});

test('the first reason of a stop stays', () => {
  const stopper = new Stopper();
  stopper.stop('not done within the time limit of 1 s', 124);
  stopper.stop('interrupted by SIGINT', 130);
  expect(stopper.reason?.exitCode).toBe(124);
  expect(stopper.signal.reason).toMatchObject({ exitCode: 124 });
});
