import { expect, test } from 'vitest';
import { BuilderError } from '../../../src/errors.ts';
import { withScope } from '../../../src/system/scope.ts';

const caught = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) => error,
  );
const busy = (): Promise<void> => Promise.reject(new Error('busy'));

test('the result is that of the body, and all is released before it is there', async () => {
  const order: string[] = [];
  const note = (text: string) => async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push(text);
  };
  const result = await withScope(async (scope) => {
    scope.defer('first', note('first'));
    scope.defer('second', note('second'));
    order.push('body');
    return 7;
  });
  expect(result).toBe(7);
  expect(order).toEqual(['body', 'second', 'first']);
});

test('a body that throws half-way releases what it has acquired so far, and nothing else', async () => {
  const order: string[] = [];
  const error = await caught(
    withScope(async (scope) => {
      scope.defer('a', async () => void order.push('a'));
      if (order.length === 0) throw new BuilderError('half-way');
      scope.defer('b', async () => void order.push('b'));
    }),
  );
  expect(order).toEqual(['a']);
  expect(error).toMatchObject({ message: 'half-way', details: [] });
});

test('every failing release is told, in the order of the releases', async () => {
  const error = await caught(
    withScope(async (scope) => {
      scope.defer('a', busy);
      scope.defer('b', () => Promise.reject('odd'));
      throw new BuilderError('first', { details: ['command: x'] });
    }),
  );
  expect(error).toMatchObject({ details: ['command: x', 'also:    clean-up: b: odd', 'also:    clean-up: a: busy'] });
});

test('failing releases alone are one error', async () => {
  const error = await caught(
    withScope(async (scope) => {
      scope.defer('a', busy);
      scope.defer('b', busy);
    }),
  );
  expect(error).toBeInstanceOf(BuilderError);
  expect(error).toMatchObject({ message: 'clean-up: b: busy; clean-up: a: busy', step: 'clean-up', exitCode: 1 });
});

test('an error of another kind stays the one thrown', async () => {
  const bug = new TypeError('oops');
  expect(await caught(withScope(() => Promise.reject(bug)))).toBe(bug);
});

test('a failing release beside an error of another kind is not lost', async () => {
  const error = await caught(
    withScope(async (scope) => {
      scope.defer('mount', busy);
      throw new TypeError('oops');
    }),
  );
  // Where it stands is open: in the message, in details or in a cause.
  const { message, details, cause } = error as { message: string; details?: unknown; cause?: unknown };
  expect(JSON.stringify([message, details, String(cause)])).toContain('clean-up: mount: busy');
});

test('scopes in scopes: the inner one is released first', async () => {
  const order: string[] = [];
  await withScope(async (outer) => {
    outer.defer('outer', async () => void order.push('outer'));
    await withScope(async (inner) => inner.defer('inner', async () => void order.push('inner')));
    order.push('between');
  });
  expect(order).toEqual(['inner', 'between', 'outer']);
});

test('a scope releases the newest first, keeps the first error, adds failing releases', async () => {
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

test('one failing release alone is an error', async () => {
  await expect(
    withScope((scope) => {
      scope.defer('x', () => Promise.reject(new Error('busy')));
      return Promise.resolve(1);
    }),
  ).rejects.toThrow('clean-up: x: busy');
});
