import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { failureText } from '../../../src/cli/error-report.ts';
import { readEnvFile } from '../../../src/config/env-file.ts';
import { assignmentLine } from '../../../src/config/evaluate.ts';
import { copyProject, projectContents } from '../../../src/config/project.ts';
import { ConfigError, PreflightError, toFailure, UsageError } from '../../../src/errors.ts';
import { createRunner } from '../../../src/system/runner.ts';
import { fakeCommand, withFakes } from '../../helpers/fake-command.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

// As on a network file system: root itself is refused.
vi.mock(import('node:fs/promises'), async (original) => {
  const real = await original();
  const readdir = (folder: Parameters<typeof real.readdir>[0], ...rest: never[]): unknown =>
    String(folder).endsWith('/closed')
      ? Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' }))
      : real.readdir(folder, ...rest);
  return { ...real, readdir: readdir as typeof real.readdir };
});

const isRoot = process.getuid?.() === 0;
const runner = createRunner({ report: () => {}, signal: new AbortController().signal, currentStep: () => 'config' });
const caught = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe('a project that cannot be read, though root asks (NFS, FUSE)', () => {
  test('unreadable build.conf', async () => {
    const root = tempRoot({ 'source/build.conf': '', 'project/x': '', 'evaluate/x': '' });
    const refusing = withFakes(runner, fakeCommand('tar', `echo "tar: build.conf: Cannot open: Permission denied" >&2; exit 2`));
    const [source, project, evaluate] = ['source', 'project', 'evaluate'].map((name) => path.join(root, name));
    const options = {
      source: source ?? '',
      project: project ?? '',
      evaluate: evaluate ?? '',
      names: ['build.conf'],
      configName: 'build.conf',
    };
    const error = await caught(copyProject({ ...options, runner: refusing }));
    expect(error).toBeInstanceOf(PreflightError);
    expect(error).toMatchObject({
      message: "the project cannot be read whole: cannot open 'build.conf': Permission denied",
      exitCode: 3,
    });
    // Another fault of tar stays what it is.
    const failing = withFakes(runner, fakeCommand('tar', 'echo "tar: x: Cannot write: No space left on device" >&2; exit 2'));
    expect(await caught(copyProject({ ...options, runner: failing }))).toMatchObject({
      code: 'command',
      message: 'copying the project failed with exit code 2',
    });
  });

  test('unreadable folder', async () => {
    const source = tempRoot({ 'build.conf': '', 'closed/x': '' });
    expect(await caught(projectContents(source, 'build.conf', []))).toMatchObject({
      message: "the project cannot be read whole: 'closed': Permission denied",
      exitCode: 3,
    });
  });
});

test('heredoc with look-alike assignments: static reading is for the line of a message, and for nothing else', () => {
  expect(assignmentLine('A=1\ncat <<END\nA=2\nEND\n', 'A')).toBe(3);
});

test.each([
  ['A=1\n# c\n\n  # d\nexport B = 2\nC: 3', []],
  ['REALMFS_NAME="a\n# b\nc"\njunk', [4]],
  ['A\n=b\nA b=c', [1, 2, 3]],
  [`A='it\n'\r\nB\r\n`, [3]],
])('lines of realmfs.env that are no KEY=value: %j', async (text, lines) => {
  const root = tempRoot({ 'realmfs.env': text });
  const own = isRoot ? undefined : process.getuid?.();
  const error = await caught(readEnvFile(root, own));
  const told = error instanceof ConfigError ? [error.message, ...error.details].join('\n') : '';
  expect([...new Set([...told.matchAll(/realmfs\.env:(\d+): is no KEY=value/g)].map(([, line]) => Number(line)))]).toEqual(lines);
});

test('a log whose path has a newline is named on the one last line', () => {
  const text = failureText(toFailure(new UsageError('no'), ''), { log: '/a\nb/realmfs-build.log', debug: false, color: false });
  expect(text).toBe('realmfs-builder: error: no; log: "/a\\nb/realmfs-build.log"\n');
});
