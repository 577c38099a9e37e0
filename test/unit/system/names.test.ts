import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256File, statOrUndefined } from '../../../src/system/files.ts';
import { byBytes, bytesOf, isWild, namesIn, onDisk, plainLines, plainWord, textOf } from '../../../src/system/names.ts';
import { randomFrom } from '../../helpers/random.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

describe('names are bytes', () => {
  test.each<[string, string]>([
    ['plain', 'plain'],
    ['caf\xc3\xa9', 'café'],
    ['caf\xe9', 'caf\udce9'],
    ['\xef\xbf\xbd', '\ufffd'],
    ['\xef\xbf\xbd\xff', '\ufffd\udcff'],
    ['\xed\xb2\x80', '\udced\udcb2\udc80'],
    ['\xf0\x9f\x90\xa7\x80', '🐧\udc80'],
    ['\xc3', '\udcc3'],
    ['\xc0\xaf', '\udcc0\udcaf'],
  ])('%j', (bytes, text) => {
    const name = Buffer.from(bytes, 'latin1');
    expect(textOf(name)).toBe(text);
    expect(bytesOf(text)).toEqual(name);
    expect(isWild(text)).toBe(/[\udc80-\udcff]/u.test(text));
  });

  test('any bytes come back', () => {
    const random = randomFrom(7);
    for (let at = 0; at < 2000; at += 1) {
      const bytes = Buffer.from(
        Array.from(
          { length: 1 + Math.floor(random() * 8) },
          () => [0x41, 0xc3, 0xa9, 0xed, 0xb2, 0xf0, 0x9f, 0xff][Math.floor(random() * 8)] ?? 0,
        ),
      );
      expect(bytesOf(textOf(bytes))).toEqual(bytes);
    }
  });

  test('a folder and its files are found by them, sorted by bytes', async () => {
    const root = tempRoot({ z: '', é: '' });
    mkdirSync(Buffer.from(`${root}/d\xe9`, 'latin1'));
    writeFileSync(Buffer.from(`${root}/d\xe9/\xff`, 'latin1'), 'x');
    expect(await namesIn(root)).toEqual(['d\udce9', 'z', 'é']);
    expect(await namesIn(`${root}/d\udce9`)).toEqual(['\udcff']);
    expect((await statOrUndefined(`${root}/d\udce9/\udcff`))?.size).toBe(1);
    expect(await sha256File(`${root}/d\udce9/\udcff`)).toMatch(/^2d711642/);
    expect(onDisk('é')).toBe('é');
    expect(byBytes('\udcc3', 'é')).toBeLessThan(0);
    expect(readdirSync(root).length).toBe(3);
  });
});

test.each<[string, string, string]>([
  ['\x1b]0;x\x07\x1b[2J', '\\x1b]0;x\\x07\\x1b[2J', '\\x1b]0;x\\x07\\x1b[2J'],
  ['a\n\tb', 'a\\x0a\\x09b', 'a\n\tb'],
  ['\r\x7f\u009b31m', '\\x0d\\x7f\\x9b31m', '\\x0d\\x7f\\x9b31m'],
  ['caf\udce9', 'caf\\xe9', 'caf\\xe9'],
  ['\ud800', '\\ud800', '\\ud800'],
  ['\u202egnp', '\\u202egnp', '\u202egnp'],
  ['\\x1b é 🐧', '\\x1b é 🐧', '\\x1b é 🐧'],
])('%j is shown as text', (text, word, lines) => {
  expect(plainWord(text)).toBe(word);
  expect(plainWord(plainWord(text))).toBe(word);
  expect(plainLines(text)).toBe(lines);
});
