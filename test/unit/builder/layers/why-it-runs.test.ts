import { expect, test } from 'vitest';
import { differences } from '../../../../src/builder/layers/why-it-runs.ts';

const many = 'iproute2 less xz-utils sudo dbus libpam-systemd openssh-client bash-completion man-db vim-nox tmux';

test.each([
  ['nothing', { a: 'x' }, { a: 'x' }, []],
  ['what is new and what is gone', { a: 'x' }, { b: 'x' }, ['a is gone', 'b is new']],
  ['a short value', { 'setting NAME': 'x' }, { 'setting NAME': 'y' }, ['setting NAME was x, is y']],
  ['a variable', { 'variable V': 'declare -- V="1"' }, { 'variable V': 'declare -- V="2"' }, ['variable V was "1", is "2"']],
  [
    'a variable that is exported now',
    { 'variable V': 'declare -- V="1"' },
    { 'variable V': 'declare -x V="1"' },
    ['variable V was declare -- V="1", is declare -x V="1"'],
  ],
  ['a long one', { 'setting NAME': 'x' }, { 'setting NAME': 'y'.repeat(100) }, ['setting NAME has changed']],
  ['a secret', { 'setting ROOT_PASSWORD': 'x' }, { 'setting ROOT_PASSWORD': 'y' }, ['setting ROOT_PASSWORD has changed']],
  ['packages', { packages: many }, { packages: `${many.replace('less ', '')} jq` }, ['packages: - less; + jq']],
  [
    'one change, told once',
    { packages: 'tree', 'setting PACKAGES': 'tree', 'variable PACKAGES': 'tree' },
    { packages: 'tree jq', 'setting PACKAGES': 'tree jq', 'variable PACKAGES': 'tree jq' },
    ['packages was tree, is tree jq'],
  ],
  ['a setting is a variable', { 'setting A': '1', 'variable A': '1' }, { 'setting A': '2', 'variable A': '2' }, ['setting A was 1, is 2']],
  [
    'the text of a step is that of its function',
    { 'function f': 'a', 'step post/f': 'a' },
    { 'function f': 'b;', 'step post/f': 'b;' },
    ['function f has changed: - a; + b'],
  ],
  ['a file of a module', { 'step post/f': 'a' }, { 'step post/f': 'b' }, ['step post/f has changed: - a; + b']],
  [
    'all of build.conf counts from now on',
    { 'function f': 'a' },
    { 'function f': 'b', 'function g': 'x', 'setting A': '1', 'commands at the top level of build.conf': 'echo' },
    ['commands at the top level of build.conf are new', 'function f has changed: - a; + b'],
  ],
  [
    'a module more',
    { 'whether a module comes after it': 'false' },
    { 'whether a module comes after it': 'true' },
    ['a module comes after it now'],
  ],
  ['the lines of a function', { 'function f': 'a\nb' }, { 'function f': 'a\nc' }, ['function f has changed: - b; + c']],
  ['their order', { 'function f': 'a\nb' }, { 'function f': 'b\na' }, ['function f has changed: the order of its lines']],
])('%s', (_, before, now, expected) => {
  expect(differences(before as Record<string, string>, now as Record<string, string>)).toEqual(expected);
});
