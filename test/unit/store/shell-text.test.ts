import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import {
  callsIndirectly,
  namesLines,
  namesProject,
  reach,
  readsVariablesIndirectly,
  topLevel,
  withoutProse,
} from '../../../src/store/shell-text.ts';

/** A text as the evaluation of build.conf prints it: the body of a function. */
function printed(text: string): string {
  return execFileSync(
    'bash',
    ['--norc', '-c', 'shopt -s extglob; eval "__realmfs_whole() {\n$1\n}"; declare -f __realmfs_whole', 'bash', text],
    {
      encoding: 'utf8',
    },
  );
}

test.each([
  ['# shellcheck shell=bash\n# Sets a name\n\techo x\n', '\n\n\techo x\n'],
  ['if true; then\n    info \'Making a list\'\n    warn "no $X in a list"\nfi\n', 'if true; then\n    info\n    warn\nfi\n'],
  ['echo x # a\n', 'echo x # a\n'],
  ['info "$(a)"\ninfo "`a`"\ninfo "${X:-$(a)}"\ninfo x; a\n', 'info "$(a)"\ninfo "`a`"\ninfo "${X:-$(a)}"\ninfo x; a\n'],
  ["# one\ncat >x <<'EOF'\n# a\nEOF\n# a\n", "\ncat >x <<'EOF'\n# a\nEOF\n# a\n"],
  ['# one\nX="\n# a\n"\n# a\n', '\nX="\n# a\n"\n# a\n'],
  ["# one\nX='\n# a\n'\n", "\nX='\n# a\n'\n"],
])('of a built-in module what calls nothing is left out: %j', (text, left) => {
  expect(withoutProse(text)).toBe(left);
});

describe('the top level of build.conf', () => {
  test.each([
    ['assignments', 'A=1\nB="x y"\nC=(a "b c" $A)\nD+=more\nexport E=5\nG=$A/x\nH=${A:-b}\nI=\'a;b\'\n'],
    ['a list over lines', 'PACKAGES="\n  less\n  tree\n"\nX=1\n'],
    ['functions', 'one() {\n echo "a }"\n if true; then\n echo b\n fi\n}\nfunction two { echo c; }\nA=1\n'],
    ['comments', '# a comment\nA=1 # another\n'],
    ['nothing', ':'],
  ])('%s: no command', (name, text) => {
    expect(topLevel(printed(text)).commands).toBe(name === 'nothing' ? ':' : '');
  });

  test.each([
    'mkdir /x',
    'A=$(date)',
    'A=`date`',
    'A=1 touch /x',
    'if true; then A=1; fi',
    'A=1; source ./more.sh',
    'umask 077',
    'A="$(date)"',
    'A=(1 $(date))',
    'A=x>/file',
    'shopt -s nullglob',
    'A=1\n[[ -e /x ]] && B=2',
  ])('%s: commands', (text) => {
    expect(topLevel(printed(text)).commands).not.toBe('');
  });

  test('commands behind a function with a redirection', () => {
    const of = (command: string): string =>
      topLevel(printed(`log() { echo hi; } >>/tmp/log\n${command}\nf() { echo 1; } >&2\nA=1\n`)).commands;
    expect(of('mkdir -p /etc/x')).toContain('mkdir -p /etc/x');
    expect(of(':')).not.toContain('echo');
  });

  test.each([
    ['&& mkdir /x', 'mkdir /x'],
    ['| cat', 'cat'],
    ['>"$(mkdir /x)"', 'mkdir /x'],
  ])('a function that ends with %s', (end, command) => {
    expect(topLevel(printed(`f() { :; } ${end}\ng() { :; }\n`)).commands).toContain(command);
  });

  test('commands between such a function and the next', () => {
    const { commands } = topLevel(printed('f() { :; } && mkdir /x\ng() { echo g; }\ntouch /y\nh() { echo h; }\n'));
    expect(commands).toContain('mkdir /x');
    expect(commands).toContain('touch /y');
    expect(commands).not.toContain('echo');
  });

  test('what its assignments expand', () => {
    const of = (text: string): string => topLevel(printed(text)).expansions;
    expect(of('A=1\nB="x $A"\nC=(y)\nf() { echo "$1"; }\n').trim()).toBe('B="x $A";');
  });

  test.each([
    ':',
    'shopt -s nullglob',
    'umask 077; set -u',
    'if [[ $A == b ]]; then B=c; elif [ -n "$A" ]; then export D; fi',
    'for x in a b; do LIST+=" $x"; done',
    '((X > 1)) && Y=2',
    'A="~n^foo.*" B=\'*?[x]\'',
    'A[1]=x; B=("${A[@]}" y)',
    '[[ -n $A ]] && B=${A%x}',
    'case $A in a) B=1 ;; esac',
  ])('%s: reads nothing', (text) => {
    // What a case has before its parenthesis, and what is compared, is not understood.
    expect(topLevel(printed(text)).readsNothing).toBe(!text.startsWith('case') && !text.startsWith('(('));
  });

  test.each([
    'A=$(cat file)',
    'A=`cat file`',
    'source lib.sh',
    '. lib.sh',
    'read -r A <file',
    'mapfile -t A < <(ls)',
    'if [[ -e file ]]; then A=1; fi',
    '[ -f file ] && A=1',
    'test -f file && A=1',
    'cat file',
    'if grep -q x file; then A=1; fi',
    'true && cat file',
    'echo x >file',
    'FILES=(realmfs-files/*)',
    'FILES=(file[12])',
    'for f in *.txt; do LIST+=" $f"; done',
    'P="realmfs-files/*"; FILES=($P)',
    'set -- ?; A=1',
  ])('%s: may read', (text) => {
    expect(topLevel(printed(text)).readsNothing).toBe(false);
  });

  test('a comment and a function change nothing of it', () => {
    const of = (more: string): string => topLevel(printed(`touch /a\n${more}\nA=1\n`)).commands;
    expect(of('# comment')).toBe(of('f() { echo 2; }'));
    expect(of('touch /b')).not.toBe(of(''));
  });
});

describe('which functions a text can call', () => {
  const functions = new Map([
    ['one', 'one() { two; }'],
    ['two', 'two() { echo; }'],
    ['three', 'three() { echo "$1"; }'],
    ['indirect', 'indirect() { "$1"; }'],
  ]);
  const names = (...texts: string[]): string[] => [...reach(texts, [], functions).functions.keys()].sort();

  test('those it names, and those that they name', () => {
    expect(names('one')).toEqual(['one', 'two']);
    expect(names('echo none someone one-more')).toEqual([]);
    expect(names('x=$(three)')).toEqual(['three']);
    expect(names('indirect a')).toEqual(['indirect', 'one', 'three', 'two']);
  });

  test('a text that is known to name what it calls', () => {
    expect([...reach([], ['"${command[@]}" one'], functions).functions.keys()].sort()).toEqual(['one', 'two']);
  });

  test.each([
    '"$x" a',
    '$x',
    '${x[@]} a',
    'foo && $x',
    'if $x; then :; fi',
    'while "$x"; do :; done',
    'for x in a; do $x; done',
    'A=1 $x',
    'A="a b" $x',
    '>file $x',
    '2>/dev/null $x',
    'eval "x"',
    'a; eval x',
    'source file',
    '. file',
    'trap "x" EXIT',
    'alias a=b',
    'module x',
    '`x`',
    'bash -c x',
    '! $x',
    'time $x',
    'time -p $x',
    'command $x',
    'builtin "$x"',
    'exec $x',
    'coproc $x',
    'case a in a) $x ;; esac',
    '{ $x; }',
    '($x)',
    'echo $($x)',
    'mapfile -C $x file',
    'declare -f "$x"',
    'export -f "$x"',
    'unset -f $x',
    '{a,b} c',
    'pre{a,b} c',
    'i"nf"o x',
    'i\\nfo x',
    'o?e',
    'echo "${x@P}"',
    'true \\\n && $x',
    'coproc NAME { $x; }',
    'select x in a; do $x; done',
    'until $x; do :; done',
  ])('%s: all', (text) => {
    expect(callsIndirectly(text)).toBe(true);
  });

  test.each([
    'echo "$x"',
    'local x=1 y=$z',
    'x=1 y=$z',
    'mkdir -p "$x"',
    '[[ -e $x ]] || echo no',
    '[ -e "$x" ] || echo no',
    'for f in "$x"/*; do rm "$f"; done',
    'cat <<EOF\nplain text\nEOF',
    'install_file 0644 a.txt /etc',
    'printf "%s\\n" "${x[@]}" >/file',
    'apt-get install -y a b',
    'if [[ $x == y ]]; then echo z; fi',
    '((x > 1)) && echo "$x"',
  ])('%s: only what it names', (text) => {
    expect(callsIndirectly(text)).toBe(false);
  });
});

test.each([
  ['cp "$REALMFS_PROJECT/x" /', true],
  ['cat /dev/realmfs/project/x', true],
  ['cp -r /dev/realmfs /opt', true],
  ['cat /dev/realmfs/*/data', true],
  ['dirname "${BASH_SOURCE[0]}"', true],
  // These find nothing.
  ['ls /run', false],
  ['find / -name x', false],
  ['grep -r x /', false],
  ['cp -a /* /mnt', false],
  ['cat ~-/x', false],
  ['cat >/dev/realmfs/out/x', false],
  ['bash /dev/realmfs/lib/chroot/x', false],
  ['mkdir -p /run/lock', false],
  ['cp a /etc/', false],
  ['echo /etc/x', false],
  ['rm -rf /usr/share/doc', false],
  ['install_file 0644 a /opt', false],
])('%s names the project: %s', (text, expected) => {
  expect(namesProject(text)).toBe(expected);
});

test.each([
  ['echo "${!name}"', true],
  ['declare -p', true],
  ['set', true],
  ['env | sort', true],
  ['local -n x=y', true],
  ['declare -g -p', true],
  ['declare "-p"', true],
  ['declare -g "$flag"', true],
  ['readonly -p | sort', true],
  ['export -p >x', true],
  ['declare -x', true],
  ['\\set', true],
  ["'set' >x", true],
  ['de\\\nclare -p', true],
  ['"$command" >x', true],
  ['local x="$1" y', false],
  ['declare -A x=([a]=b)', false],
  ['declare -x X=1', false],
  ['set -e', false],
  ['echo "$PACKAGES"', false],
  ['export X=1', false],
])('%s reads variables that it does not name: %s', (text, expected) => {
  expect(readsVariablesIndirectly(text)).toBe(expected);
});

test.each([
  ['echo "$LINENO"', true],
  ['trap \'echo "${BASH_LINENO[0]}"\' ERR', true],
  ['caller 0', true],
  ['x=$(caller)', true],
  ['echo $LINE\\\nNO', true],
  ['touch /opt/caller', false],
  ['MY_LINENO=1', false],
])('%s depends on lines: %s', (text, expected) => {
  expect(namesLines(text)).toBe(expected);
});

test('a name that a backslash parts at the end of a line is one name', () => {
  const functions = new Map([
    ['helper', 'helper () { :; }'],
    ['other', 'other () { :; }'],
  ]);
  expect([...reach(['hel\\\nper'], [], functions).functions.keys()]).toEqual(['helper']);
});
