import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  giveTo,
  hasCode,
  isMissing,
  makeFolder,
  makeFolders,
  removeEmpty,
  removeFile,
  sha256File,
  sha256WhileWritten,
  statOrUndefined,
  syncPath,
  writeWhole,
} from '../../../src/system/files.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const isRoot = process.getuid?.() === 0;

test('missing means: nothing stands there, not even a dangling link', async () => {
  const root = tempRoot({ file: 'x' });
  symlinkSync('nowhere', path.join(root, 'dangling'));
  const missing = await Promise.all(['file', 'dangling', 'none', 'file/below'].map((name) => isMissing(path.join(root, name))));
  expect(missing).toEqual([false, false, true, true]);
  expect((await statOrUndefined(path.join(root, 'dangling')))?.isSymbolicLink()).toBe(true);
});

test('other errors than a missing file are thrown', async () => {
  const root = tempRoot();
  await expect(statOrUndefined(path.join(root, 'x'.repeat(300)))).rejects.toThrow('ENAMETOOLONG');
});

describe('folders', () => {
  test('those above are made, too; the first is named', async () => {
    const root = tempRoot();
    expect(await makeFolders(path.join(root, 'a/b/c'), 0o700)).toBe(path.join(root, 'a'));
    expect(statSync(path.join(root, 'a/b/c')).mode & 0o777).toBe(0o700);
    expect(await makeFolders(path.join(root, 'a/b/d'), 0o755)).toBe(path.join(root, 'a/b/d'));
    expect(await makeFolders(path.join(root, 'a/b'), 0o755)).toBe(undefined);
  });

  test('where none can be made it ends', async () => {
    const root = tempRoot({ file: '' });
    await expect(makeFolders('/proc/none/of/these', 0o755)).rejects.toThrow(/ENOENT|EACCES/);
    await expect(makeFolders(path.join(root, 'file/a'), 0o755)).rejects.toThrow('ENOTDIR');
  });
});

test('codes', () => {
  expect(hasCode(Object.assign(new Error('x'), { code: 'ENOENT' }), 'ENOENT')).toBe(true);
  expect(hasCode(new Error('ENOENT'), 'ENOENT')).toBe(false);
  expect(hasCode({ code: 'ENOENT' }, 'ENOENT')).toBe(false);
});

describe('digests', () => {
  test('of a file, an empty one, and one of several pieces', async () => {
    const root = tempRoot({ abc: 'abc', empty: '', big: 'a'.repeat(3_000_000) });
    expect(await sha256File(path.join(root, 'abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(await sha256File(path.join(root, 'empty'))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(await sha256File(path.join(root, 'big'))).toMatch(/^[0-9a-f]{64}$/);
  });

  test('of nothing, a folder, a pipe: an error', async () => {
    const root = tempRoot();
    await expect(sha256File(path.join(root, 'none'))).rejects.toThrow('ENOENT');
    await expect(sha256File(root)).rejects.toThrow('is no regular file');
    // It would wait for a writer.
    execFileSync('mkfifo', [path.join(root, 'pipe')]);
    await expect(sha256File(path.join(root, 'pipe'))).rejects.toThrow('is no regular file');
  });
});

describe('whole files', () => {
  test('text, mode, nothing beside it', async () => {
    const root = tempRoot({ file: 'old' });
    await writeWhole(path.join(root, 'file'), 'new', 0o600);
    expect(readFileSync(path.join(root, 'file'), 'utf8')).toBe('new');
    expect((statSync(path.join(root, 'file')).mode & 0o777).toString(8)).toBe('600');
    expect(readdirSync(root)).toEqual(['file']);
  });

  test('a link in its place is replaced, what it leads to stays', async () => {
    const root = tempRoot({ victim: 'precious' });
    symlinkSync('victim', path.join(root, 'file'));
    await writeWhole(path.join(root, 'file'), 'new');
    expect(readFileSync(path.join(root, 'victim'), 'utf8')).toBe('precious');
    expect(readFileSync(path.join(root, 'file'), 'utf8')).toBe('new');
  });

  test('in a folder that is not there: an error', async () => {
    await expect(writeWhole(path.join(tempRoot(), 'none/file'), 'x')).rejects.toThrow('ENOENT');
  });
});

test('sync takes files and folders', async () => {
  const root = tempRoot({ file: 'x' });
  await syncPath(root);
  await syncPath(path.join(root, 'file'));
  await expect(syncPath(path.join(root, 'none'))).rejects.toThrow('ENOENT');
});

describe('removing', () => {
  test('only empty folders', async () => {
    const root = tempRoot({ 'full/file': 'x' });
    mkdirSync(path.join(root, 'empty'));
    expect(await removeEmpty(path.join(root, 'empty'))).toBe(true);
    expect(await removeEmpty(path.join(root, 'empty'))).toBe(true);
    expect(await removeEmpty(path.join(root, 'full'))).toBe(false);
    expect(existsSync(path.join(root, 'full/file'))).toBe(true);
    await expect(removeEmpty(path.join(root, 'full/file'))).rejects.toThrow('ENOTDIR');
  });

  test('a file, or none', async () => {
    const root = tempRoot({ file: 'x' });
    await removeFile(path.join(root, 'file'));
    await removeFile(path.join(root, 'file'));
    expect(readdirSync(root)).toEqual([]);
    await expect(removeFile(root)).rejects.toThrow(/EISDIR|EPERM/);
  });
});

test('a link is never given away', async () => {
  const root = tempRoot({ victim: 'x' });
  symlinkSync('victim', path.join(root, 'link'));
  await expect(giveTo(path.join(root, 'link'), { uid: 1234, gid: 1234 })).rejects.toThrow('ELOOP');
  expect(statSync(path.join(root, 'victim')).uid).toBe(process.getuid?.());
  await giveTo(path.join(root, 'none'), undefined);
});

describe.runIf(isRoot)('as root', () => {
  test('a file is given to its user', async () => {
    const root = tempRoot({ file: 'x' });
    await giveTo(path.join(root, 'file'), { uid: 1234, gid: 2345 });
    const { uid, gid } = statSync(path.join(root, 'file'));
    expect([uid, gid]).toEqual([1234, 2345]);
  });

  test('a new folder: a random name, 0700', async () => {
    const root = tempRoot();
    const [a, b] = [await makeFolder(root, '.realmfs-', '.partial'), await makeFolder(root, '.realmfs-', '.partial')];
    expect(a).not.toBe(b);
    expect(path.basename(a)).toMatch(/^\.realmfs-.+\.partial$/);
    expect((statSync(a).mode & 0o777).toString(8)).toBe('700');
  });
});

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

test('the digest of a file while it is written waits for the file and follows it', async () => {
  const file = path.join(tempRoot(), 'grows');
  const write = async (): Promise<void> => {
    for (const part of ['one', 'two', 'three']) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      appendFileSync(file, part);
    }
  };
  expect(await sha256WhileWritten(file, write())).toBe(digest('onetwothree'));
});

test('the digest of a file while it is written fails without a file, but not with the writer', async () => {
  const file = path.join(tempRoot(), 'none');
  await expect(sha256WhileWritten(file, Promise.resolve())).rejects.toThrow('ENOENT');
  writeFileSync(file, 'half');
  expect(await sha256WhileWritten(file, Promise.reject(new Error('full')))).toBe(digest('half'));
});
