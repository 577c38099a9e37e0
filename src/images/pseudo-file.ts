import { createHash, type Hash } from 'node:crypto';
import { type FileEntry, MTREE_HEAD, mtreeLine } from '../records/mtree.ts';
import { ImageError } from './bytes.ts';
import { MOST_NAMES, timeText } from './image-tree.ts';

/** What parts the definitions from the data. */
const MARK = Buffer.from('\n#\n# START OF DATA - DO NOT MODIFY\n#\n');
/** Bytes that the definitions may take: half of what a string can hold. */
const MOST = 256 * 1024 ** 2;

/**
 * Reads what `unsquashfs -pf` writes, as it comes: a definition of each entry, then the bytes of all files, in the order of
 * their places. So a squashfs can be compared without unpacking it, and without root.
 */
export class PseudoFileReader {
  readonly #entries = new Map<string, FileEntry>();
  readonly #hardLinks: [path: string, of: string][] = [];
  readonly #data: { path: string; from: number; to: number }[] = [];
  #pieces: Buffer[] = [];
  #size = 0;
  #isInData = false;
  #at = 0;
  #next = 0;
  #seen = 0;
  #hash: Hash = createHash('sha256');

  readonly #mostNames: number;

  /** `mostNames`: how many entries there may be. */
  constructor(mostNames = MOST_NAMES) {
    this.#mostNames = mostNames;
  }

  push(chunk: Buffer): void {
    if (this.#isInData) return this.#takeData(chunk);
    // The mark may lie across two pieces.
    const last = this.#pieces.pop() ?? Buffer.alloc(0);
    const joined = Buffer.concat([last, chunk]);
    const end = joined.indexOf(MARK);
    this.#size += chunk.length;
    if (this.#size > MOST) throw new ImageError(`has names that take more than ${MOST} bytes`);
    if (end < 0) {
      const keep = Math.min(joined.length, MARK.length);
      this.#pieces.push(joined.subarray(0, joined.length - keep), joined.subarray(joined.length - keep));
      return;
    }
    this.#define(Buffer.concat([...this.#pieces, joined.subarray(0, end)]).toString('latin1'));
    this.#pieces = [];
    this.#isInData = true;
    this.#takeData(joined.subarray(end + MARK.length));
  }

  /** All entries, once they were listed. */
  get entries(): ReadonlyMap<string, FileEntry> {
    return this.#entries;
  }

  /** All entries as a list of files. */
  list(): string {
    if (!this.#isInData) this.#define(Buffer.concat(this.#pieces).toString('latin1').replace(/\n$/, ''));
    this.#takeData(Buffer.alloc(0));
    const rest = this.#data[this.#next];
    if (rest !== undefined) throw new ImageError('is damaged: unsquashfs has not read all files');
    const links = new Map<string, number>();
    for (const [path, of] of this.#hardLinks) {
      const first = this.#entries.get(of);
      if (first === undefined) throw new ImageError(`is damaged: ${JSON.stringify(path)} is another name of a file that is not there`);
      this.#entries.set(path, { ...first, path });
      links.set(of, (links.get(of) ?? 1) + 1);
    }
    const firsts = new Map(this.#hardLinks);
    const lines = [...this.#entries.values()].map((entry) => {
      const count = entry.type === 'file' ? (links.get(firsts.get(entry.path) ?? entry.path) ?? 1) : 1;
      return mtreeLine(count > 1 ? { ...entry, links: count } : entry);
    });
    return MTREE_HEAD + lines.join('');
  }

  /** Definitions, a line for each; a name with an end of line in it takes several. */
  #define(text: string): void {
    let before = '';
    for (const line of text.split('\n')) {
      const whole = before === '' ? line : `${before}\n${line}`;
      before = '';
      if (whole === '') continue;
      const [, name, kind, words] = DEFINITION.exec(whole) ?? [];
      if (name === undefined || kind === undefined || words === undefined) before = whole;
      else this.#entry(pathOf(name), kind, words);
    }
    if (before !== '') throw new ImageError('cannot be read: unsquashfs says something else than was expected');
    this.#data.sort((a, b) => a.from - b.from);
  }

  #entry(path: string, kind: string, words: string): void {
    if (this.#entries.size + this.#hardLinks.length >= this.#mostNames) throw new ImageError(`has more than ${this.#mostNames} names`);
    if (kind === 'L') {
      this.#hardLinks.push([path, pathOf(words)]);
      return;
    }
    const [time = '', mode = '', uid = '', gid = '', ...more] = words.split(' ');
    const rest = more.join(' ');
    // Owners come as numbers with a sign.
    const common = {
      path,
      mode: Number.parseInt(mode, 8) & 0o7777,
      uid: Number(uid) >>> 0,
      gid: Number(gid) >>> 0,
      time: timeText(whole(time)),
    };
    if (kind === 'D') this.#entries.set(path, { ...common, type: 'dir' });
    else if (kind === 'S') this.#entries.set(path, { ...common, type: 'link', link: rest });
    else if (kind === 'I') this.#entries.set(path, { ...common, type: rest === 's' ? 'socket' : 'fifo' });
    else if (kind === 'R') {
      const [size, from] = [whole(more[0]), whole(more[1])];
      this.#entries.set(path, { ...common, type: 'file', size, sha256: EMPTY });
      if (size > 0) this.#data.push({ path, from, to: from + size });
    } else this.#entries.set(path, { ...common, type: kind === 'C' ? 'char' : 'block', device: more.join(',') });
  }

  #takeData(chunk: Buffer): void {
    let rest = chunk;
    for (;;) {
      const file = this.#data[this.#next];
      if (file === undefined) return;
      if (file.from < this.#at) throw new ImageError('cannot be read: two files have the same place');
      const skipped = Math.min(file.from - this.#at, rest.length);
      this.#at += skipped;
      rest = rest.subarray(skipped);
      if (rest.length === 0) return;
      // `at` stays at the beginning of the file until all of it was seen.
      const taken = rest.subarray(0, file.to - this.#at - this.#seen);
      this.#hash.update(taken);
      this.#seen += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#at + this.#seen < file.to) return;
      const entry = this.#entries.get(file.path);
      if (entry !== undefined) this.#entries.set(file.path, { ...entry, sha256: this.#hash.digest('hex') });
      this.#hash = createHash('sha256');
      this.#at = file.to;
      this.#seen = 0;
      this.#next += 1;
    }
  }
}

/** A number that a list of files can hold. */
function whole(digits = ''): number {
  const number = Number(digits);
  if (!Number.isSafeInteger(number)) throw new ImageError(`is damaged: it has the number ${digits}`);
  return number;
}

/** SHA-256 of nothing. */
const EMPTY = createHash('sha256').digest('hex');

/** A name, its kind, and what there is to say of it. */
const DEFINITION =
  /^((?:[^\\ ]|\\.)+) (?:(?=D -?\d+ [0-7]+ -?\d+ -?\d+$|R -?\d+ [0-7]+ -?\d+ -?\d+ \d+ \d+(?: \d+)?$|S -?\d+ [0-7]+ -?\d+ -?\d+ |I -?\d+ [0-7]+ -?\d+ -?\d+ [fs]$|[BC] -?\d+ [0-7]+ -?\d+ -?\d+ \d+ \d+$|L )([DRSIBCL])) (.*)$/s;

/** The path of an entry; blanks and `\` are written with a `\` before them. */
function pathOf(name: string): string {
  const plain = name.replace(/\\(.)/gs, '$1');
  return plain === '/' ? '.' : `./${plain.replace(/^\//, '')}`;
}
