import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeConfig } from '../../../src/config/config.ts';
import { readEnvFile } from '../../../src/config/env-file.ts';
import { assignmentLine, checkScript, type Evaluation, parseEvaluation, settingsBefore } from '../../../src/config/evaluate.ts';
import { projectContents } from '../../../src/config/project.ts';
import { settings } from '../../../src/config/settings.ts';
import { ConfigError } from '../../../src/errors.ts';
import type { BuildRequest } from '../../../src/messages/request.ts';
import { createRunner } from '../../../src/system/runner.ts';
import { blankEvaluation, blankRequest } from '../../helpers/blank.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const runner = createRunner({ report: () => {}, signal: new AbortController().signal, currentStep: () => 'test' });
const folder = (): string => tempRoot();

const request: BuildRequest = {
  ...blankRequest,
  configName: 'build.conf',
  hasProject: true,
  version: '0',
};

test('records of the evaluation', () => {
  const records = [
    'var',
    'A',
    'string',
    '1',
    'x\ny',
    'var',
    'L',
    'array',
    '2',
    'a b',
    '',
    'said',
    'A',
    'kept',
    'said',
    'L',
    'changed',
    'base',
    'BASE_L',
    '2',
    'x',
    'y',
    'name',
    'A',
    'function',
    'f',
    'f 7 /p/build.conf\n',
    'f ()\n{\n    :\n}\n',
    'done',
    '',
  ];
  const evaluation = parseEvaluation(Buffer.from(records.join('\0')));
  expect(evaluation?.variables.get('A')).toEqual({ type: 'string', values: ['x\ny'] });
  expect(evaluation?.variables.get('L')).toEqual({ type: 'array', values: ['a b', ''] });
  expect([...(evaluation?.said ?? [])]).toEqual([
    ['A', 'kept'],
    ['L', 'changed'],
  ]);
  expect(evaluation?.bases.get('BASE_L')).toEqual(['x', 'y']);
  expect([...(evaluation?.names ?? [])]).toEqual(['A']);
  expect(evaluation?.functions.get('f')).toEqual({ file: '/p/build.conf', line: 7 });
  expect(evaluation?.bodies.get('f')).toBe('f ()\n{\n    :\n}');
});

test.each([
  ['', 'empty'],
  ['var\0A\0string\x001\0x\0', 'without its end'],
  ['junk\0done\0', 'with junk'],
])('an evaluation that is %j is not complete (%s)', (text) => {
  expect(parseEvaluation(Buffer.from(text))).toBeUndefined();
});

test.each([
  ['A=1\nB=2\nA=3\n', 3],
  ['export A=1\n', 1],
  ['declare -x -i A=1\n', 1],
  ['A+=x\n', 1],
  [': "${A:=1}"\n', 1],
  ['BA=1\nAA=2\n', undefined],
])('the line that assigns A in %j', (text, line) => {
  expect(assignmentLine(text, 'A')).toBe(line);
});

describe('scripts that bash would misread', () => {
  test.each([
    ['a\nb\r\n', { line: 2, message: expect.stringContaining('CRLF') }],
    ['a\n\0b', { line: 2, message: 'holds a NUL byte' }],
    ['\ufeffA=1\n', { line: 1, message: expect.stringContaining('byte order mark') }],
    ['true\nif x\n', { message: 'syntax error: unexpected end of file' }],
    ['fi\n', { line: 1, message: "syntax error near unexpected token `fi'" }],
  ])('%j', async (text, problem) => {
    const file = path.join(folder(), 'build.conf');
    writeFileSync(file, text);
    expect((await checkScript(path.dirname(file), 'build.conf', runner))[0]).toMatchObject({ file: 'build.conf', ...problem });
  });

  test('a good one', async () => {
    const file = path.join(folder(), 'build.conf');
    writeFileSync(file, 'f() { cat <<X\n}\nX\n}\nA=(1 2)\n');
    expect(await checkScript(path.dirname(file), 'build.conf', runner)).toEqual([]);
  });
});

test('values are handed to bash quoted, those for the builder alone are not', () => {
  const text = settingsBefore({
    ...request,
    envFile: { NETWORK: 'off' },
    environment: { NETWORK: 'on', REALMFS_CACHE_DIR: '/c' },
    overrides: { PACKAGES: "a'b $(c)" },
  });
  expect(text).toBe(`# shellcheck shell=bash\nNETWORK=on\nPACKAGES="a'b \\$(c)"\n`);
});

test('realmfs.env: settings only, and not from a file that everybody can write', async () => {
  const at = folder();
  expect(await readEnvFile(at, undefined)).toEqual({});
  const file = path.join(at, 'realmfs.env');
  writeFileSync(file, 'DEBIAN_RELEASE=bookworm\nREALMFS_NAME="a b"\n', { mode: 0o644 });
  const own = process.getuid?.() === 0 ? undefined : process.getuid?.();
  expect(await readEnvFile(at, own)).toEqual({ DEBIAN_RELEASE: 'bookworm', REALMFS_NAME: 'a b' });
  writeFileSync(file, 'PATH=/evil\nDEBIAN_RELEAS=x\n');
  await expect(readEnvFile(at, own)).rejects.toMatchObject({
    details: [
      expect.stringContaining('PATH: unknown setting'),
      'realmfs.env: DEBIAN_RELEAS: unknown setting; did you mean DEBIAN_RELEASE?',
    ],
  });
});

test('what of a project is copied', async () => {
  const at = folder();
  for (const name of ['.git', 'node_modules', 'out', 'old', 'realmfs-modules', 'lib']) mkdirSync(path.join(at, name));
  for (const name of ['build.conf', '.env', 'helper.sh', 'old/realmfs-build.log']) writeFileSync(path.join(at, name), '');
  expect(await projectContents(at, 'build.conf', ['out'])).toEqual(['build.conf', 'helper.sh', 'lib', 'realmfs-modules']);
  expect(await projectContents(at, null, [])).toEqual(['realmfs-modules']);
});

describe('config', () => {
  function evaluation(values: Record<string, string | string[]>, functions: string[] = []): Evaluation {
    const defaults = settings.flatMap(({ key, fallback, type }) =>
      fallback === undefined || type === 'builder' ? [] : [[key, fallback] as const],
    );
    return {
      ...blankEvaluation,
      variables: new Map(
        Object.entries({ ...Object.fromEntries(defaults), ...values }).map(([key, value]) => [
          key,
          { type: Array.isArray(value) ? ('array' as const) : ('string' as const), values: [value].flat() },
        ]),
      ),
      said: new Map(),
      bases: new Map(),
      names: new Set(['MINE']),
      functions: new Map(functions.map((name) => [name, { file: 'build.conf', line: 1 }])),
    };
  }

  async function config(text: string, said: Evaluation, changes: Partial<BuildRequest> = {}) {
    const project = folder();
    writeFileSync(path.join(project, 'build.conf'), text);
    mkdirSync(path.join(project, 'realmfs-modules'));
    for (const name of ['both', 'mine', 'set-hostname']) writeFileSync(path.join(project, 'realmfs-modules', name), 'true\n');
    return makeConfig({
      request: { ...request, ...changes },
      evaluation: said,
      project,
      builtIn: path.resolve(import.meta.dirname, '../../../realmfs-modules'),
      targets: ['realmfs', 'ext4', 'tarball'],
      suites: ['trixie', 'bookworm'],
      hostArch: 'amd64',
      runner,
    });
  }

  test('functions come before files of the project, these before built-in modules', async () => {
    const made = await config('', evaluation({ PRE_INSTALL_MODULES: 'both mine set-hostname create-user' }, ['both']));
    expect(made.preModules.map(({ origin }) => origin)).toEqual(['function', 'project', 'project', 'built-in']);
    expect(made.packageModule.origin).toBe('built-in');
    expect((await config('', evaluation({}, ['install-packages']))).packageModule.origin).toBe('function');
  });

  test('values', async () => {
    const made = await config(
      '',
      evaluation({ PACKAGES: ['a', 'b c'], DEBIAN_MIRROR: 'http://mirror.example/debian//', IMAGE_TARGETS: 'tarball,ext4;tarball' }),
    );
    expect(made).toMatchObject({
      packages: ['a', 'b', 'c'],
      mirror: 'http://mirror.example/debian',
      targets: ['tarball', 'ext4'],
      arch: 'amd64',
      freeSpace: 512 * 1024 ** 2,
      network: true,
    });
  });

  test('all problems at once, with their lines', async () => {
    const text = 'DEBIAN_RELEASE=a/b\n\nPRE_INSTALL_MODULES="crate-user info ../x"\nIMAGE_TARGETS=ext3\n';
    const said = evaluation({
      DEBIAN_RELEASE: 'a/b',
      PRE_INSTALL_MODULES: 'crate-user info ../x',
      IMAGE_TARGETS: 'ext3',
      NETWORK: ['on', 'off'],
    });
    const error = await config(text, said, { overrides: { MINEE: '1' } }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error instanceof ConfigError && error.details).toEqual([
      '--set: MINEE: neither a setting nor a variable of build.conf; did you mean MINE?',
      "build.conf:1: DEBIAN_RELEASE: 'a/b' is no suite name",
      'build.conf: NETWORK: is an array, but must be one string',
      'build.conf:4: IMAGE_TARGETS: there is no target ext3; did you mean ext4? (known: realmfs, ext4, tarball)',
      'build.conf:3: PRE_INSTALL_MODULES: there is no module crate-user; did you mean create-user?',
      "build.conf:3: PRE_INSTALL_MODULES: 'info' is no module name",
      "build.conf:3: PRE_INSTALL_MODULES: '../x' is no module name",
    ]);
  });
});
