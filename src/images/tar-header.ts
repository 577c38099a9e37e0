import type { FileType } from '../records/mtree.ts';
import { ImageError } from './bytes.ts';
import { isTar } from './recognise.ts';

/** Records of an extended header (pax); a character for each byte. */
export type Pax = ReadonlyMap<string, string>;

/** The header of a member. */
export interface Header {
  readonly kind: FileType | 'hard-link' | 'pax' | 'global' | 'long-name' | 'long-link' | 'other';
  /** As lists of files name it: `.`, or `./` and more. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, as pax writes them. */
  readonly mtime: string;
  /** Bytes that follow. */
  readonly size: number;
  /** Bytes of the file. */
  readonly realSize: number;
  readonly isSparse: boolean;
  /** What is left out are holes as GNU's pax format 1.0 writes them. */
  readonly hasMap: boolean;
  /** What a link leads to; of a hard link, the path of the file. */
  readonly link: string;
  readonly device: string;
}

const kindsOfFlags: Readonly<Record<string, Header['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hard-link',
  '2': 'link',
  '3': 'char',
  '4': 'block',
  '5': 'dir',
  '6': 'fifo',
  x: 'pax',
  g: 'global',
  L: 'long-name',
  K: 'long-link',
};

/** Reads a header block; `count`: members before it. */
export function headerOf(block: Buffer, pax: Pax, count: number): Header {
  if (!isTar(block)) throw new ImageError(`is damaged: what follows its first ${count} members is none`);
  const text = (from: number, length: number): string => block.toString('latin1', from, from + length).replace(/\0.*$/s, '');
  const flag = block.toString('latin1', 156, 157);
  // GNU's own format has other things in the place of the prefix.
  const isUstar = text(257, 5) === 'ustar';
  const prefix = text(257, 6) === 'ustar' ? text(345, 155) : '';
  const name = pax.get('path') ?? (prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`);
  const found = kindsOfFlags[flag] ?? 'other';
  const isMeta = found === 'pax' || found === 'global' || found === 'long-name' || found === 'long-link';
  const kind = found === 'file' && name.endsWith('/') ? 'dir' : found;
  const paxNumber = (key: string, otherwise: number): number => {
    const said = isMeta ? undefined : pax.get(key);
    return said === undefined ? otherwise : checked(Number(said));
  };
  const hasContent = isMeta || kind === 'file' || kind === 'other' || kind === 'dir';
  const size = hasContent ? paxNumber('size', number(block, 124, 12)) : 0;
  const sparseSize = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size');
  const isSparse = kind === 'file' && (flag === 'S' || sparseSize !== undefined);
  const link = pax.get('linkpath') ?? text(157, 100);
  return {
    kind,
    path: pathOf(pax.get('GNU.sparse.name') ?? name),
    mode: number(block, 100, 8) & 0o7777,
    uid: paxNumber('uid', number(block, 108, 8)),
    gid: paxNumber('gid', number(block, 116, 8)),
    mtime: pax.get('mtime') ?? String(number(block, 136, 12, true)),
    size,
    realSize: flag === 'S' ? number(block, 483, 12) : sparseSize === undefined ? size : checked(Number(sparseSize)),
    isSparse,
    hasMap: isSparse && flag !== 'S' && pax.get('GNU.sparse.major') === '1' && pax.get('GNU.sparse.minor') === '0',
    link: kind === 'hard-link' ? pathOf(link) : link,
    device: `${isUstar ? number(block, 329, 8) : 0},${isUstar ? number(block, 337, 8) : 0}`,
  };
}

/** `./a/b` of `a/b`, `./a//b/` and `/a/b`. */
function pathOf(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return ['.', ...parts].join('/');
}

/** A number in octal digits, or, with the first bit set, in binary. A time alone may be before 1970. */
function number(block: Buffer, from: number, length: number, canBeNegative = false): number {
  const field = block.subarray(from, from + length);
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    const start = BigInt(first === 0xff ? -1 : first & 0x7f);
    return checked(Number(field.subarray(1).reduce((sum, byte) => sum * 256n + BigInt(byte), start)), canBeNegative);
  }
  const digits = field.toString('latin1').replace(/\0.*$/s, '').trim();
  if (!/^[0-7]*$/.test(digits)) throw new ImageError('is damaged: a header has no number where one belongs');
  return checked(digits === '' ? 0 : Number.parseInt(digits, 8));
}

function checked(value: number, canBeNegative = false): number {
  if (!Number.isSafeInteger(value) || (value < 0 && !canBeNegative))
    throw new ImageError('is damaged: a header has a number that cannot be');
  return value;
}

/** Reads the records of an extended header: `LENGTH KEY=VALUE` and the end of the line. */
export function parsePax(content: Buffer): Map<string, string> {
  const found = new Map<string, string>();
  const text = content.toString('latin1');
  for (let at = 0; at < text.length; ) {
    const [, digits = ''] = /^(\d{1,7}) /.exec(text.slice(at, at + 9)) ?? [];
    const length = Number(digits);
    const record = text.slice(at + digits.length + 1, at + length - 1);
    const sign = record.indexOf('=');
    if (length < digits.length + 3 || at + length > text.length || text[at + length - 1] !== '\n' || sign < 1)
      throw new ImageError('is damaged: an extended header cannot be read');
    found.set(record.slice(0, sign), record.slice(sign + 1));
    at += length;
  }
  return found;
}

/** A time of pax (`-1.5`) as lists of files have it: rounded towards the past. */
export function timeOfPax(text: string): string {
  const [, sign = '', seconds, fraction = ''] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (seconds === undefined) throw new ImageError('is damaged: a header has no time where one belongs');
  const nano = fraction.slice(0, 9).padEnd(9, '0');
  if (sign === '' || Number(seconds) + Number(nano) === 0) return `${Number(seconds)}.${nano}`;
  if (Number(nano) === 0) return `-${Number(seconds)}.${nano}`;
  return `-${Number(seconds) + 1}.${String(1_000_000_000 - Number(nano)).padStart(9, '0')}`;
}
