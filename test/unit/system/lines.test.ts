import { expect, test } from 'vitest';
import { LineSplitter } from '../../../src/system/lines.ts';

function split(chunks: readonly (string | Buffer)[], longest?: number): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line), longest);
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  splitter.end();
  return lines;
}

test.each([
  [[], []],
  [['\n\n'], ['', '']],
  [
    ['a', 'b\nc'],
    ['ab', 'c'],
  ],
  [['a\n'], ['a']],
  [
    ['a\r\n', 'b\r', '\n'],
    ['a', 'b'],
  ],
  [['10 %\r50 %\r100 %\n'], ['100 %']],
  [['50 %\r'], ['50 %']],
  [['a\0b\n'], ['a\0b']],
])('%j becomes %j', (chunks, lines) => {
  expect(split(chunks)).toEqual(lines);
});

test('a character that two chunks share', () => {
  const text = Buffer.from('né €\n');
  for (let at = 0; at <= text.length; at += 1) expect(split([text.subarray(0, at), text.subarray(at)])).toEqual(['né €']);
});

test('bytes that are no UTF-8 become a mark, and the line goes on', () => {
  expect(split([Buffer.from([0x61, 0xff, 0x62, 0x0a])])).toEqual(['a\ufffdb']);
});

test('a line without end is cut, whatever the chunks are', () => {
  expect(split(['a'.repeat(25)], 10).map((line) => line.length)).toEqual([10, 10, 5]);
  expect(split(['a'.repeat(25), '\n'], 10).map((line) => line.length)).toEqual([10, 10, 5]);
  expect(split(Array.from('a'.repeat(25)), 10).map((line) => line.length)).toEqual([10, 10, 5]);
  expect(split(['x'.repeat(8192), '\ny'])).toEqual(['x'.repeat(8192), 'y']);
});

test('lines come from pieces, after carriage returns, with characters across chunks, and long ones cut', () => {
  const euro = Buffer.from('€');
  const chunks = [
    'a',
    Buffer.concat([Buffer.from('b\nx\ry\r\n'), euro.subarray(0, 1)]),
    Buffer.concat([euro.subarray(1), Buffer.from('\n0123456789abc\n\nend')]),
  ];
  expect(split(chunks, 10)).toEqual(['ab', 'y', '€', '0123456789', 'abc', '', 'end']);
});
