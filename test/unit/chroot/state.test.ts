import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bash, chrootScripts, load, records } from '../../helpers/chroot-scripts.ts';

/** Stands for build.conf: sourced by every step before the state of the last one. */
const conf = `
GIVEN=1; LIST=(a b c); declare -A MAP=([k]=v); declare -i NUMBER=1; export SHOWN=yes; declare -u LOUD=x
given() { echo first; }
`;

/** Runs one script a step, each in a bash of its own as stage two does it; returns what the last one prints. */
function steps(...scripts: string[]): { stdout: string; stderr: string; run: string } {
  const run = chrootScripts();
  const begin = `${load}\n${conf}\ncd /\n__realmfs_snapshot\n[[ ! -f $run/in/state.sh ]] || source "$run/in/state.sh"\n__realmfs_restore_traps`;
  const end =
    '(__realmfs_take_shell; __realmfs_hand_over >"$run/out/state.sh"; mv "$run/out/state.sh" "$run/in/state.sh"); builtin trap - EXIT';
  const results = scripts.map((script, index) => bash(`${begin}\n${script}\n${index === scripts.length - 1 ? '' : end}`, run));
  return { stdout: results.at(-1)?.stdout ?? '', stderr: results.map(({ stderr }) => stderr).join(''), run };
}

describe('what a step leaves, the next one finds', () => {
  test.each([
    ['a value with control characters', `X=$'a\\tb\\r\\nc \\x01'`, 'printf %s "$X" | od -An -c | tr -d " \\n"', 'a\\tb\\r\\nc001'],
    ['an empty value', 'X=', 'echo "${X-unset}${X:-empty}"', 'empty\n'],
    ['a value that looks like shell', `X='$(echo no) \`echo no\` "; echo no'`, 'echo "$X"', '$(echo no) `echo no` "; echo no\n'],
    ['an empty array', 'A=()', 'declare -p A', 'declare -a A=()\n'],
    ['an array with a hole', 'unset "LIST[1]"', 'echo "${!LIST[*]}"', '0 2\n'],
    ['a longer array that became shorter', 'LIST=(z)', 'echo "${#LIST[@]} ${LIST[0]}"', '1 z\n'],
    [
      'an associative array with odd keys',
      `declare -A M=(['a]b']=1 ["\\$x"]=2 ['q"']=3)`,
      `echo "\${M['a]b']}\${M["\\$x"]}\${M['q"']}"`,
      '123\n',
    ],
    ['a key that was removed', 'unset "MAP[k]"', 'echo "${#MAP[@]}"', '0\n'],
    ['an exported readonly variable', 'declare -rx R=1', 'bash --norc -c "echo \\$R"; (R=2) 2>/dev/null || echo fixed', '1\nfixed\n'],
    ['a declared variable without value', 'declare -x LATER', 'LATER=1; bash --norc -c "echo \\$LATER"', '1\n'],
    ['a name reference', 'declare -n REF=GIVEN', 'REF=7; echo "$GIVEN"', '7\n'],
    ['another body of a function', 'given() { echo second; }', 'given', 'second\n'],
    ['a function with a dash in its name', 'my-func() { echo dash; }', 'my-func', 'dash\n'],
    ['a here document with quotes', "f() { cat <<'X'\n$a `b` \\\nX\n}", 'f', '$a `b` \\\n'],
    ['two here documents and a pipe', 'f() { cat <<A - | tr a-z A-Z\nx\nA\ncat <<B\ny\nB\n}', 'f', 'X\ny\n'],
    ['a function in a subshell body', 'f() ( exit 3 )', 'f; echo $?', '3\n'],
    ['noglob', 'set -f', 'echo /*', '/*\n'],
    ['an option that was switched off', 'shopt -u sourcepath', 'shopt -q sourcepath || echo off', 'off\n'],
    ['an empty IFS', 'IFS=', 'A="1 2"; set -- $A; echo $#', '1\n'],
    ['IFS with a line feed', `IFS=$'\\n,'`, `A=$'1\\n2,3 4'; set -- $A; echo $#`, '3\n'],
    ['a folder with blanks', 'mkdir -p "$run/root/a b"; cd "$run/root/a b"', 'basename "$PWD"', 'a b\n'],
    ['a trap on a signal', `trap 'echo got it' USR1`, 'kill -USR1 $$', 'got it\n'],
    ['an ignored signal', `trap '' USR1`, 'kill -USR1 $$; echo alive', 'alive\n'],
    ['a trap with quotes', `trap 'echo "it'\\''s over"' EXIT`, ':', "it's over\n"],
  ])('%s', (_, change, look, expected) => {
    const { stdout, stderr } = steps(change, look);
    expect(stderr).toBe('');
    expect(stdout).toBe(expected);
  });

  test('over many steps, and back to what build.conf says', () => {
    const { stdout, stderr } = steps(
      'GIVEN=2; readonly R=1; umask 077',
      'LIST+=("$GIVEN")',
      'GIVEN=1',
      'echo "$GIVEN ${LIST[*]} $R $(umask)"',
    );
    expect(stderr).toBe('');
    expect(stdout).toBe('1 a b c 2 1 0077\n');
  });

  test('a variable that changes its kind', () => {
    const { stdout, stderr } = steps(
      'unset LIST MAP; LIST=text; declare -a MAP=(x); export -n SHOWN; declare +i NUMBER; declare +u LOUD',
      'declare -p LIST MAP SHOWN NUMBER LOUD',
    );
    expect(stderr).toBe('');
    expect(stdout).toBe(
      'declare -- LIST="text"\ndeclare -a MAP=([0]="x")\ndeclare -- SHOWN="yes"\ndeclare -- NUMBER="1"\ndeclare -- LOUD="X"\n',
    );
  });

  test('IFS that was unset', () => {
    expect(steps('unset IFS', 'echo "${IFS-unset}"; A="1 2"; set -- $A; echo $#').stdout).toBe('unset\n2\n');
  });

  test.each(['EPOCH', 'EPOCH_START', 'COMP_LEVEL', 'BASH_TOOLS'])('%s is a name like any other', (name) => {
    expect(steps(`${name}=mine`, `echo "\${${name}-lost}"`).stdout).toBe('mine\n');
  });

  test.each([
    ['cd', 'cd() { builtin cd "$@" && echo "now in $PWD"; }'],
    ['unset', 'unset() { echo mine; }'],
    ['read', 'read() { echo mine; }'],
    ['printf', 'printf() { echo mine; }'],
    ['declare', 'declare() { echo mine; }'],
    ['continue', 'continue() { echo mine; }'],
    ['grep', 'grep() { echo mine; }; umask 027'],
  ])('a function of the user that is called %s', (_, change) => {
    const { stdout, stderr } = steps(`${change}; GIVEN=5; f() { :; }`, 'echo "$GIVEN"; builtin declare -F f');
    expect(stderr).toBe('');
    expect(stdout).toBe('5\nf\n');
  });

  test.each(['nocasematch', 'nullglob', 'failglob', 'xpg_echo'])('options do not disturb the framework: %s', (option) => {
    const { stdout, stderr } = steps(
      `shopt -s ${option}; set -f; X='back\\slash *'; x=lower; IFS=x; cd /usr`,
      'unset IFS; builtin printf "%s|" "$X" "$x" "$PWD"',
    );
    expect(stderr).toBe('');
    expect(stdout).toBe('back\\slash *|lower|/usr|');
  });
});

describe('what is not handed on', () => {
  test.each([
    ['set -eEuo pipefail', 'set -o | grep -Ec "^(errexit|errtrace|nounset|pipefail)[[:space:]]+on"', '0\n'],
    ['SECONDS=500; RANDOM=1', 'echo $((SECONDS < 100))', '1\n'],
  ])('%s', (change, look, expected) => {
    expect(steps(change, look).stdout).toBe(expected);
  });

  test('names of the framework', () => {
    const { run } = steps('X=1; f() { :; }; trap "echo bye" EXIT; IFS=,; cd /usr; umask 027', ':');
    const state = readFileSync(path.join(run, 'in/state.sh'), 'utf8');
    expect(state.split('\n').filter((line) => /__realmfs_(?!hide_functions$|show_functions$|restore_traps\(\) \{$)/.test(line))).toEqual(
      [],
    );
  });

  test('what a step sees: the helpers and nothing else without the prefix', () => {
    const names = (script: string): string[] => bash(script, chrootScripts()).stdout.trim().split('\n');
    const all = 'declare -F | cut -d" " -f3; compgen -v | grep -v BASH_REMATCH';
    const before = new Set(names(`run=$1; ${all}`));
    const added = names(`${load}\n__realmfs_snapshot\n${all}`).filter((name) => !before.has(name) && !name.startsWith('__realmfs_'));
    expect(added.sort()).toEqual([
      'BASE_PACKAGES',
      'BASE_POST_INSTALL_MODULES',
      'BASE_PRE_INSTALL_MODULES',
      'REALMFS_PROJECT',
      'fatal',
      'info',
      'install_file',
      'module',
      'warn',
    ]);
  });
});

describe('what the framework tells the builder', () => {
  function told(script: string): string[][] {
    const run = chrootScripts();
    bash(`${load}\n${script}`, run);
    return records(run).map((fields) => fields.map((field) => field.replaceAll(run, 'RUN')));
  }

  test('fatal: message and place; also from a subshell, and nothing runs after it', () => {
    expect(told('fatal "no way"; __realmfs_record after')).toEqual(
      [['fatal', 'no way', '', '1']].map((row) => expect.arrayContaining(row.slice(0, 2))),
    );
    expect(told('x=$(fatal deep); __realmfs_record after').map((row) => row.slice(0, 2))).toEqual([['fatal', 'deep']]);
  });

  test('a changed helper is a warning', () => {
    const script = '__realmfs_name=mine; __realmfs_helpers=$(declare -f module info warn fatal install_file); __realmfs_snapshot';
    const end = '__realmfs_take_shell; __realmfs_changed_helpers';
    expect(told(`${script}; ${end}`)).toEqual([]);
    expect(told(`${script}; info() { :; }; ${end}`)).toEqual([
      ['warning', 'mine redefines a function of the framework (module, info, warn, fatal or install_file)'],
    ]);
  });

  test('a list that differs from the plan ends the step', () => {
    const script =
      'PACKAGES="a b"; PRE_INSTALL_MODULES=; POST_INSTALL_MODULES=(x); __realmfs_planned_PRE_INSTALL_MODULES=(); __realmfs_planned_POST_INSTALL_MODULES=(x)';
    expect(told(`${script}; __realmfs_planned_PACKAGES=(a b); __realmfs_check_lists; __realmfs_record went on`)).toEqual([['went', 'on']]);
    expect(told(`${script}; __realmfs_planned_PACKAGES=(a); __realmfs_check_lists; __realmfs_record went on`).map((row) => row[1])).toEqual(
      ["build.conf: PACKAGES is 'a b' inside the image, but was 'a' before"],
    );
  });

  test('fatal without a builder is the last line on standard error', () => {
    const run = chrootScripts();
    const { stderr, status } = bash(`${load}\nrm "$run/out/status"\nfatal "not now"`, run);
    expect(stderr).toMatch(/: line \d+: not now\n$/);
    expect(status).toBe(1);
  });
});

describe('settings inside the image', () => {
  function settle(before: string, call: string, look: string) {
    const run = chrootScripts();
    return { ...bash(`${load}\n${before}\n${call}\n${look}`, run), fatal: records(run)[0]?.[1] };
  }

  test.each([
    ['was open', '', "__realmfs_settle X '' found", 'echo "$X"', 'found\n'],
    ['stays', 'X=a', '__realmfs_settle X a a', 'echo "$X"', 'a\n'],
    [
      'is completed',
      'X=http://m.example/debian/',
      '__realmfs_settle X http://m.example/debian/ http://m.example/debian',
      'echo "$X"',
      'http://m.example/debian\n',
    ],
    ['an array becomes words', 'X=(a b)', "__realmfs_settle X 'a b' 'a,b'", 'echo "$X ${#X[@]}"', 'a,b 1\n'],
    ['a readonly one that fits', 'readonly X=a', '__realmfs_settle X a a', 'echo "$X"', 'a\n'],
  ])('%s', (_, before, call, look, expected) => {
    const { stdout, stderr, fatal } = settle(before, call, look);
    expect([stdout, stderr, fatal]).toEqual([expected, '', undefined]);
  });

  test('another value than in the evaluation ends the step', () => {
    expect(settle('X=c', '__realmfs_settle X a b', 'echo on')).toMatchObject({
      stdout: '',
      fatal: "build.conf: X is 'c' inside the image, but was 'a' before",
    });
  });

  test('--set over a readonly variable is refused', () => {
    expect(settle('readonly X=a', '__realmfs_override X b', 'echo on')).toMatchObject({
      stdout: '',
      fatal: 'X is readonly in build.conf: --set cannot change it',
    });
  });

  test.each([
    ['X=a; X=(1 2)', '__realmfs_override X "b c"', 'declare -p X', 'declare -- X="b c"\n'],
    ['', '__realmfs_default X d', 'echo "$X"', 'd\n'],
    ['X=', '__realmfs_default X d', 'echo "[$X]"', '[]\n'],
  ])('%s, %s', (before, call, look, expected) => {
    expect(settle(before, call, look).stdout).toBe(expected);
  });
});
