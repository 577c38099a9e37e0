import type { Hash } from 'node:crypto';
import { ImageError } from './bytes.ts';

const BLOCK = 512;
/** Bytes of the list of what is no hole. */
const LONGEST_MAP = 8 * 1024 ** 2;
/** Bytes of zeros of one file that are hashed: a small tarball may say that there are any number of them. */
const MOST_ZEROS = 4 * 1024 ** 3;
const zeros = Buffer.alloc(1024 ** 2);

/**
 * The content of a member with holes in GNU's pax format 1.0: numbers in decimal digits, one a line, how many pieces there are and of each
 * its offset and its length; padded to whole blocks; then the pieces, one behind the other.
 */
export class SparseContent {
  readonly #size: number;
  readonly #hash: Hash;
  #map = '';
  #pieces: (readonly [offset: number, length: number])[] | undefined;
  /** The piece that comes next, what of it is there, and the place in the file. */
  #piece = 0;
  #taken = 0;
  #at = 0;
  #zeros = 0;

  constructor(size: number, hash: Hash) {
    this.#size = size;
    this.#hash = hash;
  }

  push(content: Buffer): void {
    let bytes = content;
    if (this.#pieces === undefined) bytes = this.#takeMap(content);
    while (bytes.length > 0) {
      const piece = this.#pieces?.[this.#piece];
      if (piece === undefined) throw new ImageError('is damaged: a member with holes has more content than pieces');
      const [offset, length] = piece;
      if (this.#taken === 0) this.#fill(offset);
      const part = bytes.subarray(0, length - this.#taken);
      this.#hash.update(part);
      this.#at += part.length;
      this.#taken += part.length;
      bytes = bytes.subarray(part.length);
      if (this.#taken === length) this.#next();
    }
  }

  /** The digest of the file; undefined: it has too many zeros. */
  digest(): string | undefined {
    if (this.#pieces === undefined || this.#piece < this.#pieces.length) throw new ImageError('is damaged: a member with holes is cut off');
    this.#fill(this.#size);
    return this.#zeros > MOST_ZEROS ? undefined : this.#hash.digest('hex');
  }

  #next(): void {
    this.#piece += 1;
    this.#taken = 0;
    // The last one is often empty: it says where the file ends.
    while (this.#pieces?.[this.#piece]?.[1] === 0) this.#piece += 1;
  }

  #fill(to: number): void {
    const hole = to - this.#at;
    if (hole < 0 || to > this.#size) throw new ImageError('is damaged: the pieces of a member with holes lie elsewhere');
    this.#zeros += hole;
    this.#at = to;
    if (this.#zeros > MOST_ZEROS) return;
    for (let left = hole; left > 0; left -= zeros.length) this.#hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
  }

  /** Takes whole blocks of the list until it is complete; returns what comes behind it. */
  #takeMap(content: Buffer): Buffer {
    this.#map += content.toString('latin1');
    if (this.#map.length > LONGEST_MAP + content.length)
      throw new ImageError('is damaged: the list of pieces of a member with holes has no end');
    const end = endOfMap(this.#map);
    if (end === undefined) return Buffer.alloc(0);
    const whole = Math.ceil(end / BLOCK) * BLOCK;
    if (this.#map.length < whole) return Buffer.alloc(0);
    const [, ...numbers] = this.#map.slice(0, end).trimEnd().split('\n').map(Number);
    this.#pieces = [];
    for (let at = 0; at < numbers.length; at += 2) this.#pieces.push([numbers[at] ?? 0, numbers[at + 1] ?? 0]);
    this.#piece = -1;
    this.#next();
    const behind = Buffer.from(this.#map.slice(whole), 'latin1');
    this.#map = '';
    return behind;
  }
}

/** Where the numbers of a list end; undefined: they are not all there yet. */
function endOfMap(text: string): number | undefined {
  const [first, digits = ''] = /^(\d{1,9})\n/.exec(text) ?? [];
  if (first === undefined) {
    if (text.length >= BLOCK) throw new ImageError('is damaged: a member with holes has no list of pieces');
    return undefined;
  }
  let at = first.length;
  for (let left = Number(digits) * 2; left > 0; left -= 1) {
    const end = text.indexOf('\n', at);
    if (end < 0) return undefined;
    if (!/^\d{1,15}$/.test(text.slice(at, end))) throw new ImageError('is damaged: a member with holes has no number where one belongs');
    at = end + 1;
  }
  return at;
}
