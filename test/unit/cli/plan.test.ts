import { mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandNames } from '../../../src/cli/options/commands.ts';
import { parseArguments, unknownWord } from '../../../src/cli/options.ts';
import { findOutput } from '../../../src/cli/output-folder.ts';
import { planText } from '../../../src/cli/plan-text.ts';
import type { PlanReport } from '../../../src/messages/plan.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

describe('the command line of plan', () => {
  const defaults = { config: undefined, directory: 'realmfs', targets: [], set: {}, json: false, debug: false, color: 'auto' };

  test.each<[string[], object]>([
    [['plan'], {}],
    [['plan', '--json', 'a.conf'], { json: true, config: 'a.conf' }],
    [['plan', '-tz', '--set', 'A=1', '-d', 'out'], { targets: ['tarball', 'tarball-xz'], set: { A: '1' }, directory: 'out' }],
    [['-d', 'out', '--set', 'A=1', 'plan', '--json', '--set', 'B=2'], { directory: 'out', set: { A: '1', B: '2' }, json: true }],
    [['plan', './plan'], { config: './plan' }],
    [['plan', 'plan'], { config: 'plan' }],
    [['plan', '--', '-x'], { config: '-x' }],
  ])('%j', (args, expected) => {
    expect(parseArguments(args)).toEqual({ kind: 'plan', options: { ...defaults, ...expected } });
  });

  test.each([[['./plan']], [['--', 'plan']], [['-d', 'plan']], [['--set=A=plan']]])('%j builds', (args) => {
    expect(parseArguments(args).kind).toBe('options');
  });

  test.each([
    [['plan', '--jsno'], "unknown option '--jsno'\n(Did you mean --json?)"],
    [['--keep-rootfs', 'plan'], "unknown option '--keep-rootfs'"],
    [['plan', 'a', 'b'], 'too many arguments. Expected 1 argument but got 2.'],
    [['plan', '--targets', ','], '--targets: names no target'],
    [['--tmpfs-size', 'big', 'plan'], "--tmpfs-size: 'big' is no size"],
  ])('%j is refused', (args, message) => {
    expect(() => parseArguments(args)).toThrow(expect.objectContaining({ message, exitCode: 2 }));
  });

  test('its help, and the list of commands in the main help', () => {
    const text = (...args: string[]): string => {
      const parsed = parseArguments(args);
      return parsed.kind === 'text' ? parsed.text : '';
    };
    expect(text('plan', '--help')).toMatch(/^Usage: realmfs-builder plan \[options\] \[CONFIG\]\n(?:.*\n)*.*--json/);
    for (const name of commandNames) expect(text('--help')).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'));
    expect(() => parseArguments(['plan', '--x'])).toThrow(
      expect.objectContaining({ hint: 'realmfs-builder plan --help lists the options' }),
    );
  });

  test('a slip is put right, a missing file is not called itself', () => {
    expect(unknownWord('paln').message).toBe('paln: there is no such file or command; did you mean plan?');
    expect(unknownWord('plan').message).toBe('plan: there is no such file or command');
  });
});

test('the output folder is found without being made', async () => {
  const root = realpathSync(tempRoot({ file: '' }));
  mkdirSync(path.join(root, 'real'));
  symlinkSync('real', path.join(root, 'link'));
  expect(await findOutput('link/a/b', root)).toBe(path.join(root, 'real/a/b'));
  expect(await findOutput('link', root)).toBe(path.join(root, 'real'));
  expect(await findOutput('/', root)).toBe('/');
  await expect(findOutput('file', root)).rejects.toMatchObject({ message: '--directory: file is not a folder', exitCode: 2 });
  await expect(findOutput('file/below', root)).rejects.toMatchObject({ message: '--directory: file/below is not a folder' });
});

test('two aligned tables, without control characters', () => {
  const report: PlanReport = {
    version: 1,
    builder: { name: 'realmfs-builder', version: '0' },
    config: null,
    output: '/out',
    warnings: ['no \u001b[31mmirror'],
    settings: [
      { key: 'PACKAGES', value: ['a', 'b'], origin: 'config', from: 'build.conf:3' },
      { key: 'NETWORK', value: '', origin: 'default', from: 'default' },
      { key: 'MINE', value: 'x\n\u001b]0;y', origin: 'option', from: 'option' },
    ],
    steps: [
      { step: 'config', origin: 'builder', from: 'build.conf', overrides: [], cached: null, why: [] },
      {
        step: 'pre/x',
        origin: 'function',
        from: 'function, build.conf:1',
        module: 'x',
        overrides: ['realmfs-modules/x', 'built-in'],
        cached: false,
        why: ['step pre/x has changed: - a; + b'],
      },
    ],
    packages: ['c', 'a', 'b'],
    files: [],
    localPackages: [],
    provides: null,
    targets: [{ name: 'ext4', file: 'citadel-realmfs.ext4' }],
  };
  expect(planText(report, false)).toBe(`Configuration: built-in base image
Output folder: /out
Targets:       ext4
Packages:      c a b

SETTING   FROM          VALUE
PACKAGES  build.conf:3  a b
NETWORK   default       -
MINE      option        x \\x1b]0;y

    STEP    FROM                    IN PLACE OF                  CACHED
 1  config  build.conf
 2  pre/x   function, build.conf:1  realmfs-modules/x, built-in  no

pre/x: step pre/x has changed: - a; + b

Warning: no \\x1b[31mmirror
`);
});
