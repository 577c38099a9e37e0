import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeHooks } from '../../../src/customize/make-hooks.ts';
import { listHooks, setNames } from '../../../src/customize/series.ts';
import { hooksTrees, plant } from '../../helpers/hooks-trees.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

interface Expected {
  readonly stdout: string;
  readonly links: Readonly<Record<string, string>>;
  readonly provides: string;
}

// Written down from livecd-rootfs' make-hooks of version 25.04.17.
const expected: Record<string, Expected> = JSON.parse(readFileSync(path.join(import.meta.dirname, 'make-hooks.json'), 'utf8'));

function linksIn(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, readlinkSync(path.join(folder, name))]));
}

describe('make-hooks of livecd-rootfs', () => {
  test('every tree has its expectation', () => {
    expect(Object.keys(expected)).toEqual(hooksTrees.map(({ name }) => name));
    expect(hooksTrees.length).toBeGreaterThan(60);
  });

  test.each(hooksTrees.map((tree) => [tree.name, tree] as const))('%s', async (name, tree) => {
    const hooksD = plant(tree, tempRoot());
    const hooksDir = tree.hooksDir === undefined ? undefined : path.join(hooksD, tree.hooksDir);
    const { lines, warnings } = await makeHooks(setNames(tree.sets), { hooksD, hooksDir });
    const found = {
      code: 0,
      stdout: lines.map((line) => `${line}\n`).join(''),
      links: linksIn(hooksDir ?? path.join(hooksD, '../hooks')),
      provides: readFileSync(path.join(hooksD, 'explicit_provides'), 'utf8'),
    };
    expect(found).toEqual(expected[name]);
    const missing = [...new Set(Object.values(found.links))].filter(
      (text) => !existsSync(path.resolve(hooksDir ?? path.join(hooksD, '../hooks'), text)),
    );
    expect(warnings.filter((line) => line.includes('there is no')).length).toBeGreaterThanOrEqual(missing.length);
  });
});

describe('where the original is silent or wrong', () => {
  const series = (files: Record<string, string>): string => path.join(tempRoot(files), '.');

  test.each([
    ['no series', { 'base/series/a': '' }, 'b', "Series file for image set 'b' not found."],
    [
      'no series of a dependency',
      { 'base/series/a': 'depends b\n' },
      'a',
      "Series file for image set 'b' not found. Series a depends on it.",
    ],
    [
      'a cycle',
      { 'base/series/a': 'depends b\n', 'base/series/b': 'depends c\n', 'base/series/c': 'depends b\n' },
      'a',
      'the series depend on each other: a, b, c, b',
    ],
    ['a series that depends on itself', { 'base/series/a': 'depends a\n' }, 'a', 'the series depend on each other: a, a'],
    [
      'a cycle back to the first',
      { 'base/series/a': 'depends b\n', 'base/series/b': 'depends a\n' },
      'a',
      'the series depend on each other: a, b, a',
    ],
    ['a set that leads out', { 'base/series/a': '' }, '../series/a', '../series/a is no name of a series'],
    ['a dependency that leads out', { 'base/series/a': 'depends /etc/passwd\n' }, 'a', '/etc/passwd is no name of a series: series a'],
    [
      'a hook that leads out',
      { 'base/series/a': '\nbase/../../x.binary\n' },
      'a',
      'base/series/a:2: base/../../x.binary is no path below hooks.d',
    ],
    ['an absolute hook', { 'base/series/a': '/bin/sh\n' }, 'a', 'base/series/a:1: /bin/sh is no path below hooks.d'],
  ])('%s', async (_, files, set, message) => {
    const hooksD = series(files);
    await expect(makeHooks([set], { hooksD, hooksDir: path.join(hooksD, 'links') })).rejects.toThrow(message);
    expect(existsSync(path.join(hooksD, 'links'))).toBe(false);
    expect(existsSync(path.join(hooksD, 'explicit_provides'))).toBe(false);
  });

  test('a text that is not UTF-8 is named', async () => {
    const hooksD = series({ 'base/series/a': '' });
    writeFileSync(path.join(hooksD, 'base/series/a'), Buffer.from([0x62, 0xff]));
    await expect(listHooks({ project: hooksD, folder: '' }, ['a'])).rejects.toThrow(/series\/a: the text is not UTF-8/);
  });

  test('a series that two others depend on is no cycle', async () => {
    const hooksD = series({
      'base/series/a': 'depends b\ndepends c\n',
      'base/series/b': 'depends d\n',
      'base/series/c': 'depends d\n',
      'base/series/d': 'base/d.binary\n',
    });
    expect((await listHooks({ project: hooksD, folder: '' }, ['a', 'd'])).hooks).toEqual(['base/d.binary']);
  });

  test('what each set provides is told by set', async () => {
    const hooksD = series({
      'base/series/a': 'depends b\nprovides x\nprovides y\n',
      'base/series/b': 'provides z\n',
      'base/series/all': 'depends a\n',
    });
    expect((await listHooks({ project: hooksD, folder: '' }, ['a', 'b', 'all'])).provides).toEqual([
      { set: 'a', files: ['x', 'y'] },
      { set: 'b', files: ['z'] },
      { set: 'all', files: [] },
    ]);
  });

  test('old links are replaced, whatever else lies there stays; what is in the way is named and nothing is touched', async () => {
    const hooksD = series({
      'base/series/a': 'base/1.binary\nbase/2.binary\n',
      'base/series/b': 'base/2.binary\n',
      'base/1.binary': '',
      'base/2.binary': '',
    });
    const hooksDir = tempRoot();
    expect((await makeHooks(['a'], { hooksD, hooksDir })).warnings).toEqual([]);
    writeFiles(hooksDir, { '100-too-many-secrets.chroot': 'mine', README: '' });
    symlinkSync('README', path.join(hooksDir, '101-mine'));
    expect((await makeHooks(['b'], { hooksD, hooksDir })).warnings).toEqual(['WARNING: Hooks directory exists and is not empty.']);
    expect(readdirSync(hooksDir).sort()).toEqual(['001-2.binary', '100-too-many-secrets.chroot', '101-mine', 'README']);
    writeFiles(hooksDir, { '001-1.binary': 'mine' });
    await expect(makeHooks(['a'], { hooksD, hooksDir })).rejects.toThrow(/001-1\.binary is there already, and is no link of make-hooks/);
    expect(readdirSync(hooksDir).sort()).toEqual(['001-1.binary', '001-2.binary', '100-too-many-secrets.chroot', '101-mine', 'README']);
  });

  test('more than 999 hooks sort in their order', async () => {
    const hooksD = series({ 'base/series/a': Array.from({ length: 1001 }, (_, at) => `base/${at}.binary\n`).join('') });
    const hooksDir = path.join(hooksD, 'links');
    await makeHooks(['a'], { hooksD, hooksDir });
    const names = readdirSync(hooksDir).sort();
    expect([names.length, names[0], names[1000]]).toEqual([1001, '0001-0.binary', '1001-1000.binary']);
  });

  test('hooks.d is taken by its real place, and a folder chroot is not needed', async () => {
    const hooksD = series({ 'base/series/a': 'base/1.binary\n' });
    const work = tempRoot();
    mkdirSync(path.join(work, 'links'));
    symlinkSync(hooksD, path.join(work, 'hooks.d'));
    await makeHooks(['a'], { hooksD: path.join(work, 'hooks.d'), hooksDir: path.join(work, 'links') });
    expect(readlinkSync(path.join(work, 'links/001-1.binary'))).toBe(`../../${path.basename(hooksD)}/base/1.binary`);
  });

  test('a link takes the place of nothing but itself: what explicit_provides leads to stays', async () => {
    const home = tempRoot({ keys: 'good\n' });
    const hooksD = series({ 'base/series/a': 'provides evil\n' });
    symlinkSync(path.join(home, 'keys'), path.join(hooksD, 'explicit_provides'));
    await makeHooks(['a'], { hooksD, hooksDir: path.join(hooksD, 'links') });
    expect(readFileSync(path.join(home, 'keys'), 'utf8')).toBe('good\n');
    expect(readFileSync(path.join(hooksD, 'explicit_provides'), 'utf8')).toBe('evil\n');
  });

  test.each<[string, string, string]>([
    ['the folder of the links', 'hooks', 'hooks is a link that leads out of the project folder, to '],
    [
      'the folder of series',
      'hooks.d/base/series',
      'has a link on its way, hooks.d/base/series, that leads out of the project folder, to ',
    ],
    ['a series', 'hooks.d/extra/series/a', 'extra/series/a is a link that leads out of the project folder, to '],
    ['chroot', 'hooks.d/chroot', 'chroot is a link that leads out of the project folder, to '],
  ])('a link out of the project in the place of %s is refused', async (_, place, message) => {
    const home = tempRoot({ a: 'provides x\n', '001-x.chroot': '' });
    const project = tempRoot({ 'hooks.d/README': '', ...(place.endsWith('a') ? {} : { 'hooks.d/extra/series/b': '' }) });
    mkdirSync(path.dirname(path.join(project, place)), { recursive: true });
    symlinkSync(place.endsWith('a') ? path.join(home, 'a') : home, path.join(project, place));
    const run = makeHooks([place.endsWith('hooks') ? 'b' : 'a'], { hooksD: path.join(project, 'hooks.d') });
    await expect(run).rejects.toThrow(message);
    expect(readdirSync(home).sort()).toEqual(['001-x.chroot', 'a']);
    expect(existsSync(path.join(project, 'hooks.d/explicit_provides'))).toBe(false);
  });
});
