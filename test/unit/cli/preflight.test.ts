import { expect, test } from 'vitest';
import { planTmpfs, SMALLEST_BUILD } from '../../../src/cli/preflight.ts';
import { availableMemory } from '../../../src/system/memory.ts';

test('a tmpfs is as large as was asked for, however small', async () => {
  expect(await planTmpfs(true, 64 * 1024 ** 2, '/')).toBe(64 * 1024 ** 2);
});

test('a build on disk has no tmpfs', async () => {
  expect(await planTmpfs(false, undefined, '/')).toBe(0);
});

test('a tmpfs that does not fit is refused with figures and a way out', async () => {
  await expect(planTmpfs(true, 2 ** 50, '/')).rejects.toMatchObject({
    message: expect.stringMatching(/^a tmpfs of 1024\.0 TiB does not fit into the .* of memory that are free$/),
    hint: 'give --tmpfs-size less, or build on disk with --no-tmpfs',
    exitCode: 3,
    step: 'preflight',
  });
  await expect(planTmpfs(true, 1e15, '/')).rejects.toThrow(/^a tmpfs of 909\.5 TiB does not fit into the .* of memory that are free$/);
});

test('a tmpfs without a size has 80 % of what is free, or is refused if that is too little', async () => {
  const most = (await availableMemory()) * 0.8;
  const outcome = await planTmpfs(true, undefined, '/').catch((error: unknown) => error);
  if (most > SMALLEST_BUILD * 1.1) {
    expect(outcome).toBeGreaterThan(most * 0.8);
    expect(outcome).toBeLessThan(most * 1.2);
  } else if (most < SMALLEST_BUILD * 0.9) {
    expect(outcome).toMatchObject({ hint: 'build on disk with --no-tmpfs', message: expect.stringContaining('a build needs') });
  } else expect(outcome).toBeDefined();
});

test('a build on a disk where nothing is free is refused with figures', async () => {
  // No file can be stored in /proc: it has no free block.
  await expect(planTmpfs(false, undefined, '/proc')).rejects.toMatchObject({
    message: 'only 0 bytes free on the disk of /proc, a build needs 1.3 GiB',
    exitCode: 3,
  });
});
