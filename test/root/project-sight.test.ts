import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bare, Machine, type Run, sha256 } from '../helpers/machine.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const build = (project: string, ...args: string[]): Promise<Run> =>
  machine.run(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project });
const tarball = (project: string): string => path.join(project, 'realmfs/realmfs-rootfs.tar');
const inTree = (project: string, file: string): string =>
  machine.shell('tar -xOf "$1" "./$2" 2>/dev/null || echo none', tarball(project), file);

/** Ways to look for data/banner.txt without naming the project folder; $OUT is where it goes. */
const searches: Readonly<Record<string, string>> = {
  find_dot: 'find . -xdev -name banner.txt -exec cp {} "$OUT" ";"',
  find_plain: 'find -name banner.txt -exec cp {} "$OUT" ";" 2>/dev/null',
  find_links: 'find -L /dev -name fd -prune -o -name banner.txt -exec cp {} "$OUT" ";" 2>/dev/null',
  find_empty: 'local target=\'\'; find "$target/" -name banner.txt -exec cp {} "$OUT" \';\' 2>/dev/null',
  stars: 'local d; for d in /*/; do find "$d" -name banner.txt -exec cp {} "$OUT" ";" 2>/dev/null; done',
  globs: 'cat /*/*/*/data/banner.txt >"$OUT"',
  globstar: 'shopt -s globstar; cat dev/**/banner.txt >"$OUT"; shopt -u globstar',
  oldpwd: 'cp ~-/data/banner.txt "$OUT"',
  back: '(cd - && cat data/banner.txt) >"$OUT"',
  popd: '(popd && cat data/banner.txt) >"$OUT"',
  cwd: 'cat /proc/*/cwd/data/banner.txt >"$OUT"',
  self: 'cat /proc/self/cwd/dev/*/project/data/banner.txt >"$OUT"',
  descriptors: 'ls -l /proc/$$/fd | grep -o "build.conf" >"$OUT"',
  grep: 'grep -rhs "the banner" dev var etc | head -1 >"$OUT"',
  comment: 'grep -rhs "a comment of buil[d]" dev >"$OUT"',
  settings: 'grep -rhs "never-used-anywher[e]" dev >"$OUT"',
  list: 'ls -RA /dev >"$OUT"; sed -i "/^[0-9]*:$/d" "$OUT"',
  tar: 'tar -C dev --exclude=./realmfs/in --exclude=./realmfs/out --mtime=@0 --sort=name -cf - . | sha256sum >"$OUT"',
  copy: 'rm -rf /opt/all; cp -r dev /opt/all; cat /opt/all/*/project/data/banner.txt >"$OUT"; rm -rf /opt/all',
  perl: `perl -MFile::Find -e 'find(sub { if ($_ eq "banner.txt") { open F, $_; print <F> } }, "/dev")' >"$OUT"`,
  mounts: 'local m; while read -r _ m _; do cat "$m/data/banner.txt"; done </proc/mounts >"$OUT"',
  dotted: '. dev/realmf[s]/project/data/script && echo "$SCRIPT" >"$OUT"',
  script: 'printf \'find "$1" -name banner.txt -exec cat {} +\' >/root/look; bash /root/look /dev >"$OUT"',
  times: 'find /dev -name "*.txt" -newer /etc/debian_version >"$OUT"',
};

const functions = Object.entries(searches)
  .map(([name, text]) => `by-${name}() { local OUT=/found/${name}; mkdir -p /found; { ${text}; } || :; }\n`)
  .join('');

describe('a module sees the project only if its text names it', () => {
  test('everybody else finds nothing, by whatever way, and what is taken from layers is what a build without gives', async () => {
    const conf = (comment: string): string =>
      `# a comment of build.conf: ${comment}\n${bare}IMAGE_FREE_SPACE=1M\nPOST_INSTALL_MODULES="${Object.keys(searches)
        .map((name) => `by-${name}`)
        .join(' ')} filed last"\n` + `last() { install_file 0644 taken.txt /found; }\n${functions}`;
    const project = machine.project('searches', {
      'build.conf': conf('uno'),
      // No function: any text that may call functions it does not name would see the project, too.
      'realmfs-modules/filed': 'mkdir -p /found; cat "$REALMFS_PROJECT/data/banner.txt" >/found/filed\n',
      'data/banner.txt': 'the banner: uno\n',
      'data/script': 'SCRIPT=uno\n',
      'realmfs-files/taken.txt': 'taken uno\n',
      'realmfs-files/other.txt': 'other\n',
    });
    const first = await build(project, '--timeout', '200s');
    expect(first.code, first.stderr).toBe(0);
    const found = Object.keys(searches).map((name) => [name, inTree(project, `found/${name}`)]);
    expect(found.filter(([, text = '']) => /uno|banner|^script$|other\.txt|taken|build\.conf/m.test(text))).toEqual([]);
    expect(inTree(project, 'found/filed')).toBe('the banner: uno\n');

    writeFileSync(path.join(project, 'data/banner.txt'), 'the banner: due\n');
    writeFileSync(path.join(project, 'data/script'), 'SCRIPT=due\n');
    writeFileSync(path.join(project, 'build.conf'), conf('due'));
    const layered = await build(project);
    expect(steps(layered).ran).toEqual(['post/filed', 'post/last']);
    const digest = sha256(tarball(project));
    expect(inTree(project, 'found/filed')).toBe('the banner: due\n');
    expect((await build(project, '--no-cache')).code).toBe(0);
    expect(sha256(tarball(project))).toBe(digest);
  });
});
