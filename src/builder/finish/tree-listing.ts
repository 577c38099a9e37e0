import { lstatSync } from 'node:fs';
import path from 'node:path';
import { BuilderError } from '../../errors.ts';
import { bytesOf, onDisk, textOf } from '../../system/names.ts';
import { type BuildContext, paths } from '../model/context.ts';

/** Bytes of a path that a call of the kernel takes, without the end mark (PATH_MAX in linux/limits.h). */
const LONGEST_PATH = 4095;
/** Where a path below the root begins in one that is seen from outside. */
const OFFSET = paths.root.length + 1;
/** What find prints of each entry. */
const FORMAT = '%y %s %b %n %D:%i %T@ %p\\0';

/** An entry of a tree. */
export interface TreeEntry {
  /** As find's %y: `f`, `d`, `l`, `s`, ... */
  readonly kind: string;
  /** Bytes. */
  readonly size: number;
  /** Of 512 bytes. */
  readonly sectors: number;
  readonly links: number;
  /** DEVICE:INODE. */
  readonly inode: string;
  /** Whether it was changed after the time that the listing was made for. */
  readonly isYoung: boolean;
  /** Below the root, without a slash in front; a character for each byte. The root itself is empty. */
  readonly path: string;
}

/** What find has said of a tree in one walk. What is changed afterwards is looked at again, and nothing else. */
export class TreeListing {
  readonly #ctx: BuildContext;
  readonly #since: number;
  readonly #whole: readonly Buffer[];
  #again: readonly TreeEntry[] = [];
  #changed: ReadonlySet<string> = new Set();

  private constructor(ctx: BuildContext, since: number, whole: readonly Buffer[]) {
    this.#ctx = ctx;
    this.#since = since;
    this.#whole = whole;
  }

  /**
   * Lists the tree of a build, and hands every entry on meanwhile, in the order of the disk. `since`: seconds since 1970, for `isYoung`.
   * @throws BuilderError if there is a path that no list of files can hold.
   */
  static async make(since: number, take: (entry: TreeEntry) => void, ctx: BuildContext): Promise<TreeListing> {
    const chunks: Buffer[] = [];
    const listing = new TreeListing(ctx, since, chunks);
    const args = [paths.root, '-xdev', '-printf', FORMAT];
    let rest = '';
    await ctx.runner.stream({ label: 'listing the tree', file: 'find', args }, (chunk) => {
      chunks.push(chunk);
      const records = (rest + chunk.toString('latin1')).split('\0');
      rest = records.pop() ?? '';
      for (const record of records) take(listing.#parse(record));
    });
    return listing;
  }

  /** Hands every entry on once more, as it is after `lookAgain`. */
  read(take: (entry: TreeEntry) => void): void {
    const records = Buffer.concat(this.#whole).toString('latin1').split('\0').slice(0, -1);
    for (const record of records) {
      const entry = this.#parse(record);
      if (!this.#changed.has(entry.path)) take(entry);
    }
    for (const entry of this.#again) take(entry);
  }

  /** Looks again at paths of the tree, as seen from outside, that were removed, made or written, and at the folders above them. */
  lookAgain(places: readonly string[]): void {
    const again = new Set<string>();
    for (const place of places) for (let at = place; at.length >= paths.root.length && !again.has(at); at = path.dirname(at)) again.add(at);
    this.#changed = new Set([...again].map(pathOf));
    this.#again = [...again].flatMap((place) => this.#look(place) ?? []);
  }

  #look(place: string): TreeEntry | undefined {
    const stat = lstatSync(onDisk(place), { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const kind = stat.isFile() ? 'f' : stat.isDirectory() ? 'd' : 'another';
    const [size, sectors, links] = [Number(stat.size), Number(stat.blocks), Number(stat.nlink)];
    const isYoung = stat.mtimeNs > BigInt(this.#since) * 1_000_000_000n;
    return { kind, size, sectors, links, inode: `${stat.dev}:${stat.ino}`, isYoung, path: pathOf(place) };
  }

  #parse(record: string): TreeEntry {
    const words: string[] = [];
    let at = 0;
    // The path comes last, and may hold blanks.
    while (words.length < 6) {
      const end = record.indexOf(' ', at);
      words.push(record.slice(at, end));
      at = end + 1;
    }
    const [kind = '', size, sectors, links, inode = '', time = ''] = words;
    const name = record.slice(at + OFFSET);
    if (record.length - at > LONGEST_PATH)
      throw new BuilderError(
        `the tree has a path of ${name.length} bytes, which is more than programs can name: ${name.slice(0, 100)}...`,
        {
          step: this.#ctx.steps.current,
          hint: 'remove it in a hook or module',
        },
      );
    const seconds = Number.parseInt(time, 10);
    const isYoung = seconds > this.#since || (seconds === this.#since && /\.\d*[1-9]/.test(time));
    return { kind, size: Number(size), sectors: Number(sectors), links: Number(links), inode, isYoung, path: name };
  }
}

/** The path below the root of one that is seen from outside. */
function pathOf(place: string): string {
  return bytesOf(place).toString('latin1').slice(OFFSET);
}

/** A path of an entry, as seen from outside. */
export function placeOf(entry: TreeEntry): string {
  return textOf(Buffer.from(`${paths.root}/${entry.path}`, 'latin1'));
}
