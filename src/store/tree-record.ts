import { readlinkSync } from 'node:fs';
import { hasher, typeOf, type Walked, walk } from '../system/walk.ts';

/*
 * The record of a layer's tree: for each entry, in the order of `walk`, three texts that end with a NUL each:
 *
 *   PATH    `.` or `./NAME...`, a character for each byte
 *   TARGET  of a symbolic link; else empty
 *   FACTS   TYPE MODE UID GID MTIME SIZE SAME XATTRS SHA256
 *
 * MODE is octal, MTIME counts nanoseconds since 1970. SIZE is that of a file, and MAJOR*MINOR of a device as the system packs them.
 * SAME is the number of the entry (0 is the root) that is the first name of the same file; XATTRS are NAME=HEX, with `+` in between;
 * SHA256 is that of a file's content. `-` stands for what an entry has not. Whiteouts, opaque folders and moved ones of overlayfs
 * are devices and attributes like all others.
 */

/** Extended attributes of the entries of a tree that have some, as xattrs.pl prints them. */
export interface TreeAttributes {
  readonly of: ReadonlyMap<string, string>;
  /** How many entries the tree has, and how many bytes its files. */
  readonly entries: number;
  readonly bytes: number;
}

/** The record of a tree. */
export interface TreeRecord {
  /** A character for each byte. */
  readonly text: string;
  readonly entries: number;
  /** What the tree takes on disk, in bytes. */
  readonly size: number;
}

/** What is to be looked at, and how. */
export interface TreeTask {
  readonly tree: string;
  readonly attributes: ReadonlyMap<string, string>;
  /** A record that the tree is compared with; undefined: it gets one. */
  readonly known: string | undefined;
}

/** What came out: the record of a tree, or in what it differs from its record; undefined: in nothing. */
export type TreeAnswer = { readonly record: TreeRecord } | { readonly fault: string | undefined };

/** Reads what xattrs.pl prints, a tree after the other. */
export function parseAttributes(text: string): TreeAttributes[] {
  const [trees, words]: [TreeAttributes[], string[]] = [[], text.split('\0')];
  let of = new Map<string, string>();
  for (let at = 0; at + 1 < words.length; ) {
    const [path = '', value = ''] = [words[at], words[at + 1]];
    at += 2;
    if (path !== '') of.set(path, value.replaceAll(' ', '+'));
    else {
      trees.push({ of, entries: Number(value), bytes: Number(words[at]) });
      of = new Map();
      at += 1;
    }
  }
  return trees;
}

/** Looks at a tree that nobody changes meanwhile. Synchronous: a large one belongs to a thread of its own. */
export function lookAtTree({ tree, attributes, known }: TreeTask): TreeAnswer {
  return known === undefined ? { record: recordTree(tree, attributes) } : { fault: compareTree(tree, attributes, known) };
}

interface Entry {
  readonly path: string;
  readonly target: string;
  /** All facts but the digest. */
  readonly facts: string;
  /** What is to be read for the digest; undefined: nothing. */
  readonly content: Buffer | undefined;
}

function recordTree(tree: string, attributes: ReadonlyMap<string, string>): TreeRecord {
  const [sha256, parts, blocks] = [hasher(), [] as string[], new Map<bigint, bigint>()];
  let entries = 0;
  for (const { path, target, facts, content } of entriesOf(tree, attributes, (stat) => blocks.set(stat.ino, stat.blocks))) {
    parts.push(`${path}\0${target}\0${facts} ${content === undefined ? '-' : sha256(content)}\0`);
    entries += 1;
  }
  const size = 512 * Number([...blocks.values()].reduce((sum, count) => sum + count, 0n));
  return { text: parts.join(''), entries, size };
}

/**
 * The first difference, and of those of time alone only if there is no other: a folder's time tells of what happened in it.
 * Content is read only where the size is right: it can be no longer than it was.
 */
function compareTree(tree: string, attributes: ReadonlyMap<string, string>, known: string): string | undefined {
  const [sha256, words] = [hasher(), known.split('\0')];
  let time: string | undefined;
  let at = 0;
  for (const { path, target, facts, content } of entriesOf(tree, attributes)) {
    const [wasPath = '', wasTarget, was = ''] = words.slice(at, at + 3);
    at += 3;
    if (path !== wasPath) return words.indexOf(path) < 0 ? `${shown(path)} is new` : `${shown(wasPath)} is gone`;
    const end = was.lastIndexOf(' ');
    const other = target === wasTarget ? changed(was.slice(0, end), facts) : 'another target';
    if (other !== undefined && other !== TIME) return `${shown(path)} has ${other}`;
    if (content !== undefined && sha256(content) !== was.slice(end + 1)) return `${shown(path)} has other content`;
    if (other === TIME) time ??= `${shown(path)} has ${TIME}`;
  }
  return at + 1 < words.length ? `${shown(words[at] ?? '')} is gone` : time;
}

const TIME = 'another time';
const factNames = [
  'another type',
  'another mode',
  'another owner',
  'another group',
  TIME,
  'another size',
  'other names',
  'other attributes',
];

/** In which fact one entry differs from another one; time comes last. */
function changed(was: string, is: string): string | undefined {
  const [before, now] = [was.split(' '), is.split(' ')];
  const differing = factNames.filter((_, at) => before[at] !== now[at]);
  return differing.find((name) => name !== TIME) ?? differing[0];
}

/** A path in a message: below the layer, without control characters. */
function shown(path: string): string {
  const text = Buffer.from(path, 'latin1').toString('utf8');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be printed.
  return `tree${text.slice(1)}`.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

function* entriesOf(
  tree: string,
  attributes: ReadonlyMap<string, string>,
  onStat?: (stat: Walked['stat']) => void,
): Generator<Entry, void> {
  const firsts = new Map<bigint, number>();
  let count = 0;
  for (const { path, file, stat } of walk(tree)) {
    onStat?.(stat);
    const type = typeOf(stat);
    // Whiteouts are devices, and links of one another as it happens.
    const isLinked = stat.nlink > 1n && type !== 'dir' && type !== 'char' && type !== 'block';
    const same = isLinked ? firsts.get(stat.ino) : undefined;
    if (isLinked && same === undefined) firsts.set(stat.ino, count);
    const size = type === 'file' ? stat.size : type === 'char' || type === 'block' ? stat.rdev : '-';
    const mode = (stat.mode & 0o7777n).toString(8);
    const facts = [type, mode, stat.uid, stat.gid, stat.mtimeNs, size, same ?? '-', attributes.get(path) ?? '-'].join(' ');
    const target = type === 'link' ? readlinkSync(file, 'latin1') : '';
    yield { path, target, facts, content: type === 'file' ? file : undefined };
    count += 1;
  }
}
