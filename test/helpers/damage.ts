import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  type Dirent,
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { randomFrom } from './random.ts';

/** There is nothing that a damage could hit. */
class NothingThere extends Error {}

/** Damages a cache at random, as a disk, a person or another program may; everything is decided by the seed. */
export class Damager {
  readonly #cache: string;
  readonly #random: () => number;

  constructor(cache: string, seed: number) {
    this.#cache = cache;
    this.#random = randomFrom(seed);
  }

  /** A number from 0 to 1 of the sequence. */
  next(): number {
    return this.#random();
  }

  pick<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.#random() * list.length)];
    if (found === undefined) throw new NothingThere();
    return found;
  }

  /** Does one damage to the store of layers; returns what it was. */
  damageStore(): string {
    return this.#do([...Object.entries(this.#inTree), ...Object.entries(this.#besideTree), ...Object.entries(this.#inStore)]);
  }

  /** Does one damage to the package cache. */
  damagePackages(): string {
    return this.#do(Object.entries(this.#inApt));
  }

  /** One of some damages; another one if there is nothing that it could hit. */
  #do(deeds: readonly [string, () => string][]): string {
    for (;;) {
      const [name, deed] = this.pick(deeds);
      try {
        return `${name}: ${deed().replace(this.#cache, 'CACHE')}`;
      } catch (error) {
        if (!(error instanceof NothingThere)) throw error;
      }
    }
  }

  get #layers(): string {
    return path.join(this.#cache, 'layers');
  }

  #folders(): string[] {
    return readdirSync(this.#layers)
      .filter((key) => /^[0-9a-f]{64}$/.test(key))
      .flatMap((key) => readdirSync(path.join(this.#layers, key)).map((id) => path.join(this.#layers, key, id)))
      .filter((folder) => existsSync(path.join(folder, 'tree')));
  }

  #layer(): string {
    return this.pick(this.#folders());
  }

  /** Two different layers. */
  #two(): [string, string] {
    const [first, ...others] = this.#folders().sort(() => this.#random() - 0.5);
    if (first === undefined || others[0] === undefined) throw new NothingThere();
    return [first, others[0]];
  }

  /** An entry of the tree of a layer that is right for a damage. */
  #entry(isRight: (entry: Dirent) => boolean): string {
    for (const layer of this.#folders().sort(() => this.#random() - 0.5)) {
      const all = readdirSync(path.join(layer, 'tree'), { withFileTypes: true, recursive: true }).filter(isRight);
      if (all.length > 0) {
        const { parentPath, name } = this.pick(all);
        return path.join(parentPath, name);
      }
    }
    throw new NothingThere();
  }

  #fileOfTree(): string {
    return this.#entry((entry) => entry.isFile() && lstatSync(path.join(entry.parentPath, entry.name)).size > 0);
  }

  readonly #inTree: Readonly<Record<string, () => string>> = {
    'a byte is flipped, and the times are set back': () => flip(this.#fileOfTree(), this.#random),
    'a byte is flipped': () => flip(this.#fileOfTree(), this.#random, false),
    'a file of a tree is cut': () => cut(this.#fileOfTree(), this.#random),
    'a file of a tree is gone': () => remove(this.#fileOfTree()),
    'a folder of a tree is gone': () => remove(this.#entry((entry) => entry.isDirectory())),
    'a new file in a tree': () => {
      const file = path.join(this.#layer(), 'tree', this.pick(['new', '.wh.etc', 'a\nb']));
      writeFileSync(file, 'new');
      return file;
    },
    'another mode': () => on(this.#fileOfTree(), (file) => chmodSync(file, lstatSync(file).mode ^ 0o111)),
    'another owner': () => on(this.#fileOfTree(), (file) => chownSync(file, 1234, 5678)),
    'another time': () => on(this.#fileOfTree(), (file) => utimesSync(file, 1, 1)),
    'a link leads elsewhere': () =>
      on(
        this.#entry((entry) => entry.isSymbolicLink()),
        (file) => replace(file, (name) => symlinkSync('/etc/shadow', name)),
      ),
    'another type': () => on(this.#fileOfTree(), (file) => replace(file, this.pick(others))),
    'a folder is a file': () =>
      on(
        this.#entry((entry) => entry.isDirectory()),
        (file) => replace(file, (name) => writeFileSync(name, 'x')),
      ),
    'attributes are dropped': () => {
      const all = execFileSync('getfattr', [
        '-R',
        '-P',
        '-h',
        '-m',
        '-',
        '--absolute-names',
        '--',
        ...this.#folders().map((f) => `${f}/tree`),
      ]);
      const marked = all.toString('latin1').trim().split('\n\n');
      const [head = '', name = ''] = this.pick(marked).split('\n');
      const file = head.replace('# file: ', '');
      execFileSync('setfattr', ['-h', '-x', name, '--', file]);
      return `${file} ${name}`;
    },
    'a whiteout is gone': () => remove(this.#entry((entry) => entry.isCharacterDevice())),
    'a new whiteout': () => {
      const file = path.join(this.#layer(), 'tree/etc');
      mkdirSync(file, { recursive: true });
      return on(path.join(file, 'passwd'), (name) => {
        rmSync(name, { force: true });
        execFileSync('mknod', [name, 'c', '0', '0']);
      });
    },
    'a tree is gone': () => remove(path.join(this.#layer(), 'tree')),
    'a tree is empty': () =>
      on(path.join(this.#layer(), 'tree'), (folder) => {
        rmSync(folder, { recursive: true });
        mkdirSync(folder);
      }),
    'two trees are swapped': () => {
      const [a, b] = this.#two();
      return swap(path.join(a, 'tree'), path.join(b, 'tree'));
    },
  };

  readonly #besideTree: Readonly<Record<string, () => string>> = {
    'a file beside a tree': () => {
      const layer = this.#layer();
      const names = readdirSync(layer).filter((name) => name !== 'tree');
      return this.#spoil(path.join(layer, this.pick(names)));
    },
    'state.sh': () => {
      const states = this.#folders().filter((folder) => existsSync(path.join(folder, 'state.sh')));
      return this.#spoil(path.join(this.pick(states), 'state.sh'));
    },
    'meta.json': () => this.#spoil(path.join(this.#layer(), 'meta.json')),
    'meta.json is very large': () => on(path.join(this.#layer(), 'meta.json'), (file) => truncateSync(file, 1024 ** 3)),
    'two files beside trees are swapped': () => {
      const [a, b] = this.#two();
      const name = this.pick(['meta.json', 'files', 'mark', 'lock']);
      return swap(path.join(a, name), path.join(b, name));
    },
    'two layers are swapped': () => swap(...this.#two()),
    'a layer lies in another key': () => {
      const [a, b] = this.#two();
      const to = path.join(path.dirname(b), path.basename(a));
      renameSync(a, to);
      return `${a} ${to}`;
    },
    'a layer lies there twice': () => {
      const [a, b] = this.#two();
      execFileSync('cp', ['-a', '--', a, path.join(path.dirname(b), path.basename(a))]);
      return `${a} ${b}`;
    },
  };

  readonly #inStore: Readonly<Record<string, () => string>> = {
    'a note': () => this.#spoil(this.#some(['last', 'results', 'keys'])),
    'a stray entry': () => {
      const where = this.pick([
        ...['', 'keys', 'new', 'last', 'results', 'trash'].map((name) => path.join(this.#layers, name)),
        path.dirname(this.#layer()),
      ]);
      const file = path.join(where, this.pick(['stray', 'a b', 'f'.repeat(64), 'f'.repeat(32)]));
      if (!existsSync(file)) this.pick(others)(file);
      return file;
    },
    'another kind of folder': () =>
      on(path.join(this.#layers, this.pick(['keys', 'last', 'new', 'results', 'trash'])), (file) => replace(file, this.pick(others))),
    'the question about the mirrors': () => this.#spoil(path.join(this.#layers, 'repositories')),
    'times lie in the future': () => {
      const day = Date.now() / 1000 + 400 * 24 * 3600;
      for (const folder of this.#folders()) for (const name of ['meta.json', 'lock']) lutimesSync(path.join(folder, name), day, day);
      return 'all layers';
    },
    'an empty key': () => on(path.join(this.#layers, 'a'.repeat(64)), (file) => mkdirSync(file, { recursive: true })),
  };

  readonly #inApt: Readonly<Record<string, () => string>> = {
    'a package': () => this.#spoil(this.#aptFile('archives', (name) => name.endsWith('.deb'))),
    'a package, and its times are set back': () =>
      flip(
        this.#aptFile('archives', (name) => name.startsWith('fixture-')),
        this.#random,
      ),
    'a list': () => this.#spoil(this.#aptFile('lists', (name) => name.endsWith('_Packages'))),
    'a list, and its times are set back': () =>
      flip(
        this.#aptFile('lists', (name) => name.endsWith('_Packages')),
        this.#random,
      ),
    'a Release file': () => this.#spoil(this.#aptFile('lists', (name) => name.endsWith('_InRelease'))),
    'what was asked': () => this.#spoil(this.#aptFile('asked', () => true)),
    'what was found good': () => this.#spoil(this.#aptFile('proven', () => true)),
    'the lock on fetches': () => on(path.join(this.#cache, 'apt/fetch.lock'), (file) => replace(file, this.pick(others))),
    'times lie in the future': () => {
      const day = Date.now() / 1000 + 400 * 24 * 3600;
      for (const folder of ['lists', 'asked'])
        for (const name of readdirSync(path.join(this.#cache, 'apt', folder)))
          lutimesSync(path.join(this.#cache, 'apt', folder, name), day, day);
      return 'lists and questions';
    },
  };

  #aptFile(folder: string, isRight: (name: string) => boolean): string {
    const where = path.join(this.#cache, 'apt', folder);
    return path.join(where, this.pick(readdirSync(where).filter((name) => isRight(name) && lstatSync(path.join(where, name)).isFile())));
  }

  /** A file in one of some folders of the store. */
  #some(folders: readonly string[]): string {
    const all = folders.flatMap((folder) => {
      const where = path.join(this.#layers, folder);
      return existsSync(where) ? readdirSync(where).map((name) => path.join(where, name)) : [];
    });
    return this.pick(all);
  }

  /** Damages a file in one of many ways. */
  #spoil(file: string): string {
    if (!existsSync(file) || !lstatSync(file).isFile()) return `${file} is not there`;
    const ways: Readonly<Record<string, () => unknown>> = {
      'a flipped byte': () => (lstatSync(file).size > 0 ? flip(file, this.#random) : remove(file)),
      cut: () => cut(file, this.#random),
      empty: () => truncateSync(file, 0),
      longer: () => writeFileSync(file, 'x', { flag: 'a' }),
      gone: () => remove(file),
      'another type': () => replace(file, this.pick(others)),
    };
    const [name, way] = this.pick(Object.entries(ways));
    way();
    return `${file} ${name}`;
  }
}

/** What may stand in the place of a file. */
const others: readonly ((file: string) => void)[] = [
  (file) => execFileSync('mkfifo', ['--', file]),
  (file) => symlinkSync('/etc/shadow', file),
  (file) => symlinkSync('/etc', file),
  (file) => execFileSync('mknod', [file, 'c', '1', '3']),
  (file) => {
    mkdirSync(file);
    writeFileSync(path.join(file, 'inside'), 'x');
  },
  (file) => writeFileSync(file, 'something else'),
];

function on(file: string, deed: (file: string) => unknown): string {
  deed(file);
  return file;
}

function remove(file: string): string {
  rmSync(file, { recursive: true });
  return file;
}

function replace(file: string, make: (file: string) => void): void {
  rmSync(file, { recursive: true, force: true });
  make(file);
}

function swap(a: string, b: string): string {
  renameSync(a, `${a}.away`);
  renameSync(b, a);
  renameSync(`${a}.away`, b);
  return `${a} ${b}`;
}

function cut(file: string, random: () => number): string {
  truncateSync(file, Math.floor(lstatSync(file).size * random()));
  return file;
}

/** Turns one bit around, in place. */
function flip(file: string, random: () => number, setsBack = true): string {
  const { size, atime, mtime } = lstatSync(file);
  const [at, byte] = [Math.floor(size * random()), Buffer.alloc(1)];
  const descriptor = openSync(file, 'r+');
  readSync(descriptor, byte, 0, 1, at);
  writeSync(descriptor, Buffer.from([(byte[0] ?? 0) ^ (1 << Math.floor(8 * random()))]), 0, 1, at);
  closeSync(descriptor);
  if (setsBack) utimesSync(file, atime, mtime);
  return `${file} at ${at}`;
}
