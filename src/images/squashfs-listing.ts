import type { FileEntry } from '../records/mtree.ts';
import { ImageError } from './bytes.ts';
import type { Totals } from './image-tree.ts';

/** Bytes of a line: a path, and where it leads. */
const LONGEST_LINE = 1024 ** 2;
/** Type, owner, size or device, time and path. */
const LINE = /^([-dlpscb])\S+ -?\d+\/-?\d+ +(\d+)[, ].*? squashfs-root(.*)$/s;

/**
 * Reads what `unsquashfs -llnumeric` writes, as it comes. It writes names and links as they are, line feeds in them included: what it
 * says is of use for counting, and to find out whether `unsquashfs -pf` can be taken at its word.
 */
export class SquashfsListing {
  /** Bytes of what a link leads to, by `PATH -> LINK`. */
  readonly #links = new Map<string, number>();
  #hasTwice = false;
  #totals: Totals = { entries: 0, files: 0, bytes: 0 };
  #pieces: Buffer[] = [];
  #size = 0;

  get totals(): Totals {
    return this.#totals;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#line(Buffer.concat([...this.#pieces, chunk.subarray(from, end)]).toString('latin1'));
      this.#pieces = [];
      this.#size = 0;
      from = end + 1;
    }
    this.#size += chunk.length - from;
    if (this.#size > LONGEST_LINE) throw new ImageError(`has a name of more than ${LONGEST_LINE} bytes`);
    if (from < chunk.length) this.#pieces.push(chunk.subarray(from));
  }

  #line(line: string): void {
    const [, type, digits, rest = ''] = LINE.exec(line) ?? [];
    if (type === undefined) return;
    const { entries, files, bytes } = this.#totals;
    this.#totals = {
      entries: entries + 1,
      files: files + (type === '-' ? 1 : 0),
      bytes: bytes + (type === '-' ? Number(digits) : 0),
    };
    if (type !== 'l') return;
    if (this.#links.has(rest)) this.#hasTwice = true;
    this.#links.set(rest, Number(digits));
  }

  /**
   * Compares what `unsquashfs -pf` has said with this. Each link has its line here, with the size of what it leads to: one that leads
   * to several lines, of which the later ones pass for entries, is found out.
   * @throws ImageError if they are not of one mind.
   */
  check(said: ReadonlyMap<string, FileEntry>): void {
    const links = [...said.values()].filter(({ type }) => type === 'link');
    const isKnown = ({ path, link = '' }: FileEntry): boolean => this.#links.get(`${path.slice(1)} -> ${link}`) === link.length;
    if (this.#hasTwice || said.size !== this.#totals.entries || links.length !== this.#links.size || !links.every(isKnown))
      throw new ImageError('cannot be compared: line feeds in its names or links hide what is in it');
  }
}
