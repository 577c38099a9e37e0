import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { confirmationText } from '../../../src/cli/confirm.ts';
import { failureText, sudoCommand } from '../../../src/cli/error-report.ts';
import { planTmpfs } from '../../../src/cli/preflight.ts';
import { publish } from '../../../src/cli/publish.ts';
import { createJsonReporter } from '../../../src/cli/reporters/json.ts';
import { createLogReporter, LOG } from '../../../src/cli/reporters/log.ts';
import { createPlainReporter } from '../../../src/cli/reporters/plain.ts';
import { plainText } from '../../../src/cli/reporters/reporter.ts';
import { Stopper } from '../../../src/cli/stopper.ts';
import { BuilderError, toFailure } from '../../../src/errors.ts';
import { held, heldFolders } from '../../helpers/held.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const folder = (): string => tempRoot();

describe('failures', () => {
  test('details and hint stand above the one last line', () => {
    const failure = toFailure(new BuilderError('it broke', { step: 'pre/x', details: ['command: false'], hint: 'try again' }), 'other');
    expect(failureText(failure, { log: '/out/realmfs-build.log', debug: false, color: false })).toBe(
      '  command: false\n  hint:    try again\nrealmfs-builder: error: pre/x: it broke; log: /out/realmfs-build.log\n',
    );
  });

  test('an unexpected error is our bug: 70, with a stack only for --debug', () => {
    const failure = toFailure(new TypeError('oops'), 'config');
    expect(failure).toMatchObject({ code: 'bug', exitCode: 70, step: 'config', cause: 'internal error: oops' });
    expect(failureText(failure, { log: undefined, debug: false, color: false })).not.toContain('    at ');
    expect(failureText(failure, { log: undefined, debug: true, color: false })).toContain('    at ');
  });

  test.each([
    ['config', 2],
    ['finalize', 1],
  ])('a path that the kernel does not take is none: %s, %i', async (step, exitCode) => {
    const thrown = await stat(`/tmp/${'long/'.repeat(1000)}`).catch((error: unknown) => error);
    const failure = toFailure(thrown, step);
    expect(failure).toMatchObject({ exitCode, step, cause: expect.stringContaining('or a path longer than 4095: /tmp/long/long/') });
    expect(failure.cause.length).toBeLessThan(200);
  });

  test('the command for sudo is quoted', () => {
    expect(sudoCommand('/home/a b/node', '/x/cli.js', ['-d', "it's"])).toBe(`sudo -- '/home/a b/node' /x/cli.js -d "it's"`);
  });
});

test('control characters do not reach a terminal', () => {
  expect(plainText('a\u001b[31mred\u001b[0m\u0007 b\u001b]x\tc')).toBe('ared bx\tc');
});

describe('reporters', () => {
  test('plain', () => {
    const lines: string[] = [];
    const { report } = createPlainReporter((text) => lines.push(text), { verbose: false, debug: false });
    report({ kind: 'step-start', step: 'config', index: 1, total: 0 });
    report({ kind: 'step-start', step: 'bootstrap', index: 2, total: 9 });
    report({ kind: 'output', step: 'bootstrap', line: 'hidden' });
    report({ kind: 'step-end', step: 'bootstrap', ok: false, seconds: 75.2 });
    expect(lines.map((line) => line.slice(9))).toEqual(['[1] config\n', '[2/9] bootstrap\n', 'bootstrap FAILED after 75 s\n']);
  });

  test('json: one event a line, with version and time', () => {
    const lines: string[] = [];
    createJsonReporter((text) => lines.push(text)).report({ kind: 'output', step: 'x', line: 'a\nb' });
    expect(JSON.parse(lines[0] ?? '')).toEqual({ v: 1, time: expect.any(String), kind: 'output', step: 'x', line: 'a\nb' });
    expect(lines[0]?.split('\n')).toHaveLength(2);
  });

  test('the log keeps the first part of the output of a step, and says how much is left out', async () => {
    const folders = await heldFolders();
    const file = folders.output.shown(LOG);
    const log = createLogReporter(folders, undefined, { outputLimit: 20 });
    const lines = (step: string, ...texts: string[]): void => {
      for (const line of texts) log.report({ kind: 'output', step, line });
    };
    log.report({ kind: 'step-start', step: 'a', index: 1, total: 2 });
    lines('a', '123456789', '123456789', 'x', 'yy');
    log.report({ kind: 'warning', step: 'a', text: 'still told' });
    log.report({ kind: 'step-end', step: 'a', ok: true, seconds: 1 });
    log.report({ kind: 'step-start', step: 'b', index: 2, total: 2 });
    lines('b', 'after', '12345678901234567890');
    log.close();
    const told = readFileSync(file, 'utf8').replaceAll(/^\S+ /gm, '').trimEnd().split('\n');
    expect(told).toEqual([
      '== a',
      'a | 123456789',
      'a | 123456789',
      'a warning: still told',
      'a: the log holds the first 20 bytes of the output; 2 lines (5 bytes) are left out',
      '== a done after 1.0 s',
      '== b',
      'b | after',
      'b: the log holds the first 20 bytes of the output; 1 lines (21 bytes) are left out',
    ]);
  });

  test.each([
    ['a link', 'ELOOP', (file: string) => symlinkSync('victim', file)],
    ['a pipe', 'ENXIO', (file: string) => execFileSync('mkfifo', [file])],
    ['a folder', 'EISDIR', (file: string) => mkdirSync(file)],
  ])('a log whose name %s has is not written', async (_what, code, make) => {
    const folders = await heldFolders();
    writeFileSync(folders.output.shown('victim'), 'precious');
    make(folders.output.shown(LOG));
    expect(() => createLogReporter(folders, undefined)).toThrow(new RegExp(`^${code}.*'${folders.output.path}/${LOG}'$`));
    expect(readFileSync(folders.output.shown('victim'), 'utf8')).toBe('precious');
  });

  test('the log replaces that of the build before: another name of that file keeps its content', async () => {
    const folders = await heldFolders();
    writeFileSync(folders.output.shown(LOG), 'before');
    linkSync(folders.output.shown(LOG), folders.output.shown('kept'));
    const log = createLogReporter(folders, undefined);
    log.report({ kind: 'output', step: 's', line: '\u001b[1mbold' });
    log.close();
    expect(readFileSync(folders.output.shown(LOG), 'utf8')).toMatch(/^\S+ s \| bold\n$/);
    expect(readFileSync(folders.output.shown('kept'), 'utf8')).toBe('before');
  });
});

test('publishing replaces files and a kept tree', async () => {
  const output = folder();
  const staging = path.join(output, '.realmfs-x.partial');
  mkdirSync(path.join(staging, 'rootfs/new'), { recursive: true });
  mkdirSync(path.join(output, 'rootfs/old'), { recursive: true });
  for (const name of ['a.tar', 'manifest.json']) writeFileSync(path.join(staging, name), `new ${name}`);
  writeFileSync(path.join(output, 'a.tar'), 'old');
  await publish({
    staging: await held(staging),
    output: await held(output),
    files: ['a.tar', 'manifest.json'],
    rootfs: true,
    owner: undefined,
    known: ['a.tar', 'manifest.json'],
  });
  expect(readFileSync(path.join(output, 'a.tar'), 'utf8')).toBe('new a.tar');
  expect(readdirSync(path.join(output, 'rootfs'))).toEqual(['new']);
  expect(readdirSync(staging)).toEqual(['replaced-rootfs']);
});

test('nothing is published when a folder stands in the place of a result', async () => {
  const output = folder();
  const staging = path.join(output, '.realmfs-x.partial');
  mkdirSync(staging);
  for (const name of ['a.tar', 'manifest.json']) writeFileSync(path.join(staging, name), 'new');
  writeFileSync(path.join(output, 'a.tar'), 'old');
  mkdirSync(path.join(output, 'manifest.json'));
  await expect(
    publish({
      staging: await held(staging),
      output: await held(output),
      files: ['a.tar', 'manifest.json'],
      rootfs: false,
      owner: undefined,
      known: ['a.tar', 'manifest.json'],
    }),
  ).rejects.toThrow('is a folder');
  expect(readFileSync(path.join(output, 'a.tar'), 'utf8')).toBe('old');
});

test('a tmpfs that cannot hold a build, or does not fit, is refused with figures', async () => {
  await expect(planTmpfs(true, 1e15, '/')).rejects.toThrow(/^a tmpfs of 909\.5 TiB does not fit into the .* of memory that are free$/);
  expect(await planTmpfs(false, undefined, '/')).toBe(0);
});

test('what the question shows', () => {
  expect(confirmationText({ config: '/p/build.conf', output: '/p/realmfs', tmpfsSize: 2 * 1024 ** 3, replaced: ['manifest.json'] })).toBe(
    'Configuration: /p/build.conf\nOutput folder: /p/realmfs\nTmpfs:         yes, up to 2.0 GiB\nWill be replaced if the build makes them anew: manifest.json\n',
  );
});

test('the first stop asks, the second ends, and so does time', () => {
  vi.useFakeTimers();
  const done: string[] = [];
  const sandbox = {
    pid: 1,
    silent: new Promise<never>(() => {}),
    ended: new Promise<never>(() => {}),
    terminal: undefined,
    release: () => {},
    stop: () => done.push('stop'),
    kill: () => done.push('kill'),
  };
  const stopper = new Stopper();
  const release = stopper.attach(sandbox);
  stopper.stop('interrupted by SIGINT', 130);
  expect(done).toEqual(['stop']);
  stopper.stop('interrupted by SIGTERM', 143);
  expect(done).toEqual(['stop', 'kill']);
  expect(stopper.reason).toEqual({ message: 'interrupted by SIGINT', exitCode: 130 });
  vi.advanceTimersByTime(5000);
  expect(done).toEqual(['stop', 'kill', 'kill']);
  release();
  vi.useRealTimers();
});
