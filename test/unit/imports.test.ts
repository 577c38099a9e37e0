import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const src = path.resolve(import.meta.dirname, '../../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const entries = ['cli.ts', 'main.ts', 'builder.ts', 'file-list.ts', 'tree-thread.ts'];

/**
 * Who may import whom, downwards; folders of one line share types alone, and the launcher and the builder nothing. `.` is errors.ts
 * and resources.ts.
 */
const layers = [
  ['cli', 'builder'],
  ['inspect'],
  ['images'],
  ['host'],
  ['customize', 'records', 'targets', 'store', 'sandbox', 'config'],
  ['system'],
  ['messages'],
  ['.'],
];
const worlds = ['cli', 'builder'];
/** The rooms of the builder, downwards; build.ts stands above all. */
const rooms = ['preview', 'results', 'layers', 'finish', 'steps', 'archive', 'project', 'model'];
const layerOf = (folder: string): number => layers.findIndex((names) => names.includes(folder));
const folderOf = (file: string): string => (path.dirname(file) === '.' ? '.' : (file.split('/')[0] ?? ''));
/** -1: it lies in no room. */
const roomOf = (file: string): number => rooms.indexOf(file.split('/')[1] ?? '');

interface Import {
  readonly target: string;
  readonly typesOnly: boolean;
}

/** Every import of a file of ours: static, re-exported, for its effects, dynamic. */
function imports(text: string, file: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, typesOnly: boolean): void => {
    if (specifier.startsWith('.')) found.push({ target: path.join(path.dirname(file), specifier), typesOnly });
  };
  for (const [, kind = '', names = '', from = ''] of text.matchAll(/^(?:import|export) (type )?([^;'"]*?) ?from '([^']+)'/gms)) {
    const inBraces = /^\{(.*)\}$/s
      .exec(names)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    add(from, kind !== '' || inBraces?.every((name) => name.trim().startsWith('type ')) === true);
  }
  for (const [, from = ''] of text.matchAll(/^import '([^']+)'/gm)) add(from, false);
  for (const [, from = ''] of text.matchAll(/\bimport\(\s*'([^']+)'/g)) add(from, false);
  return found;
}

test('imports are found in all their forms', () => {
  const text =
    "import { a } from './a.ts';\nimport type { B } from '../b/b.ts';\nimport {\n  type C,\n  type D,\n} from './c.ts';\nimport { type E, f } from './e.ts';\nexport { g } from './g.ts';\nimport './h.ts';\nconst i = await import('./i.ts');\nimport x from 'npm';\n";
  expect(imports(text, 'x/file.ts')).toEqual([
    { target: 'x/a.ts', typesOnly: false },
    { target: 'b/b.ts', typesOnly: true },
    { target: 'x/c.ts', typesOnly: true },
    { target: 'x/e.ts', typesOnly: false },
    { target: 'x/g.ts', typesOnly: false },
    { target: 'x/h.ts', typesOnly: false },
    { target: 'x/i.ts', typesOnly: false },
  ]);
});

test('every folder has its place, and every file of the builder its room', () => {
  expect(files.filter((file) => layerOf(folderOf(file)) < 0)).toEqual([]);
  expect(files.filter((file) => folderOf(file) === 'builder' && roomOf(file) < 0)).toEqual(['builder/build.ts']);
});

test('no files import each other in a circle', () => {
  const next = new Map(files.map((file) => [file, imports(readFileSync(path.join(src, file), 'utf8'), file).map(({ target }) => target)]));
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    expect(way, 'a circle').not.toContain(file);
    if (done.has(file)) return;
    for (const target of next.get(file) ?? []) visit(target, [...way, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test.each(files)('%s', (file) => {
  const [from, text] = [folderOf(file), readFileSync(path.join(src, file), 'utf8')];
  for (const { target, typesOnly } of imports(text, file)) {
    expect(files, `${file} imports ${target}`).toContain(target);
    if (file !== 'cli.ts') expect(entries, `${file} imports an entry`).not.toContain(target);
    const to = folderOf(target);
    if (entries.includes(file)) continue;
    if (from === 'builder' && to === 'builder')
      expect(roomOf(target), `${file} imports ${target}, of a room above it`).toBeGreaterThanOrEqual(roomOf(file));
    if (from === to) continue;
    expect(layerOf(to), `${file} imports ${target}`).toBeGreaterThanOrEqual(layerOf(from));
    if (worlds.includes(from)) expect(worlds, `${file} imports ${target}: the launcher and the builder talk by messages`).not.toContain(to);
    if (layerOf(from) === layerOf(to)) expect(typesOnly, `${file} imports more than types from ${target}`).toBe(true);
  }
});

test.each([
  ['execa', ['store/locks.ts', 'system/runner.ts']],
  ['ora', ['cli/reporters/tty.ts']],
  ['dotenv', ['config/env-file.ts']],
  ['commander', ['build.ts', 'commands.ts', 'look.ts', 'shared.ts', '../options.ts'].map((name) => path.join('cli/options', name)).sort()],
  ['tmp-promise', ['system/files.ts']],
])('%s has one home', (name, homes) => {
  expect(files.filter((file) => readFileSync(path.join(src, file), 'utf8').includes(`'${name}'`)).sort()).toEqual(homes);
});

test('the environment is read in main.ts alone', () => {
  const readers = files.filter((file) => /process\.env\b|[{,] *env *[,}].*= process/.test(readFileSync(path.join(src, file), 'utf8')));
  expect(readers).toEqual(['main.ts']);
});

test('the gate links no module before it knows the version of Node, and is plain enough for an old one', () => {
  const text = readFileSync(path.join(src, 'cli.ts'), 'utf8');
  expect(imports(text, 'cli.ts')).toEqual([{ target: 'main.ts', typesOnly: false }]);
  const code = text.replaceAll(/^\s*(?:\/\/|#!).*$/gm, '');
  expect(code).not.toMatch(/^import\b|\bawait\b|\?\.|\?\?|\|\|=|&&=/m);
  const floor = /FLOOR = \[(\d+), (\d+)\]/.exec(code)?.slice(1).join('.');
  expect(`>=${floor}`).toBe(JSON.parse(readFileSync(path.join(src, '../package.json'), 'utf8')).engines.node);
});
