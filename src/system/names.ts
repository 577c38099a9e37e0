import { readdir } from 'node:fs/promises';

/**
 * File names are bytes. In a string, a byte that is no part of valid UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF
 * (Python's surrogateescape, PEP 383): such a name can be compared, sorted and written to JSON like any other, and
 * `onDisk` gives it back as it was.
 */
const LOWEST = 0xdc00;
const WILD = /[\udc80-\udcff]/u;

/** True if a name holds bytes that are not UTF-8. */
export function isWild(name: string): boolean {
  return WILD.test(name);
}

/** Text of any bytes; `bytesOf` gives back the same bytes. */
export function textOf(bytes: Buffer): string {
  const plain = bytes.toString('utf8');
  // What Node cannot read becomes U+FFFD, which may stand in a text of its own right, too.
  if (!plain.includes('\ufffd')) return plain;
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at] ?? 0;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const piece = bytes.subarray(at, at + length);
    const read = piece.toString('utf8');
    const isValid = Buffer.from(read).equals(piece) && [...read].length === 1;
    text += isValid ? read : String.fromCharCode(LOWEST + lead);
    at += isValid ? length : 1;
  }
  return text;
}

/** The bytes of a text that `textOf` has made. */
export function bytesOf(text: string): Buffer {
  if (!isWild(text)) return Buffer.from(text);
  const pieces = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(pieces.map((piece) => (isWild(piece) ? Buffer.of(piece.charCodeAt(0) - LOWEST) : Buffer.from(piece))));
}

/** A path as the file system takes it. */
export function onDisk(file: string): string | Buffer {
  return isWild(file) ? bytesOf(file) : file;
}

/** Sorts as the C locale does: by bytes. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(bytesOf(a), bytesOf(b));
}

/** The names in a folder, by bytes. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(onDisk(folder), { encoding: 'buffer' })).map(textOf).sort(byBytes);
}

/** Text that others have written, on one line: what could steer a terminal, and what is not UTF-8, is written as `\x1b`. */
export function plainWord(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udfff]/gu, escaped);
}

/** The same for text of several lines: line feeds and tabs stay, and so does what only turns the direction of writing. */
export function plainLines(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|[\ud800-\udfff]/gu, escaped);
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  const byte = WILD.test(character) ? code - LOWEST : code;
  return byte < 256 ? `\\x${byte.toString(16).padStart(2, '0')}` : `\\u${byte.toString(16)}`;
}
