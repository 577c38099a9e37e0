import { createHash } from 'node:crypto';
import { readlink } from 'node:fs/promises';
import { readForeign, statOrUndefined } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';

/** Files that base modules write before the packages, and that a project may bring itself. */
const written: readonly string[] = [
  '/etc/hostname',
  '/etc/hosts',
  '/etc/locale.gen',
  '/etc/locale.conf',
  '/etc/default/locale',
  '/etc/localtime',
  '/etc/timezone',
  '/etc/default/keyboard',
  '/etc/apt/sources.list',
  '/etc/apt/sources.list.d/debian.sources',
  '/etc/apt/apt.conf.d/99no-install-recommends',
];

/** Tells base modules which of the files that they write are the project's: those that somebody else has written since the bootstrap. */
export class BaseFiles {
  readonly #root: string;
  /** What the builder has left there. */
  readonly #own = new Map<string, string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Takes what the bootstrap has left for the builder's. */
  async begin(): Promise<void> {
    for (const [name, state] of await this.#states()) this.#own.set(name, state);
  }

  /** Runs a base module, and takes what it writes for the builder's. `ofProject`: the files that are not, a line each. */
  async during<T>(body: (ofProject: string) => Promise<T>): Promise<T> {
    const before = await this.#states();
    const result = await body([...before].flatMap(([name, state]) => (state === this.#own.get(name) ? [] : [`${name}\n`])).join(''));
    for (const [name, state] of await this.#states()) if (state !== before.get(name)) this.#own.set(name, state);
    return result;
  }

  async #states(): Promise<Map<string, string>> {
    return new Map(await Promise.all(written.map(async (name): Promise<[string, string]> => [name, await this.#state(name)])));
  }

  async #state(name: string): Promise<string> {
    const place = inRoot(this.#root, name);
    const stat = place === undefined ? undefined : await statOrUndefined(place);
    if (place === undefined || stat === undefined) return 'nothing';
    if (stat.isSymbolicLink()) return `link ${await readlink(place)}`;
    const bytes = await readForeign(place);
    return bytes === undefined ? `other ${stat.ino}` : `file ${createHash('sha256').update(bytes).digest('hex')}`;
  }
}
