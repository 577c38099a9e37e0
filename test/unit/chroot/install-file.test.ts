import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bash, chrootScripts, load, records } from '../../helpers/chroot-scripts.ts';
import { writeFiles } from '../../helpers/temp-root.ts';

/** Runs `script` with some files in the project; `$root` stands for the image's root. */
function run(script: string, files: Readonly<Record<string, string>> = {}, prepare: (top: string) => void = () => {}) {
  const top = chrootScripts();
  writeFiles(top, files);
  prepare(top);
  const result = bash(`${load}; root=$run/root; cd "$root"; set -eE; ${script}`, top);
  return {
    top,
    ...result,
    fatal: records(top)
      .find(([kind]) => kind === 'fatal')?.[1]
      ?.replaceAll(top, 'RUN'),
  };
}

describe('modules', () => {
  test.each([
    ['no name', 'module ""', "module: '' is not a module name"],
    ['two names', 'module a b', 'module: one name is needed, not 2'],
    ['a folder in the place of a module', 'module folder', "module: there is no module 'folder'"],
    ['a name with a slash', 'module a/b', "module: 'a/b' is not a module name"],
    ['a name that begins with a dash', 'module -x', "module: '-x' is not a module name"],
  ])('%s', (_, script, message) => {
    expect(run(script, { 'project/realmfs-modules/folder/file': '' }).fatal).toBe(message);
  });

  test('a module may call another, and `local` works in a file', () => {
    const files = { 'project/realmfs-modules/outer': 'local x=out; module inner; echo "$x"', 'lib/modules/inner': 'local x=in; echo "$x"' };
    expect(run('x=top; module outer; echo "$x"', files).stdout).toBe('in\nout\ntop\n');
  });

  test('a failing command of a module is told with its place: file and line', () => {
    const files = { 'project/realmfs-modules/bad': 'true\nfalse || true\n(exit 7)\necho not here\n' };
    const { top, status, stdout } = run(`trap '__realmfs_failed $? "$BASH_COMMAND"' ERR; module bad`, files);
    expect([status, stdout]).toEqual([7, '']);
    expect(records(top).at(-1)).toEqual(['failed', '7', expect.stringContaining('exit 7'), `${top}/project/realmfs-modules/bad`, '3']);
  });

  test('messages', () => {
    expect(run('info "a  b" c; warn "50 %s"').stdout).toBe('[+] a  b c\n[!] 50 %s\n');
  });
});

// `install` gives files to root: these need to be root, as in CI.
describe.runIf(process.getuid?.() === 0)('install_file as root', () => {
  const text = (top: string, file: string): string => readFileSync(path.join(top, 'root', file), 'utf8');

  test('MODE /FULL/PATH, with or without the leading slash', () => {
    const { top, stderr } = run('install_file 0640 "$root/etc/a"; install_file 0640 "${root#/}/etc/b"', {}, (folder) => {
      writeFiles(path.join(folder, 'project/realmfs-files', folder, 'root/etc'), { a: 'A', b: 'B' });
    });
    expect(stderr).toBe('');
    expect([text(top, 'etc/a'), text(top, 'etc/b')]).toEqual(['A', 'B']);
    const { mode, uid, gid } = statSync(path.join(top, 'root/etc/b'));
    expect([(mode & 0o7777).toString(8), uid, gid]).toEqual(['640', 0, 0]);
  });

  test.each([
    ['0', '0'],
    ['7', '7'],
    ['0755', '755'],
    ['07777', '7777'],
    ['4750', '4750'],
  ])('mode %s', (given, mode) => {
    const { top, stderr } = run(`install_file ${given} f "$root/"`, { 'project/realmfs-files/f': 'x' });
    expect(stderr).toBe('');
    expect((statSync(path.join(top, 'root/f')).mode & 0o7777).toString(8)).toBe(mode);
  });

  test('a trailing slash of the folder does not matter, sub-directories and odd names are kept', () => {
    const files = { 'project/realmfs-files/a b/c$d': '1', 'project/realmfs-files/-x': '2' };
    const { top, stderr } = run(
      `install_file 644 'a b/c$d' "$root/one"; install_file 644 /'a b/c$d' "$root/two/"; install_file 644 -x "$root"`,
      files,
    );
    expect(stderr).toBe('');
    expect([text(top, 'one/a b/c$d'), text(top, 'two/a b/c$d'), text(top, '-x')]).toEqual(['1', '1', '2']);
  });

  test('links: one within realmfs-files is followed, one in the place of the target is replaced', () => {
    const { top, stderr } = run(
      'install_file 644 link "$root"; install_file 644 f "$root/etc"',
      { 'project/realmfs-files/f': 'new', victim: 'old' },
      (folder) => {
        symlinkSync('f', path.join(folder, 'project/realmfs-files/link'));
        mkdirSync(path.join(folder, 'root/etc'));
        symlinkSync('../../victim', path.join(folder, 'root/etc/f'));
      },
    );
    expect(stderr).toBe('');
    expect([text(top, 'link'), text(top, 'etc/f'), readFileSync(path.join(top, 'victim'), 'utf8')]).toEqual(['new', 'new', 'old']);
    expect(lstatSync(path.join(top, 'root/etc/f')).isSymbolicLink()).toBe(false);
  });

  test('a link to a folder in the place of the target is replaced, nothing lands in the folder', () => {
    const { top, stderr } = run('install_file 644 f "$root"', { 'project/realmfs-files/f': 'new', 'elsewhere/keep': '' }, (folder) => {
      symlinkSync('../elsewhere', path.join(folder, 'root/f'));
    });
    expect(stderr).toBe('');
    expect(text(top, 'f')).toBe('new');
    expect(existsSync(path.join(top, 'elsewhere/f'))).toBe(false);
  });

  test("the user's umask, IFS and options change nothing", () => {
    const { top, stderr } = run('umask 0; IFS=/; shopt -s nocasematch nullglob; set -f; install_file 644 d/f "$root/e"', {
      'project/realmfs-files/d/f': 'x',
    });
    expect(stderr).toBe('');
    expect((statSync(path.join(top, 'root/e/d')).mode & 0o777).toString(8)).toBe('755');
  });
});
