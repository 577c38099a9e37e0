import { lutimes, readFile, readlink, symlink, utimes, writeFile } from 'node:fs/promises';
import { readForeign, removeFile, statOrUndefined } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';

const PLACE = '/etc/resolv.conf';
/** Behind a name server of the build; a resolver reads no further than the address. */
export const MARK = ' # of the build, gone after this step';
/** Behind its other lines, where a comment would be taken for a word. */
const BLANKS = ' \t \t';
/** What a resolver reads of the host's. */
const USED = /^\s*(nameserver|search|domain|options|sortlist)\s/;

/** What stood in the tree. */
type Own =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'file'; readonly text: Buffer; readonly times: [Date, Date] }
  | { readonly kind: 'link'; readonly target: Buffer; readonly times: [Date, Date] };

/** The host's resolver, with the mark of the build on each line, and the tree's own lines behind it. */
export function standInText(host: string, own: string): string {
  const lines = host.split('\n').filter((line) => USED.test(line));
  const marked = lines.map((line) => `${line.trim()}${/^\s*nameserver\s/.test(line) ? MARK : BLANKS}\n`);
  return `${marked.join('')}${own}`;
}

/** A text without the lines of the build: what a step has made of the tree's own. */
export function ownText(text: string): string {
  return text
    .split(/(?<=\n)/)
    .filter((line) => !line.trimEnd().endsWith(MARK) && !(line.replace(/\n$/, '').endsWith(BLANKS) && USED.test(line)))
    .join('');
}

/**
 * Gives the tree the host's resolver for as long as a step runs that has the network. `enter` comes before it, `leave` after all of
 * its processes. Whatever the step has done to /etc/resolv.conf, it has done to the tree's own: lines that it has added,
 * changed or removed, another file or link in its place, or nothing.
 */
export class Resolver {
  readonly #root: string;
  readonly #host: string;
  #own: Own | undefined;
  #shown = '';

  /** `host`: the text of the host's resolv.conf; empty: there is none, and nothing is done. */
  constructor(root: string, host: string) {
    this.#root = root;
    this.#host = host;
  }

  async enter(): Promise<void> {
    const place = inRoot(this.#root, PLACE);
    if (this.#host === '' || place === undefined) return;
    const stat = await statOrUndefined(place);
    if (stat !== undefined && !stat.isFile() && !stat.isSymbolicLink()) return;
    const times: [Date, Date] = [stat?.atime ?? new Date(), stat?.mtime ?? new Date()];
    if (stat?.isFile()) this.#own = { kind: 'file', text: await readFile(place), times };
    else if (stat === undefined) this.#own = { kind: 'nothing' };
    else {
      this.#own = { kind: 'link', target: await readlink(place, 'buffer'), times };
      // Else it would be written where the link leads.
      await removeFile(place);
    }
    this.#shown = standInText(this.#host, this.#own.kind === 'file' ? this.#own.text.toString('latin1') : '');
    await writeFile(place, this.#shown, { encoding: 'latin1', mode: 0o644 });
  }

  async leave(): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    const place = inRoot(this.#root, PLACE);
    if (own === undefined || place === undefined) return;
    const text = (await readForeign(place))?.toString('latin1');
    if (text === undefined) return;
    if (text === this.#shown) await bringBack(place, own);
    else if (ownText(text) !== text) await writeFile(place, ownText(text), 'latin1');
  }
}

/** Nothing was changed: what stood there stands there again. */
async function bringBack(place: string, own: Own): Promise<void> {
  switch (own.kind) {
    case 'nothing':
      return removeFile(place);
    case 'file':
      // In place: owner, mode and attributes are still its own.
      await writeFile(place, own.text);
      return utimes(place, ...own.times);
    case 'link':
      await removeFile(place);
      await symlink(own.target, place);
      return lutimes(place, ...own.times);
  }
}
