import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createLogReporter, LOG } from '../../../../src/cli/reporters/log.ts';
import { events } from '../../../helpers/build-events.ts';
import { heldFolders } from '../../../helpers/held.ts';

test('the log holds everything but progress, with times, without control characters', async () => {
  const folders = await heldFolders();
  const file = folders.output.shown(LOG);
  const log = createLogReporter(folders, undefined);
  for (const event of events) log.report(event);
  log.close();
  log.close();
  log.report({ kind: 'output', step: 'x', line: 'too late' });
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''))).toEqual([
    '== pre/x',
    'pre/x $ tool red',
    'pre/x | abc',
    'pre/x warning: look\\x1b[0m',
    'warning: before any step',
    'artifact a.tar 5 bytes sha256 ab',
    '== pre/x done after 1.3 s',
    'command: false',
    'failed: pre/x: it broke',
  ]);
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
