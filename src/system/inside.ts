import type { Stats } from 'node:fs';
import { readlink } from 'node:fs/promises';
import path from 'node:path';
import { readForeign, statOrUndefined } from './files.ts';
import { onDisk, textOf } from './names.ts';

/** Links that are followed one after the other, as in the kernel. */
const MOST_LINKS = 40;

/** What a name below a folder stands for, every link on the way resolved within the folder. */
export type Found =
  | { readonly kind: 'there' /** Without a link in it below the folder. */; readonly path: string; readonly stat: Stats }
  | { readonly kind: 'missing' }
  /** A link leads out of the folder, nowhere or in a circle. `why` follows the name in a message. */
  | { readonly kind: 'astray'; readonly why: string };

/** A link on the way, by its name below the folder, and its text. */
interface Link {
  readonly name: string;
  readonly to: string;
}

/**
 * Finds a name below a folder. The kernel follows no link in it: a link that is absolute, or leads above the folder on
 * its way, leads out, even if it would come back. `shown`: what the folder is called in a message.
 */
export async function findInside(folder: string, name: string, shown = 'the project folder'): Promise<Found> {
  const parts = (text: string, link?: Link) => text.split('/').map((part) => ({ part, link }));
  const astray = (link: Link, how: string, remedy: string): Found => ({
    kind: 'astray',
    why: `${link.name === name ? 'is a link' : `has a link on its way, ${link.name},`} that leads ${how}, to ${link.to}: ${remedy}`,
  });
  const out = (link: Link): Found =>
    astray(link, `out of ${shown}`, `copy what it leads to into ${shown.replace(/^(the project) folder$/, '$1')}`);
  const ahead = parts(name);
  const at: string[] = [];
  let stat = await statOrUndefined(folder);
  let links = 0;
  for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
    const { part, link } = next;
    if (part === '' || part === '.') continue;
    if (part === '..' && at.pop() === undefined) return link === undefined ? { kind: 'missing' } : out(link);
    if (part !== '..') at.push(part);
    const here = path.join(folder, ...at);
    stat = await statOrUndefined(here);
    if (stat === undefined) return link === undefined ? { kind: 'missing' } : astray(link, 'nowhere', 'mend or remove it');
    if (part === '..' || !stat.isSymbolicLink()) continue;
    const found = { name: at.join('/'), to: textOf(await readlink(onDisk(here), { encoding: 'buffer' })) };
    links += 1;
    if (links > MOST_LINKS) return astray(found, 'in a circle', 'mend or remove it');
    if (path.isAbsolute(found.to)) return out(found);
    at.pop();
    ahead.unshift(...parts(found.to, found));
  }
  return stat === undefined ? { kind: 'missing' } : { kind: 'there', path: path.join(folder, ...at), stat };
}

/** Where a name below a folder leads, or undefined if that is nothing, or lies outside of it. */
export async function insideOf(folder: string, name: string): Promise<string | undefined> {
  const found = await findInside(folder, name);
  return found.kind === 'there' ? found.path : undefined;
}

/** The content of a regular file below a folder; undefined if it is anything else, nothing, or larger than `limit` bytes. */
export async function readInside(folder: string, name: string, limit?: number): Promise<Buffer | undefined> {
  const real = await insideOf(folder, name);
  return real === undefined ? undefined : readForeign(real, limit);
}
