import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bash, chrootScripts, load, records } from '../../helpers/chroot-scripts.ts';
import { writeFiles } from '../../helpers/temp-root.ts';

/** Runs `script` with some files in the project; `$root` stands for the image's root, `$files` for realmfs-files. */
function run(script: string) {
  const top = chrootScripts();
  writeFiles(top, { 'project/realmfs-files/file': 'x', 'project/realmfs-files/sub/file': 'deep', 'elsewhere/file': 'y' });
  const result = bash(`${load}; root=$run/root; files=$run/project/realmfs-files; cd "$root"; set -eE; ${script}`, top);
  const fatal = records(top).find(([kind]) => kind === 'fatal');
  return { top, ...result, fatal: fatal?.[1]?.replaceAll(top, 'RUN') };
}

describe('install_file refuses', () => {
  test.each([
    ['0 args', 'install_file', 'MODE FILE DIR or MODE /FULL/PATH is needed, not 0 arguments'],
    ['1 arg', 'install_file 0644', 'MODE FILE DIR or MODE /FULL/PATH is needed, not 1 arguments'],
    ['4 args', 'install_file 0644 a b c', 'MODE FILE DIR or MODE /FULL/PATH is needed, not 4 arguments'],
    ['9 args', 'install_file 0644 a b c d e f g h', 'MODE FILE DIR or MODE /FULL/PATH is needed, not 9 arguments'],
    ['mode u+s', 'install_file u+s file "$root"', "'u+s' is not an octal mode"],
    ['mode 999', 'install_file 999 file "$root"', "'999' is not an octal mode"],
    ['mode 17777', 'install_file 17777 file "$root"', "'17777' is not an octal mode"],
    ['mode empty', 'install_file "" file "$root"', "'' is not an octal mode"],
    ['mode that is an option', 'install_file -m file "$root"', "'-m' is not an octal mode"],
    ['mode with a newline', `install_file $'644\\n' file "$root"`, "'644\n' is not an octal mode"],
    ['source ../../etc/shadow', 'install_file 644 ../../etc/shadow "$root"', "'../../etc/shadow' must not contain .."],
    ['source absolute, with ..', 'install_file 644 /etc/../../shadow', "'etc/../../shadow' must not contain .."],
    ['source absolute, which is not there', 'install_file 644 /etc/shadow', 'there is no file etc/shadow in realmfs-files'],
    ['source directory', 'install_file 644 sub "$root"', 'sub is a folder'],
    ['source with a trailing slash', 'install_file 644 file/ "$root"', 'the name of the file is empty'],
    ['source of nothing but a slash', 'install_file 644 /', 'the name of the file is empty'],
    ['source empty', 'install_file 644 "" "$root"', 'the name of the file is empty'],
    [
      'source symlink out of the files dir',
      'ln -s /etc/passwd "$files/link"; install_file 644 link "$root"',
      'link is a link that leads out of realmfs-files',
    ],
    [
      'source symlink to a neighbour of the files dir',
      'mkdir "$files-too"; echo >"$files-too/x"; ln -s "$files-too/x" "$files/link"; install_file 644 link "$root"',
      'link is a link that leads out of realmfs-files',
    ],
    [
      'source below a symlink out of the files dir',
      'ln -s /etc "$files/out"; install_file 644 out/passwd "$root"',
      'out/passwd is a link that leads out of realmfs-files',
    ],
    [
      'source symlink to nothing',
      'ln -s /nowhere "$files/dangling"; install_file 644 dangling "$root"',
      'dangling is a link that leads out of realmfs-files',
    ],
    ['source symlink to itself', 'ln -s loop "$files/loop"; install_file 644 loop "$root"', 'loop is not a regular file'],
    ['source FIFO', 'mkfifo "$files/pipe"; install_file 644 pipe "$root"', 'pipe is not a regular file'],
    ['source missing', 'install_file 644 none "$root"', 'there is no file none in realmfs-files'],
    [
      'source missing, in a command substitution whose failure is passed over',
      'x=$(install_file 644 none "$root" || true); echo "went on" >"$root/on"',
      'there is no file none in realmfs-files',
    ],
    [
      'source missing, in a condition',
      'if install_file 644 none "$root"; then :; fi; echo "went on" >"$root/on"',
      'there is no file none in realmfs-files',
    ],
    ['target empty', 'install_file 644 file ""', 'the name of the folder is empty'],
    ['target ..', 'install_file 644 file "$root/../x"', "'RUN/root/../x' must not contain .."],
    ['target ends in ..', 'install_file 644 sub/.. "$root"', "'sub/..' must not contain .."],
    ['target existing dir', 'mkdir -p "$root/x/file"; install_file 644 file "$root/x"', 'RUN/root/x/file is a folder'],
    ['target below a file', 'echo >x; install_file 644 file "$root/x"', 'the folder of RUN/root/x/file cannot be made'],
  ])('%s', (_, script, message) => {
    const { fatal, status, top } = run(script);
    expect(fatal).toBe(`install_file: ${message}`);
    expect(status === 0).toBe(false);
    expect(existsSync(path.join(top, 'root/on'))).toBe(false);
  });

  test.runIf(process.getuid?.() === 0)('source device', () => {
    expect(run('mknod "$files/null" c 1 3; install_file 644 null "$root"').fatal).toBe('install_file: null is not a regular file');
  });

  test.each([
    ['a fatal of the user that only prints', 'fatal() { echo "never mind"; }; install_file 644 none "$root"; echo >"$root/on"'],
    ['a PATH that leads nowhere', 'PATH=/nowhere; install_file 644 none "$root"; echo >"$root/on"'],
    [
      'readonly variables of every name that it uses',
      'readonly mode=1 file=2 target=3 found=4 folder=5 path=6; install_file 644 none "$root"; echo >"$root/on"',
    ],
  ])('source missing, with %s', (_, script) => {
    const { fatal, top } = run(script);
    expect(fatal).toBe('install_file: there is no file none in realmfs-files');
    expect(existsSync(path.join(top, 'root/on'))).toBe(false);
  });
});

// `install` gives files to root: these need to be root, as in CI.
describe.runIf(process.getuid?.() === 0)('install_file takes', () => {
  test.each([
    ['mode 07777', 'install_file 07777 file "$root"', 'file', 'x', '7777'],
    ['mode 0', 'install_file 0 file "$root"', 'file', 'x', '0'],
    ['source symlink within the files dir', 'ln -s sub/file "$files/link"; install_file 644 link "$root"', 'link', 'deep', '644'],
    ['source with spaces, quotes and a leading dash', `echo q >"$files/-a 'b"; install_file 644 "-a 'b" "$root"`, "-a 'b", 'q\n', '644'],
    ['source with a newline', `echo n >"$files/"$'a\\nb'; install_file 644 $'a\\nb' "$root"`, 'a\nb', 'n\n', '644'],
    ['target trailing slash', 'install_file 644 file "$root/etc/"', 'etc/file', 'x', '644'],
    ['target relative: below the working folder of the module', 'mkdir w; cd w; install_file 644 file some', 'w/some/file', 'x', '644'],
    ['target newline', `install_file 644 file "$root/"$'a\\nb'`, 'a\nb/file', 'x', '644'],
    [
      'target through symlink of the image',
      'mkdir opt; ln -s opt link; install_file 644 file "$root/link/deep"',
      'opt/deep/file',
      'x',
      '644',
    ],
    [
      'target that is a symlink: the link is replaced',
      'echo old >old; ln -s old file; install_file 644 file "$root"; [[ ! -L file && $(<old) == old ]]',
      'file',
      'x',
      '644',
    ],
    ['an existing file: replaced, with the new mode', 'echo old >file; chmod 600 file; install_file 755 file "$root"', 'file', 'x', '755'],
    [
      'whatever PATH, functions and variables the user has',
      'readonly mode=1 file=2 target=3 found=4; install() { :; }; mkdir() { :; }; realpath() { echo /; }; printf() { :; }; PATH=/nowhere; IFS=0; install_file 0600 sub/file "$root/new"',
      'new/sub/file',
      'deep',
      '600',
    ],
  ])('%s', (_, script, file, text, mode) => {
    const { top, stderr, status } = run(script);
    expect([stderr, status]).toEqual(['', 0]);
    expect(readFileSync(path.join(top, 'root', file), 'utf8')).toBe(text);
    expect((statSync(path.join(top, 'root', file)).mode & 0o7777).toString(8)).toBe(mode);
  });
});
