import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const src = path.resolve(import.meta.dirname, '../../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const entries = ['cli.ts', 'main.ts', 'builder.ts', 'file-list.ts', 'tree-thread.ts'];

/** Who may import whom, downwards; folders of one line share types alone. `.` is errors.ts, events.ts and resources.ts. */
const layers = [['cli'], ['build', 'images'], ['customize', 'records', 'targets', 'store', 'sandbox', 'config'], ['system'], ['.']];
const layerOf = (folder: string): number => layers.findIndex((names) => names.includes(folder));
const folderOf = (file: string): string => (path.dirname(file) === '.' ? '.' : (file.split('/')[0] ?? ''));

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

test('every folder has its place', () => {
  expect(files.filter((file) => layerOf(folderOf(file)) < 0)).toEqual([]);
});

test.each(files)('%s', (file) => {
  const [from, text] = [folderOf(file), readFileSync(path.join(src, file), 'utf8')];
  for (const { target, typesOnly } of imports(text, file)) {
    expect(files, `${file} imports ${target}`).toContain(target);
    if (file !== 'cli.ts') expect(entries, `${file} imports an entry`).not.toContain(target);
    const to = folderOf(target);
    if (entries.includes(file) || from === to) continue;
    expect(layerOf(to), `${file} imports ${target}`).toBeGreaterThanOrEqual(layerOf(from));
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
