import { createHash, type Hash } from 'node:crypto';
import { type FileEntry, type FileType, MTREE_HEAD, mtreeLine } from '../records/mtree.ts';
import { ImageError } from './bytes.ts';
import { MOST_NAMES, type Totals } from './image-tree.ts';
import { type Header, headerOf, type Pax, parsePax, timeOfPax } from './tar-header.ts';
import { SparseContent } from './tar-sparse.ts';

const BLOCK = 512;
/** Bytes of names and extended headers. */
const LONGEST_HEADER = 1024 ** 2;
/** Records of extended headers that hold at once. */
const MOST_RECORDS = 1000;

/** What is read of a member beside its header. */
interface Member {
  readonly header: Header;
  left: number;
  padding: number;
  readonly pieces?: Buffer[];
  readonly hash?: Hash | undefined;
  readonly sparse?: SparseContent | undefined;
}

/**
 * Reads a tarball as it comes, in one go: ustar, pax and that of GNU tar. Of two members of one name the later counts, as when
 * it is unpacked. The names of `wanted` are paths without `./`; their content is kept.
 */
export class TarReader {
  /** By path, as lists of files name them. */
  readonly entries = new Map<string, FileEntry>();
  readonly contents = new Map<string, Buffer>();
  /** Members whose content is not known: tar has left out what is zero. */
  sparse = 0;
  readonly #wanted: ReadonlyMap<string, number>;
  readonly #hashes: boolean;
  readonly #mostNames: number;
  #rest: Buffer = Buffer.alloc(0);
  #member: Member | undefined;
  #pax: Pax = new Map();
  readonly #global: Map<string, string> = new Map();
  #isAtEnd = false;
  /** Names of one file. */
  readonly #links = new Map<string, string>();

  /** `mostNames`: how many members there may be. */
  constructor(options: { readonly hashes: boolean; readonly wanted?: ReadonlyMap<string, number>; readonly mostNames?: number }) {
    this.#hashes = options.hashes;
    this.#mostNames = options.mostNames ?? MOST_NAMES;
    this.#wanted = options.wanted ?? new Map();
  }

  push(chunk: Buffer): void {
    if (this.#isAtEnd) return;
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length > 0 && !this.#isAtEnd) {
      const taken = this.#member === undefined ? this.#takeHeader(bytes) : this.#takeContent(this.#member, bytes);
      if (taken === 0) break;
      bytes = bytes.subarray(taken);
    }
    this.#rest = Buffer.from(bytes);
  }

  /** @throws ImageError if the tarball ends in the middle. */
  end(): void {
    if (this.#isAtEnd) return;
    if (this.#member !== undefined || this.#rest.length > 0 || this.entries.size === 0)
      throw new ImageError('is cut off: it ends in a member');
    throw new ImageError('is cut off: it has no end mark');
  }

  /** All members as a list of files. */
  list(): string {
    const names = new Map<string, number>();
    for (const path of this.entries.keys()) names.set(this.#fileOf(path), (names.get(this.#fileOf(path)) ?? 0) + 1);
    const lines = [...this.entries.values()].map((entry) => {
      const links = names.get(this.#fileOf(entry.path)) ?? 1;
      return mtreeLine(entry.type === 'file' && links > 1 ? { ...entry, links } : entry);
    });
    return MTREE_HEAD + lines.join('');
  }

  /** What it holds; a file with several names counts once. */
  totals(): Totals {
    const files = [...this.entries.values()].filter(({ path, type }) => type === 'file' && !this.#links.has(path));
    return { entries: this.entries.size, files: files.length, bytes: files.reduce((sum, { size = 0 }) => sum + size, 0) };
  }

  #fileOf(path: string): string {
    return this.#links.get(path) ?? path;
  }

  #takeHeader(bytes: Buffer): number {
    if (bytes.length < BLOCK) return 0;
    const block = bytes.subarray(0, BLOCK);
    if (block.every((byte) => byte === 0)) {
      this.#isAtEnd = true;
      return BLOCK;
    }
    if (this.#pax.size + this.#global.size > MOST_RECORDS) throw new ImageError('is damaged: its extended headers have no end');
    const header = headerOf(block, new Map([...this.#global, ...this.#pax]), this.entries.size);
    const { kind, size } = header;
    const isMeta = kind === 'pax' || kind === 'global' || kind === 'long-name' || kind === 'long-link';
    if (isMeta && size > LONGEST_HEADER) throw new ImageError(`is damaged: a header has ${size} bytes`);
    if (!isMeta) this.#pax = new Map();
    const wanted = this.#wanted.get(header.path.slice(2));
    const isKept = isMeta || (kind === 'file' && !header.isSparse && wanted !== undefined && size <= wanted);
    this.#member = {
      header,
      left: size,
      padding: (BLOCK - (size % BLOCK)) % BLOCK,
      ...(isKept ? { pieces: [] } : {}),
      hash: this.#hashes && kind === 'file' && !header.isSparse ? createHash('sha256') : undefined,
      sparse: this.#hashes && header.hasMap ? new SparseContent(header.realSize, createHash('sha256')) : undefined,
    };
    this.#endMember();
    return BLOCK;
  }

  #takeContent(member: Member, bytes: Buffer): number {
    const content = bytes.subarray(0, member.left);
    member.left -= content.length;
    member.hash?.update(content);
    member.sparse?.push(content);
    if (content.length > 0) member.pieces?.push(Buffer.from(content));
    const padding = Math.min(member.padding, bytes.length - content.length);
    member.padding -= padding;
    this.#endMember();
    return content.length + padding;
  }

  /** Takes the member in, if all of it was read. */
  #endMember(): void {
    const member = this.#member;
    if (member === undefined || member.left > 0 || member.padding > 0) return;
    this.#member = undefined;
    const { header, pieces } = member;
    const content = pieces === undefined ? undefined : Buffer.concat(pieces);
    const text = (): string => (content?.toString('latin1') ?? '').replace(/\0.*$/s, '');
    if (header.kind === 'pax') this.#pax = new Map([...this.#pax, ...parsePax(content ?? Buffer.alloc(0))]);
    else if (header.kind === 'global') for (const [key, value] of parsePax(content ?? Buffer.alloc(0))) this.#global.set(key, value);
    else if (header.kind === 'long-name') this.#pax = new Map([...this.#pax, ['path', text()]]);
    else if (header.kind === 'long-link') this.#pax = new Map([...this.#pax, ['linkpath', text()]]);
    else if (header.kind !== 'other') this.#keep(header, header.kind, content, member.hash?.digest('hex') ?? member.sparse?.digest());
  }

  #keep(header: Header, kind: FileType | 'hard-link', content: Buffer | undefined, sha256: string | undefined): void {
    const { path, mode, uid, gid, mtime, link, device } = header;
    if (this.entries.size >= this.#mostNames) throw new ImageError(`has more than ${this.#mostNames} names`);
    if (content !== undefined) this.contents.set(path.slice(2), content);
    this.#links.delete(path);
    if (kind === 'hard-link') {
      const first = this.entries.get(link);
      if (first === undefined) throw new ImageError(`is damaged: ${JSON.stringify(path)} is another name of a file that is not there`);
      this.entries.set(path, { ...first, path });
      this.#links.set(path, this.#fileOf(link));
      const known = this.contents.get(link.slice(2));
      if (known !== undefined) this.contents.set(path.slice(2), known);
      return;
    }
    if (header.isSparse && sha256 === undefined) this.sparse += 1;
    this.entries.set(path, {
      path,
      type: kind,
      mode,
      uid,
      gid,
      time: timeOfPax(mtime),
      ...(kind === 'file' ? { size: header.realSize } : {}),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(kind === 'link' ? { link } : {}),
      ...(kind === 'char' || kind === 'block' ? { device } : {}),
    });
  }
}
