import { utimesSync, writeFileSync } from 'node:fs';
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

  test('who names it sees it: a function that an earlier module has made, a called module, a variable, a hook', async () => {
    const conf = (pre: string, post: string, more: string): string =>
      `${bare}PRE_INSTALL_MODULES="${pre}"\nPOST_INSTALL_MODULES="${post}"\n${more}`;
    const project = machine.project('named', {
      'build.conf': conf(
        'helpers blind',
        'user caller',
        'blind() { [[ ! -e /dev/realm?s/project/data ]] && echo blind >/blind; }\nuser() { put /put; }\ncaller() { module inner; }\n',
      ),
      'realmfs-modules/helpers': 'put() { cat "$REALMFS_PROJECT/data" >"$1"; }\n',
      'realmfs-modules/inner': 'cat "$REALMFS_PROJECT/data" >/called\n',
      'hooks/chroot/10-x.chroot': '#!/bin/sh\nset -e\ncat "$REALMFS_PROJECT/data" >/hooked\n',
      data: 'uno\n',
    });
    const check = async (text: string): Promise<void> => {
      writeFileSync(path.join(project, 'data'), text);
      const run = await build(project);
      expect(run.code, run.stderr).toBe(0);
      expect(['blind', 'put', 'called', 'hooked'].map((file) => inTree(project, file))).toEqual(['blind\n', text, text, text]);
    };
    await check('uno\n');
    await check('due\n');
  });

  test('who does not name it fails, with a hint; comes by its file where it is asked for, and by no other', async () => {
    const missing = machine.project('missing', {
      'build.conf': `${bare}POST_INSTALL_MODULES=reads\nreads() { cat /dev/realm?s/project/data; }\n`,
      data: 'x',
    });
    const failed = await build(missing);
    expect([failed.code, failed.lastLine]).toEqual([1, expect.stringContaining('exit code 1 from: cat')]);
    expect(failed.stderr).toContain('a module sees the project only if its text names REALMFS_PROJECT');

    const hostile = machine.project('hostile', {
      'build.conf': `${bare}POST_INSTALL_MODULES=asks\nasks() {
        local run=(/dev/realm*) name
        for name in ../data ../../etc/passwd /../../data data sub . realmfs-files; do printf '\\0answer.7 1 file %s\\0' "$name" 1<>"$run/out/ask"; done
        printf '\\0answer.7 1 module ../data\\0\\0answer.7 1 begun \\0' 1<>"$run/out/ask"
        head -c 200000 /dev/urandom >"$run/out/ask"
        install_file 0644 sub/good.txt /opt
        find "$run/project" -mindepth 1 | sort >/seen
        (while :; do printf '\\0answer.7 1 file sub/good.txt\\0' 1<>"$run/out/ask"; done) &
      }\n`,
      data: 'x',
      'realmfs-files/sub/good.txt': 'good\n',
      'realmfs-files/other.txt': 'other\n',
    });
    const run = await build(hostile);
    expect(run.code, run.stderr).toBe(0);
    const seen = inTree(hostile, 'seen').replaceAll('/dev/realmfs/project/', '');
    expect(seen).toBe('realmfs-files\nrealmfs-files/sub\nrealmfs-files/sub/good.txt\n');
  });

  test('times and order of the files of a checkout count for nothing', async () => {
    const readers = [
      'cp -a "$REALMFS_PROJECT/data" /kept',
      '[[ $REALMFS_PROJECT/data/a -nt $REALMFS_PROJECT/data/b ]] && echo newer >/newer || echo older >/newer',
      'find "$REALMFS_PROJECT/data" -printf "%f %T@\\n" >/order; perl -e \'opendir D, shift; print join " ", readdir D\' "$REALMFS_PROJECT/data" >>/order',
    ];
    const write = (names: readonly string[], age: number): string => {
      machine.shell('rm -rf "$1/data"', path.join(machine.folder, 'times'));
      const folder = machine.project('times', {
        'build.conf': `${bare}POST_INSTALL_MODULES=reads\nreads() {\n${readers.join('\n')}\n}\n`,
        ...Object.fromEntries(names.map((name) => [`data/${name}`, name])),
      });
      for (const [at, name] of names.entries()) utimesSync(path.join(folder, 'data', name), age + at, age + at);
      return folder;
    };
    const project = write(['a', 'b', 'c', 'd'], 1_500_000_000);
    expect((await build(project)).code).toBe(0);
    const digest = sha256(tarball(project));
    write(['d', 'b', 'c', 'a'], 1_600_000_000);
    expect(steps(await build(project)).ran).toEqual([]);
    expect((await build(project, '--no-cache')).code).toBe(0);
    expect(sha256(tarball(project))).toBe(digest);
  });

  test('no secret stands in the cache in clear', async () => {
    const word = 'quite-a-Secret-word';
    const project = machine.project('secret', {
      'build.conf': `${bare}PRE_INSTALL_MODULES=shows\nshows() { : "\${REALMFS_USER_PASSWORD}"; }\n`,
    });
    const run = async (password: string): Promise<Run> =>
      machine.run(['--no-confirm', '-t', '--progress', 'plain'], { cwd: project, env: { REALMFS_USER_PASSWORD: password } });
    expect((await run(word)).code).toBe(0);
    const again = await run(word);
    expect([again.code, steps(again).ran]).toEqual([0, []]);
    const other = await run(`${word}2`);
    expect(other.stderr).toContain('packages runs again: setting REALMFS_USER_PASSWORD has changed');
    machine.project('secret', { 'build.conf': `${bare}REALMFS_USER_PASSWORD=${word}\nexport USED="x$REALMFS_USER_PASSWORD"\n` });
    expect((await build(project)).code).toBe(0);
    expect(machine.shell('grep -rl "$1" "$2" || echo none', word, path.join(machine.folder, 'cache'))).toBe('none\n');
  });
});
