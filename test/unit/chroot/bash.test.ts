import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bash, chrootScripts, load, records } from '../../helpers/chroot-scripts.ts';
import { writeFiles } from '../../helpers/temp-root.ts';

describe('state between steps', () => {
  /** What `look` prints in a second bash, after `change` has run in a first one. */
  function across(change: string, look: string, before = ''): string {
    const run = chrootScripts();
    const first = bash(
      `${load}\n${before}\n__realmfs_snapshot\n${change}\n__realmfs_take_shell\n__realmfs_hand_over >"$run/out/state.sh"; trap - EXIT`,
      run,
    );
    expect(first.stderr).toBe('');
    const second = bash(`${load}\n${before}\n__realmfs_snapshot\nsource "$run/out/state.sh"\n__realmfs_restore_traps\n${look}`, run);
    expect(second.stderr).toBe('');
    return second.stdout;
  }

  test.each([
    ['scalars', 'X=1; Y="a b"', 'echo "$X|$Y"', '1|a b\n'],
    ['values with line feeds and quotes', `X=$'a\\n"b" $(c)'`, 'printf "%s." "$X"', 'a\n"b" $(c).'],
    [
      'names that our own functions use',
      'name=n line=l key=k now=w text=t flags=f word=o',
      'echo "$name$line$key$now$text$flags$word"',
      'nlkwtfo\n',
    ],
    ['arrays', `A=(1 "b c" $'d\\ne')`, 'echo "${#A[@]} ${A[1]} ${A[2]}"', '3 b c d\ne\n'],
    ['associative arrays', 'declare -A M=(["x y"]=1 [z]=2)', 'echo "${M[x y]}${M[z]}"', '12\n'],
    ['integers', 'declare -i N=1', 'N+=4; echo "$N"', '5\n'],
    ['exported variables', 'export E=out', 'bash --norc -c "echo \\$E"', 'out\n'],
    ['readonly variables', 'readonly R=1', '(R=2) 2>/dev/null || echo fixed', 'fixed\n'],
    ['unset variables', 'unset GIVEN', 'echo "${GIVEN-none}"', 'none\n'],
    ['changed arrays', 'LIST+=(c)', 'echo "${LIST[*]}"', 'a b c\n'],
    ['functions', 'f() { cat <<X\n}\n$1\nX\n}', 'f arg', '}\narg\n'],
    ['functions that need extglob', 'shopt -s extglob; eval "f() { [[ \\$1 == @(a|b) ]] && echo yes; }"', 'f b', 'yes\n'],
    ['exported functions', 'f() { echo hi; }; export -f f', 'bash --norc -c f', 'hi\n'],
    ['removed functions', 'unset -f given', 'declare -F given || echo gone', 'gone\n'],
    ['options', 'shopt -s nullglob nocasematch; set -f', 'shopt -q nullglob nocasematch && echo "$-" | grep -c f', '1\n'],
    ['IFS', 'IFS=,', 'A="1,2"; set -- $A; echo $#', '2\n'],
    ['umask and folder', 'umask 027; cd /usr/lib', 'umask; pwd', '0027\n/usr/lib\n'],
    ['traps', "trap 'echo bye' EXIT", 'echo work', 'work\nbye\n'],
  ])('%s', (_, change, look, expected) => {
    expect(across(change, look, 'GIVEN=1; LIST=(a b); given() { :; }')).toBe(expected);
  });

  test('what the framework sets itself does not cross', () => {
    expect(across('set -eEu -o pipefail', 'echo "$-" | tr -d hBc; set -o | grep -c "pipefail.*on"')).toBe('\n0\n');
  });

  test('no change, no state', () => {
    const run = chrootScripts();
    const { stdout } = bash(`${load}; A=(1); f() { :; }; cd /; __realmfs_snapshot; __realmfs_take_shell; __realmfs_hand_over`, run);
    expect(stdout).toBe(
      '__realmfs_hide_functions\n__realmfs_restore_traps() {\n__realmfs_hide_functions\n\n__realmfs_show_functions\n}\n__realmfs_show_functions\n',
    );
  });
});

describe('lists', () => {
  function joined(conf: string): string {
    const script = `${load}\n${conf}\n: "\${DEBIAN_RELEASE:=trixie}"; __realmfs_default PACKAGES ''; __realmfs_default PRE_INSTALL_MODULES ''; __realmfs_default POST_INSTALL_MODULES ''\n__realmfs_join_lists\ndeclare -p PACKAGES | cut -c 1-10; echo "\${PACKAGES[*]}|\${POST_INSTALL_MODULES[*]}"`;
    return bash(script, chrootScripts()).stdout;
  }
  const citadelPost =
    'loginctl-enable-linger configure-systemd install-configure-host0 install-launch-script setup-theme-symlinks apt-cacher-ng add-xsettings-schema';
  const minimal = 'iproute2 less xz-utils sudo dbus libpam-systemd openssh-client bash-completion';
  const citadel = (font: string): string =>
    `iproute2 less xz-utils sudo dbus libpam-systemd openssh-client packagekit-gtk3-module libcanberra-gtk3-module libpulse0 ${font} bash-completion`;

  const self = ' nodejs debootstrap gpgv wget e2fsprogs ca-certificates';

  test.each([
    ['nothing', '', `declare --\n${citadel('fonts-roboto-unhinted')}${self}|${citadelPost} install-realmfs-builder\n`],
    ['no builder in the image', 'REALMFS_SELF_HOSTING=off', `declare --\n${citadel('fonts-roboto-unhinted')}|${citadelPost}\n`],
    [
      'no builder in the image, and additions',
      'REALMFS_SELF_HOSTING=off\nBASE_PACKAGES+=" wget x"',
      `declare --\n${citadel('fonts-roboto-unhinted')} wget x|${citadelPost}\n`,
    ],
    ['bookworm has the old font', 'DEBIAN_RELEASE=bookworm', `declare --\n${citadel('fonts-roboto-hinted')}|${citadelPost}\n`],
    ['a string', "BASE_PACKAGES='x  y'\nPACKAGES=' a\n b '", `declare --\nx y a b|${citadelPost} install-realmfs-builder\n`],
    ['arrays', 'BASE_PACKAGES=(x y)\nPACKAGES=(a)\nPACKAGES+=("b c")', `declare -a\nx y a b c|${citadelPost} install-realmfs-builder\n`],
    ['a profile', 'REALMFS_PROFILE=minimal\nPACKAGES=a', `declare --\n${minimal} a|loginctl-enable-linger configure-systemd\n`],
    [
      'a profile, and an addition to a base list',
      'BASE_PACKAGES+=" extra"\nREALMFS_PROFILE=minimal',
      `declare --\n${minimal} extra|loginctl-enable-linger configure-systemd\n`,
    ],
    [
      'a base package less',
      'BASE_PACKAGES="x g++ y=1 z/sid"\nPACKAGES="a g++- y- z-"',
      `declare --\nx a g++- y- z-|${citadelPost} install-realmfs-builder\n`,
    ],
    [
      'a base package that is taken away, after all',
      'BASE_PACKAGES="x- y- g++- z-"\nPACKAGES=(x y=2 g++ z+ - =)',
      `declare -a\nx y=2 g++ z+ - =|${citadelPost} install-realmfs-builder\n`,
    ],
    ['replaced lists', 'BASE_PACKAGES=\nBASE_POST_INSTALL_MODULES=m\nREALMFS_PROFILE=minimal', 'declare --\n|m\n'],
  ])('%s', (_, conf, expected) => {
    expect(joined(conf)).toBe(expected);
  });
});

describe('modules and install_file', () => {
  function run(script: string, files: Readonly<Record<string, string>> = {}) {
    const top = chrootScripts();
    writeFiles(top, files);
    const result = bash(`${load}; root=$run/root; cd "$root"; set -eE; ${script}`, top);
    return { top, ...result, fatal: records(top).find(([kind]) => kind === 'fatal')?.[1] };
  }

  test('a function comes before a file of the project, this before a built-in one', () => {
    const files = {
      'project/realmfs-modules/a': 'echo project',
      'lib/modules/a': 'echo built-in',
      'lib/modules/b': 'local x=1; echo "built-in $x"',
      'project/realmfs-modules/f': 'echo project',
    };
    expect(run('f() { echo function; }; module f; module a; module b', files).stdout).toBe('function\nproject\nbuilt-in 1\n');
  });

  test.each<[string, Record<string, string>, string, string]>([
    ['a function', { 'lib/modules/a': 'echo ran' }, 'function', "the module a was planned as that of the origin 'function'"],
    ['a file of the project', { 'lib/modules/a': 'echo ran' }, 'project', "the module a was planned as that of the origin 'project'"],
    [
      'a built-in one',
      { 'project/realmfs-modules/a': 'echo ran' },
      'built-in',
      "the module a was planned as that of the origin 'built-in'",
    ],
  ])('what was planned as %s runs from there, or not at all', (_, files, origin, message) => {
    const result = run(`__realmfs_module a ${origin}`, files);
    expect([result.status, result.stdout]).toEqual([1, '']);
    expect(result.fatal).toBe(`${message}, and is not there any more`);
  });

  test('a link of the project that leads nowhere hides no built-in module', () => {
    const result = run('ln -s /nowhere "$run/project/realmfs-modules/a"; module a', { 'lib/modules/a': 'echo ran' });
    expect([result.stdout, result.fatal]).toEqual(['', 'module: realmfs-modules/a is a link that leads nowhere inside the image']);
  });

  test.each([
    ['source gone', 'gone is not there, or cannot be read'],
    ['. "$HOME/x y" 2>/dev/null', '/root/x y lies outside the project folder'],
    ['builtin source -- ./gone >/dev/null', './gone is not there, or cannot be read'],
    ['source here', './deep is not there, or cannot be read'],
    ['source /etc', '/etc lies outside the project folder'],
    ['source "$run/project/gone"', '/project/gone is not there, or cannot be read'],
  ])('build.conf with %j ends the step', (line, why) => {
    const files = {
      'project/build.conf': `false\n[[ -f gone ]] && source gone\nsource gone || true\n${line}\n`,
      'project/here': '. ./deep\n',
    };
    const result = run('cd "$run/project"; set +eE; trap \'__realmfs_unsourced "$BASH_COMMAND" "" 1\' ERR; source ./build.conf', files);
    expect(result.status).toBe(1);
    expect(result.fatal).toMatch(/^source: /);
    expect(result.fatal).toContain(why);
  });

  test('a script that is there and ends with a fault is no such one', () => {
    const files = { 'project/build.conf': 'source here\nPATH=$PWD\nsource here\n', 'project/here': 'false\n' };
    const result = run(
      'cd "$run/project"; set +eE; trap \'__realmfs_unsourced "$BASH_COMMAND" "" 1\' ERR; source ./build.conf; echo end',
      files,
    );
    expect([result.status, result.stdout]).toEqual([0, 'end\n']);
  });

  test.each([
    ['module none', "module: there is no module 'none'"],
    ['module ../x', "module: '../x' is not a module name"],
    ['module', 'module: one name is needed, not 0'],
    ['x=$(fatal deep || true)', 'deep'],
  ])('%s', (script, message) => {
    const result = run(script);
    expect(result.status === 0).toBe(false);
    expect(result.fatal).toBe(message);
  });

  // `install` gives files to root: this needs to be root.
  test.runIf(process.getuid?.() === 0)('both forms, with parents, modes and owners', () => {
    const files = {
      'project/realmfs-files/flat': 'flat',
      'project/realmfs-files/sub/deep': 'deep',
      'lib/files/flat': 'hidden',
      'lib/files/own': 'own',
    };
    const { top, status, stderr } = run(
      'umask 077; install_file 4755 flat "$root/a/b/"; install_file 600 /sub/deep "$root/c"; install_file 0644 own .; ln -s ../victim "$root/link"; echo precious >"$run/victim"; install_file 644 flat "$root"',
      files,
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const text = (file: string): string => readFileSync(path.join(top, 'root', file), 'utf8');
    const mode = (file: string): string => (statSync(path.join(top, 'root', file)).mode & 0o7777).toString(8);
    expect([text('a/b/flat'), text('c/sub/deep'), text('own'), text('flat')]).toEqual(['flat', 'deep', 'own', 'flat']);
    expect([mode('a'), mode('a/b'), mode('a/b/flat'), mode('c/sub'), mode('c/sub/deep')]).toEqual(['755', '755', '4755', '755', '600']);
    execFileSync('grep', ['-q', 'precious', path.join(top, 'victim')]);
  });
});
