import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { boundOf } from '../../../src/images/bounds.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

test('what a compressed image may become: so many times its size, and so much in any case', async () => {
  const file = path.join(tempRoot(), 'image');
  writeFileSync(file, 'x'.repeat(10));
  expect((await boundOf(file)).bytes).toBe(8 * 1024 ** 3);
  const bound = await boundOf(file, { times: 3, inAnyCase: 20 });
  expect(bound.bytes).toBe(30);
  bound.take(29);
  bound.take(1);
  expect(() => bound.take(1)).toThrow('becomes more than 30 bytes when it is decompressed: it is not read any further');
});
