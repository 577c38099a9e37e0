import { expect, test } from 'vitest';
import { derivedUuid } from '../../../src/system/uuid.ts';

test.each([
  ['', 'e3b0c442-98fc-8c14-aafb-f4c8996fb924'],
  ['base trixie amd64 7', undefined],
  ['ü', undefined],
])('the UUID of %j', (text, expected) => {
  const uuid = derivedUuid(text);
  expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(derivedUuid(text)).toBe(uuid);
  expect(derivedUuid(`${text} `)).not.toBe(uuid);
  if (expected !== undefined) expect(uuid).toBe(expected);
});
