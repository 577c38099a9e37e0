import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { findInside, insideOf, readInside } from '../../../src/system/inside.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const links: Readonly<Record<string, string>> = {
  'to-file': 'lib/a',
  'to-folder': 'lib',
  'by-way': 'to-folder/../to-folder/a',
  absolute: '/etc/hostname',
  above: '../x',
  'and-back': '../PROJECT/lib/a',
  environ: '/proc/self/environ',
  dangling: 'gone',
  'dangling-below': 'lib/gone/x',
  circle: 'circle',
  'two-a': 'two-b',
  'two-b': 'two-a',
  chain: 'absolute',
  'folder-out': '/etc',
  'lib/up': '..',
  'lib/too-far': '../..',
  'under-a-file': 'lib/a/x',
};

function project(): string {
  const root = tempRoot({ 'lib/a': 'text' });
  for (const [name, to] of Object.entries(links)) symlinkSync(to.replace('PROJECT', path.basename(root)), path.join(root, name));
  mkdirSync(path.join(root, 'empty'));
  return root;
}

test.each<[string, string | RegExp]>([
  ['lib/a', 'lib/a'],
  ['to-file', 'lib/a'],
  ['to-folder/a', 'lib/a'],
  ['by-way', 'lib/a'],
  ['lib/up/lib/up/lib/a', 'lib/a'],
  ['./lib//a', 'lib/a'],
  ['', ''],
  ['gone', 'missing'],
  ['lib/gone/x', 'missing'],
  ['lib/a/x', 'missing'],
  ['to-folder/gone', 'missing'],
  ['../x', 'missing'],
  ['absolute', /^is a link that leads out of the project folder, to \/etc\/hostname: copy what/],
  ['above', /^is a link that leads out of the project folder, to \.\.\/x: /],
  ['and-back', /^is a link that leads out of the project folder, to /],
  ['environ', /^is a link that leads out of .* \/proc\/self\/environ: /],
  ['chain', /^has a link on its way, absolute, that leads out of .* \/etc\/hostname: /],
  ['folder-out/hostname', /^has a link on its way, folder-out, that leads out of/],
  ['lib/too-far/x', /^has a link on its way, lib\/too-far, that leads out of/],
  ['dangling', /^is a link that leads nowhere, to gone: /],
  ['dangling-below', /^is a link that leads nowhere, to lib\/gone\/x: /],
  ['under-a-file', /^is a link that leads nowhere, to lib\/a\/x: /],
  ['circle', /^is a link that leads in a circle, to circle: /],
  ['two-a', /that leads in a circle/],
])('%j', async (name, expected) => {
  const root = project();
  const found = await findInside(root, name);
  const said = found.kind === 'there' ? path.relative(root, found.path) : found.kind === 'astray' ? found.why : found.kind;
  expect(said).toEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
  if (found.kind !== 'there') expect(await readInside(root, name)).toBeUndefined();
});

test('a file is read, a folder and one that is too large are not', async () => {
  const root = project();
  expect((await readInside(root, 'to-folder/a'))?.toString()).toBe('text');
  expect(await readInside(root, 'lib/a', 3)).toBeUndefined();
  expect(await readInside(root, 'empty')).toBeUndefined();
  expect(await insideOf(root, 'empty')).toBe(path.join(root, 'empty'));
});
