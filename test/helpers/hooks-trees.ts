import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { randomFrom } from './random.ts';

/** A hooks.d tree, and the call of make-hooks on it. */
export interface HooksTree {
  readonly name: string;
  /** Files below hooks.d. */
  readonly files: Readonly<Record<string, string>>;
  /** Words of the command line. */
  readonly sets: readonly string[];
  /** The folder of the links, from hooks.d; undefined: the default. */
  readonly hooksDir: string | undefined;
}

const written: readonly HooksTree[] = [
  tree(
    'the documented series',
    {
      'chroot/010-first.chroot_early': '',
      'chroot/999-cpc-fixes.chroot': '',
      'base/disk-image.binary': '',
      'base/series/disk-image': 'base/disk-image.binary\nprovides livecd.ubuntu-cpc.img\n',
      'extra/cloudB.binary': '',
      'extra/series/extra-settings': 'extra/settings.chroot\n',
      'extra/settings.chroot': '',
      'extra/series/cloudB':
        '# a cloud\n\ndepends disk-image\ndepends extra-settings\nextra/cloudB.binary\nprovides livecd.ubuntu-cpc.disk-kvm.img\nprovides livecd.ubuntu-cpc.disk-kvm.manifest\n',
    },
    ['cloudB'],
  ),
  tree(
    'a chain of 50',
    Object.fromEntries([
      ...Array.from({ length: 50 }, (_, at) => [
        `base/series/s${at}`,
        `${at < 49 ? `depends s${at + 1}\n` : ''}base/h${at}.binary\nprovides f${at}\n`,
      ]),
      ...Array.from({ length: 50 }, (_, at) => [`base/h${at}.binary`, '']),
    ]),
    ['s0'],
  ),
  tree('extra before base, whole', { 'base/series/a': 'base/1.binary\n', 'extra/series/a': 'extra/2.binary\n' }, ['a']),
  tree(
    'a set named twice, and as a dependency',
    { 'base/series/a': 'depends b\nbase/a.binary\nprovides a\n', 'base/series/b': 'base/b.binary\nprovides b\n' },
    ['a,b;a  b'],
  ),
  tree(
    'numbers are taken off',
    { 'chroot/1-x.chroot': '', 'chroot/001-002-y.chroot': '', 'chroot/1-2-3-z.chroot': '', 'chroot/12.chroot': '', 'chroot/5-.chroot': '' },
    [','],
  ),
  tree(
    'odd words',
    {
      'base/series/a': 'depends\nprovides\ndependsx y\nprovidesx\n  depends   b c  \n\tprovides\t d  e\t\n',
      'base/series/b c': 'base/ b.binary \n',
    },
    ['a'],
  ),
  tree(
    'ends of lines',
    {
      'base/series/a': 'base/1.binary\r\nbase/2.binary\rbase/3.binary\n\r\n\u00a0base/4.binary\u2003\x0c\nprovides x\r\n#c\rbase/5.binary',
    },
    ['a'],
  ),
  tree(
    'no new line at the end, and what is no white space',
    { 'base/series/a': '\ufeffbase/1.binary\nbase/2.binary\u200b\n\u2028base/3\u2028x.binary' },
    ['a'],
  ),
  tree(
    'paths that are not plain',
    { 'base/series/a': './base/1.binary\nbase//2.binary\nbase/./3.binary\nbase/4.binary/\nextra/x/5.binary\n4.binary\n' },
    ['a'],
  ),
  tree('more than one folder up', { 'base/series/a': 'base/1.binary\n' }, ['a'], '../../elsewhere/a b/hooks'),
  tree('inside hooks.d', { 'base/series/a': 'base/1.binary\n' }, ['a'], 'links'),
  tree(
    'chroot hooks that a series names',
    { 'chroot/b.chroot': '', 'chroot/a.chroot': '', 'base/series/a': 'chroot/b.chroot\nextra/x.chroot\nbase/1.binary\n' },
    ['a'],
  ),
  tree(
    'the order of names',
    {
      'chroot/a.chroot': '',
      'chroot/B.chroot': '',
      'chroot/_.chroot': '',
      'chroot/\u00e9.chroot': '',
      'chroot/\u{1f600}.chroot': '',
      'chroot/\uff5e.chroot': '',
      'chroot/a b.chroot_early': '',
      'chroot/README': '',
      'chroot/x.chroot.bak': '',
    },
    [';'],
  ),
];

function tree(name: string, files: Record<string, string>, sets: readonly string[], hooksDir?: string): HooksTree {
  return { name, files, sets, hooksDir };
}

/** A tree of overrides, dependencies without a cycle, duplicates and odd names. */
function generated(seed: number): HooksTree {
  const next = randomFrom(seed);
  const below = (count: number): number => Math.floor(next() * count);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const word = (): string =>
    pick(['disk', 'Cloud', 'x-86', '10-qcow', '007-003-a', 'naïve', 'a b', 'zz.top', '_', 'v1+2', "it's", 'ünit', '日本']);
  const files: Record<string, string> = {};
  for (let count = below(6); count > 0; count -= 1)
    files[`chroot/${pick(['', '9-', '010-', '1-2-'])}${word()}${pick(['.chroot', '.chroot_early', '.txt'])}`] = '';
  const hooks = Array.from(
    { length: 2 + below(8) },
    () => `${pick(['base', 'extra', 'extra/deep'])}/${word()}${pick(['.binary', '.chroot', ''])}`,
  );
  for (const hook of hooks) if (below(5) > 0) files[hook] = '';
  const series = Array.from({ length: 1 + below(9) }, (_, at) => `s${at}${pick(['', '-image', ' x'])}`);
  for (const [at, name] of series.entries()) {
    for (const folder of pick([['base'], ['extra'], ['base', 'extra']])) {
      const lines = Array.from({ length: 1 + below(8) }, () => {
        const kind = below(10);
        if (kind < 2 && at + 1 < series.length) return `depends ${pick(series.slice(at + 1))}`;
        if (kind < 4) return `provides ${pick(['livecd.img', 'a b', 'livecd.manifest', word()])}`;
        if (kind < 5) return pick(['', '# comment', '   ', '\t# depends nothing']);
        return pick(['', '  ', '\t']) + pick(hooks) + pick(['', ' ', '\t']);
      });
      files[`${folder}/series/${name}`] = lines.join(pick(['\n', '\n', '\r\n'])) + pick(['', '\n']);
    }
  }
  // A set with a blank in its name can only be a dependency.
  const named = series.filter((name) => !name.includes(' '));
  const chosen = Array.from({ length: 1 + below(3) }, () => (named.length > 0 ? pick(named) : ','));
  const sets = pick([chosen, [chosen.join(',')], [chosen.join(' ; ')], [` ${chosen.join('\t')},`]]);
  return { name: `generated ${seed}`, files, sets, hooksDir: pick([undefined, undefined, '../hooks', '../out/x y', 'links']) };
}

/** The trees for which the expectation is written down. */
export const hooksTrees: readonly HooksTree[] = [...written, ...Array.from({ length: 60 }, (_, seed) => generated(seed + 1))];

/** Makes a tree; returns its hooks.d. */
export function plant(tree: HooksTree, folder: string): string {
  const hooksD = path.join(folder, 'project/hooks.d');
  mkdirSync(path.join(hooksD, 'chroot'), { recursive: true });
  for (const [name, text] of Object.entries(tree.files)) {
    mkdirSync(path.dirname(path.join(hooksD, name)), { recursive: true });
    writeFileSync(path.join(hooksD, name), text);
  }
  return hooksD;
}
