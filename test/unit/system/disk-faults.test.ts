import { expect, test } from 'vitest';
import { CommandError, PreflightError, reasonOf } from '../../../src/errors.ts';
import { diskCode, diskCodeOf, diskError, diskInLine, namedDisk, naming, placeOf } from '../../../src/system/disk-faults.ts';

const disks = [
  { name: 'the first', folder: '/run/first', hint: 'give it more' },
  { name: 'the second', folder: '/run/first/second', hint: 'make room' },
];

function fault(code: string, more: object = {}): Error {
  return Object.assign(new Error(`${code}: it is so, write`), { code, ...more });
}

test('what a disk refuses, and what it has nothing to do with', () => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO']) expect(diskCode(fault(code))).toBe(code);
  expect(diskCode(fault('ENOENT'))).toBeUndefined();
  expect(diskCode('ENOSPC')).toBeUndefined();
  const other = fault('EACCES');
  expect(namedDisk(other, disks)).toBe(other);
});

test.each([
  ['ENOSPC', /^no space left on the second \(.* of .* and \d+ of \d+ inodes in use after the failure\)$/, 'make room'],
  ['EDQUOT', /^the disk quota is used up on the second/, 'make room'],
  ['EFBIG', /^no file may become as large on the second/, /ulimit -f/],
  ['EROFS', /^nothing can be written to the second/, /dmesg/],
  ['EIO', /^an input\/output error on the second/, /dmesg/],
])('%s is told with its disk', (code, message, hint) => {
  const error = namedDisk(fault(code, { path: '/run/first/second/below/file' }), disks);
  expect(error).toBeInstanceOf(PreflightError);
  expect(error).toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
    details: [`error:   ${code}: it is so, write`],
  });
});

test('the disk is that of the target of a copy, of an unknown path, of the place, or any that is full', () => {
  const copied = fault('ENOSPC', { path: '/run/first/second/a', dest: '/run/first/b' });
  expect(placeOf(copied)).toBe('/run/first/b');
  expect(reasonOf(namedDisk(copied, disks))).toMatch(/^no space left on the first \(.*\): give it more$/);
  expect(reasonOf(namedDisk(fault('ENOSPC', { path: '/elsewhere/x' }), disks))).toMatch(/^no space left on the disk of \/elsewhere\/x/);
  expect(reasonOf(namedDisk(fault('ENOSPC'), [], disks[0]))).toMatch(/^no space left on the first/);
  // Nothing can be written there, and nobody has said where it was.
  expect(diskError('ENOSPC', [{ name: 'what is always full', folder: '/proc', hint: 'x' }], { where: disks[0] }).message).toMatch(
    /^no space left on what is always full/,
  );
  expect(diskError('ENOSPC', [], {}).message).toBe('no space left on a disk of this machine');
});

test('programs say it in words, with or without a path', () => {
  const line = "cp: error writing '/run/first/second/x y': No space left on device";
  expect(diskCodeOf(['a', line, 'b'])).toEqual({ code: 'ENOSPC', line });
  expect(diskInLine(line, disks)?.name).toBe('the second');
  expect(diskInLine('/run/firstly: No space left on device', disks)).toBeUndefined();
  expect(diskCodeOf(['x: File too large'])?.code).toBe('EFBIG');
  // In a step this is a limit of the sandbox.
  expect(diskCodeOf(['mknod: null-: Read-only file system'])).toBeUndefined();
});

test('a write gives its name to an error that has none', async () => {
  await expect(naming('/run/first/x', Promise.reject(fault('ENOSPC')))).rejects.toMatchObject({ path: '/run/first/x' });
  await expect(naming('/run/first/x', Promise.reject(fault('EIO', { path: '/y' })))).rejects.toMatchObject({ path: '/y' });
  const command = new CommandError('x', { exitCode: 1, signal: undefined, tail: [], line: 'x' }, '');
  await expect(naming('/run/first/x', Promise.reject(command))).rejects.toBe(command);
});
