import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const src = path.resolve(import.meta.dirname, '../../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

/** Who may import whom; folders of one line may only share types. */
const layers = [['cli'], ['build'], ['customize', 'targets', 'store', 'sandbox', 'config'], ['system'], ['.']];
const layerOf = (folder: string): number => layers.findIndex((names) => names.includes(folder));
const folderOf = (file: string): string => (path.dirname(file) === '.' ? '.' : (file.split('/')[0] ?? ''));

test.each(files.filter((file) => !['cli.ts', 'builder.ts'].includes(file)))('%s', (file) => {
  const text = readFileSync(path.join(src, file), 'utf8');
  for (const [, kind = '', target = ''] of text.matchAll(/^import (type )?[^;]*?from '(\.[^']+)';/gms)) {
    const [from, to] = [folderOf(file), folderOf(path.join(path.dirname(file), target))];
    if (from === to) continue;
    const [a, b] = [layerOf(from), layerOf(to)];
    expect(b, `${file} imports ${target}`).toBeGreaterThanOrEqual(a);
    if (a === b) expect(kind, `${file} imports more than types from ${target}`).toBe('type ');
  }
});

test.each([
  ['execa', ['sandbox/launcher.ts', 'system/runner.ts']],
  ['ora', ['cli/reporters/tty.ts']],
  ['dotenv', ['config/env-file.ts']],
  ['commander', ['cli/options.ts']],
  ['tmp-promise', ['system/files.ts']],
])('%s has one home', (name, homes) => {
  expect(files.filter((file) => readFileSync(path.join(src, file), 'utf8').includes(`'${name}'`)).sort()).toEqual(homes);
});
