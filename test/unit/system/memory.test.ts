import { expect, test } from 'vitest';
import { availableMemory, formatSize, parseSize, parseTime } from '../../../src/system/memory.ts';

test.each([
  ['1', 1],
  ['0', 0],
  ['1048576', 1024 ** 2],
  ['1k', 1024],
  ['1K', 1024],
  ['1KiB', 1024],
  ['1kB', 1024],
  ['512M', 512 * 1024 ** 2],
  [' 2 G ', 2 * 1024 ** 3],
  ['1.5GiB', 1.5 * 1024 ** 3],
  ['3T', 3 * 1024 ** 4],
  ['', undefined],
  ['G', undefined],
  ['-1G', undefined],
  ['1P', undefined],
  ['1.', undefined],
  ['.5G', undefined],
  ['1,5G', undefined],
  ['1e9', undefined],
  ['0x10', undefined],
  ['1 2', undefined],
  ['80%', undefined],
  ['100', 100],
  ['2k', 2048],
  ['M', undefined],
  ['-1', undefined],
])('the size %j is %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each([
  ['90', 90_000],
  ['90s', 90_000],
  ['15m', 900_000],
  ['2h', 7_200_000],
  [' 1h ', 3_600_000],
  ['0', 0],
  ['', undefined],
  ['1.5h', undefined],
  ['1h30m', undefined],
  ['-5', undefined],
  ['5S', undefined],
  ['1d', undefined],
  ['soon', undefined],
  ['5s', 5000],
  ['2m', 120_000],
  ['1h', 3_600_000],
])('the time %j is %j', (text, milliseconds) => {
  expect(parseTime(text)).toBe(milliseconds);
});

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1.0 KiB'],
  [1.25 * 1024 ** 3, '1.3 GiB'],
  [1024 ** 4, '1.0 TiB'],
  [10, '10 bytes'],
  [1536, '1.5 KiB'],
  [3 * 1024 ** 3, '3.0 GiB'],
  [5000 * 1024 ** 4, '5000.0 TiB'],
])('%d is shown as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

test('memory that is free: some, and no more than there could be', async () => {
  const bytes = await availableMemory();
  expect(bytes).toBeGreaterThan(1024 ** 2);
  expect(Number.isFinite(bytes)).toBe(true);
});
