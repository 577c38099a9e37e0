import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { isSealed, readSealed, seal, unseal, writeSealed } from '../../../src/store/sealed.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const schema = z.object({ a: z.number(), text: z.string() });
const value = { a: 1, text: 'ä"}' };

test('what was sealed is read again; it stays JSON that others can read', async () => {
  const file = path.join(tempRoot(), 'x');
  await writeSealed(file, value);
  expect(await readSealed(file, schema)).toEqual(value);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ ...value, seal: expect.stringMatching(/^[0-9a-f]{64}$/) });
});

test('not one byte may be another, nor one less or more', () => {
  const text = seal(value);
  for (let at = 0; at < text.length; at += 1) {
    expect(unseal(`${text.slice(0, at)}${text[at] === 'x' ? 'y' : 'x'}${text.slice(at + 1)}`), `at ${at}`).toBeUndefined();
    expect(unseal(text.slice(0, at)), `cut at ${at}`).toBeUndefined();
  }
  for (const other of [`${text} `, ` ${text}`, text + text, '', '{}']) expect(unseal(other)).toBeUndefined();
});

test.each<[string, (file: string) => void]>([
  ['nothing', () => {}],
  ['a folder', (file) => mkdirSync(file)],
  ['a pipe', (file) => execFileSync('mkfifo', [file])],
  ['a link to a right one', (file) => symlinkSync(`${file}.right`, file)],
  [
    'a very large file',
    (file) => {
      writeFileSync(file, '');
      truncateSync(file, 1024 ** 4);
    },
  ],
  ['another form', (file) => writeFileSync(file, seal({ a: 'x' }))],
])('%s is read as nothing', async (_, make) => {
  const file = path.join(tempRoot(), 'x');
  writeFileSync(`${file}.right`, seal(value));
  make(file);
  expect(await readSealed(file, schema)).toBeUndefined();
  expect(await isSealed(`${file}.right`)).toBe(true);
});
