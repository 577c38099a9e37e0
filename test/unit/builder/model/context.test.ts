import { expect, test } from 'vitest';
import { StepClock } from '../../../../src/builder/model/context.ts';
import type { BuildEvent } from '../../../../src/messages/events.ts';

test('the clock of the steps reports numbers, times and the step that fails', async () => {
  const events: BuildEvent[] = [];
  const clock = new StepClock((event) => events.push(event));
  expect(await clock.run('config', async () => 5)).toBe(5);
  clock.plan(['config', 'bootstrap']);
  await expect(clock.run('bootstrap', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  clock.warn('careful');
  expect(events).toEqual([
    { kind: 'step-start', step: 'config', index: 1, total: 0 },
    { kind: 'step-end', step: 'config', ok: true, seconds: expect.any(Number) },
    { kind: 'plan', steps: ['config', 'bootstrap'] },
    { kind: 'step-start', step: 'bootstrap', index: 2, total: 2 },
    { kind: 'step-end', step: 'bootstrap', ok: false, seconds: expect.any(Number) },
    { kind: 'warning', step: 'bootstrap', text: 'careful' },
  ]);
  expect(clock.records.map(({ step }) => step)).toEqual(['config', 'bootstrap']);
  expect(clock.current).toBe('bootstrap');
});
