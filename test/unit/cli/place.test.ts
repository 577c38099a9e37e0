import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { cacheCommand } from '../../../src/cli/cache-command.ts';
import { existingResults } from '../../../src/cli/known-results.ts';
import { writeNew } from '../../../src/cli/new-command.ts';
import { unknownWord } from '../../../src/cli/options.ts';
import { openOutput } from '../../../src/cli/output-folder.ts';
import { findPlace, makeCache, sudoOwner } from '../../../src/cli/place.ts';
import { PreflightError, UsageError } from '../../../src/errors.ts';
import { held } from '../../helpers/held.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const isRoot = process.getuid?.() === 0;
const octal = (file: string): string => (statSync(file).mode & 0o7777).toString(8);

describe('where the configuration lies', () => {
  const find = (config: string | undefined, root: string) => findPlace(config, root);

  test('./build.conf, without being named', async () => {
    const root = tempRoot({ 'build.conf': '' });
    expect(await find(undefined, root)).toEqual({ project: realpathSync(root), configName: 'build.conf' });
  });

  test('a named file: its folder is the project', async () => {
    const root = tempRoot({ 'sub/other.conf': '', 'build.conf': '' });
    expect(await find('sub/other.conf', root)).toEqual({ project: path.join(realpathSync(root), 'sub'), configName: 'other.conf' });
    expect(await find(path.join(root, 'sub/other.conf'), '/')).toMatchObject({ configName: 'other.conf' });
  });

  test('links on the way are resolved; a link in the place of the file keeps its folder', async () => {
    const root = tempRoot({ 'real/build.conf': '' });
    symlinkSync('real', path.join(root, 'way'));
    mkdirSync(path.join(root, 'linked'));
    symlinkSync('../real/build.conf', path.join(root, 'linked/build.conf'));
    expect((await find('way/build.conf', root)).project).toBe(path.join(realpathSync(root), 'real'));
    expect((await find('linked/build.conf', root)).project).toBe(path.join(realpathSync(root), 'linked'));
  });

  test('none: the built-in base image, with a project if there is a part of one', async () => {
    expect(await find(undefined, tempRoot())).toEqual({ project: '', configName: null });
    expect(await find(undefined, tempRoot({ 'notes.txt': '' }))).toEqual({ project: '', configName: null });
    for (const name of ['realmfs.env', 'realmfs-modules/x', 'realmfs-files/x']) {
      const root = tempRoot({ [name]: '' });
      expect(await find(undefined, root)).toEqual({ project: realpathSync(root), configName: null });
    }
  });

  test.each([
    ['buidl.conf', 'buidl.conf: there is no such file or command; did you mean build.conf?'],
    ['folder/none.conf', 'folder/none.conf: there is no such file or command'],
    ['file/below', 'file/below: there is no such file or command'],
    ['folder', 'folder: is not a regular file'],
    ['.hidden', '.hidden: a configuration must not have such a name'],
  ])('%s is refused', async (config, message) => {
    const root = tempRoot({ 'folder/x': '', file: '', '.hidden': '' });
    const error = await find(config, root).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ message, exitCode: 2 });
  });

  test('a word that is nothing has a hint', () => {
    expect(unknownWord('hepl')).toMatchObject({ exitCode: 2, hint: 'realmfs-builder --help lists the options' });
  });
});

test.each([
  [{}, undefined],
  [
    { SUDO_UID: '1000', SUDO_GID: '1001' },
    { uid: 1000, gid: 1001 },
  ],
  [{ SUDO_UID: '1000' }, undefined],
  [{ SUDO_UID: 'x', SUDO_GID: '1' }, undefined],
])('the user behind sudo of %j', (env, owner) => {
  expect(sudoOwner(env)).toEqual(owner);
});

describe('the output folder', () => {
  test('is made, with its parents; its real path comes back', async () => {
    const root = tempRoot();
    expect((await openOutput('a/b', root, undefined)).path).toBe(path.join(realpathSync(root), 'a/b'));
    symlinkSync('a', path.join(root, 'link'));
    expect((await openOutput('link/../link/b', root, undefined)).path).toBe(path.join(realpathSync(root), 'a/b'));
  });

  test.each(['file', 'file/below', 'dangling', 'dangling/below', 'loop'])('%s is refused', async (directory) => {
    const root = tempRoot({ file: 'x' });
    symlinkSync('nowhere', path.join(root, 'dangling'));
    symlinkSync('loop', path.join(root, 'loop'));
    const error = await openOutput(directory, root, undefined).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      exitCode: expect.toSatisfy((code) => code === 2 || code === 3),
      message: expect.stringContaining(directory),
    });
    expect(readdirSync(root).sort()).toEqual(['dangling', 'file', 'loop']);
  });

  test.runIf(isRoot)('what is made belongs to the user behind sudo, what was there does not', async () => {
    const root = tempRoot({ 'old/file': '' });
    await openOutput('old/new/deep', root, { uid: 1234, gid: 1235 });
    const owners = ['old', 'old/new', 'old/new/deep'].map((name) => statSync(path.join(root, name)).uid);
    expect(owners).toEqual([0, 1234, 1234]);
  });

  test.runIf(isRoot)(
    "a user's link does not lead to a folder of somebody else, nor is anything made there; root's link and one to an own folder do",
    async () => {
      const root = tempRoot({ 'theirs/file': '', 'own/file': '' });
      const link = (name: string, target: string, uid: number): void => {
        symlinkSync(target, path.join(root, name));
        lchownSync(path.join(root, name), uid, uid);
      };
      chownSync(path.join(root, 'own'), 65534, 65534);
      link('bad', 'theirs', 65534);
      link('good', 'own', 65534);
      link('roots', 'theirs', 0);
      const owner = { uid: 65534, gid: 65534 };
      for (const directory of ['bad', 'bad/new']) {
        await expect(openOutput(directory, root, owner)).rejects.toMatchObject({
          exitCode: 2,
          message: `--directory: a link of user 65534 leads from ${directory} to ${realpathSync(root)}/theirs, which belongs to user 0`,
        });
      }
      expect(readdirSync(path.join(root, 'theirs'))).toEqual(['file']);
      expect((await openOutput('good/new', root, owner)).path).toBe(path.join(realpathSync(root), 'own/new'));
      expect((await openOutput('roots', root, owner)).path).toBe(path.join(realpathSync(root), 'theirs'));
    },
  );

  test('results that may be replaced', async () => {
    const root = tempRoot({ 'manifest.json': '', 'a.tar': '' });
    symlinkSync('nowhere', path.join(root, 'b.tar'));
    expect(await existingResults(await held(root), ['a.tar', 'b.tar', 'c.tar', 'manifest.json'])).toEqual([
      'a.tar',
      'b.tar',
      'manifest.json',
    ]);
  });
});

describe.runIf(isRoot)('the cache folder', () => {
  test('is made: 0700 and root alone', async () => {
    const folder = path.join(tempRoot(), 'a/cache');
    expect(await makeCache(folder)).toBe(realpathSync(folder));
    expect(octal(folder)).toBe('700');
    for (const name of ['mnt', 'apt/archives', 'apt/lists']) expect(existsSync(path.join(folder, name))).toBe(true);
  });

  test('one that others can read is closed', async () => {
    const folder = path.join(tempRoot({ 'cache/mnt/x': '', 'cache/apt/x': '' }), 'cache');
    chmodSync(folder, 0o755);
    await makeCache(folder);
    expect(octal(folder)).toBe('700');
  });

  test.each([
    ['others can write', (folder: string) => chmodSync(folder, 0o777)],
    ['the group can write', (folder: string) => chmodSync(folder, 0o770)],
    ['belongs to a user', (folder: string) => chownSync(folder, 1234, 1234)],
  ])('one that %s is refused', async (_, change) => {
    const folder = path.join(tempRoot({ 'cache/mnt/x': '', 'cache/apt/x': '' }), 'cache');
    change(folder);
    const error = await makeCache(folder).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PreflightError);
    expect(error).toMatchObject({ message: `the cache folder ${folder} must belong to root and be writable by root alone`, exitCode: 3 });
  });

  test('a folder of other things is left as it is', async () => {
    const folder = path.join(tempRoot({ 'var/x': '' }), 'var');
    chmodSync(folder, 0o755);
    await expect(makeCache(folder)).rejects.toThrow('is not empty, and no cache of realmfs-builder');
    expect([octal(folder), readdirSync(folder)]).toEqual(['755', ['x']]);
  });

  test.each(['list', 'du', 'verify', 'prune', 'clear'] as const)('cache %s takes no folder of other things for a cache', async (action) => {
    const options = { action, json: false, repair: true };
    const around = (cache: string) => ({ cache, limit: 0, keyring: '/dev/null', signal: new AbortController().signal });
    const folder = path.join(tempRoot({ 'lib/layers/mine/file': 'x', 'lib/apt/lists/host_Packages': 'x' }), 'lib');
    await expect(cacheCommand(options, around(folder))).rejects.toThrow('is not empty, and no cache of realmfs-builder');
    expect(readdirSync(folder, { recursive: true }).toSorted()).toEqual([
      'apt',
      'apt/lists',
      'apt/lists/host_Packages',
      'layers',
      'layers/mine',
      'layers/mine/file',
    ]);
    const empty = tempRoot();
    await cacheCommand(options, around(empty));
    expect(readdirSync(empty)).toEqual([]);
  });

  test('nothing is written into one that is refused', async () => {
    const folder = path.join(tempRoot({ 'cache/x': '' }), 'cache');
    chownSync(folder, 1234, 1234);
    await makeCache(folder).catch(() => {});
    expect(existsSync(path.join(folder, 'apt'))).toBe(false);
  });

  test('a file in its place is refused', async () => {
    const root = tempRoot({ cache: 'x' });
    await expect(makeCache(path.join(root, 'cache'))).rejects.toThrow('cache is not a folder');
  });
});

describe('--new', () => {
  test('writes the template', async () => {
    const root = tempRoot();
    expect(await writeNew(root, undefined)).toBe(path.join(root, 'build.conf'));
    const template = readFileSync(path.resolve(import.meta.dirname, '../../../templates/build.conf'), 'utf8');
    expect(readFileSync(path.join(root, 'build.conf'), 'utf8')).toBe(template);
  });

  test('never over a file, nor through a link', async () => {
    const root = tempRoot({ 'build.conf': 'mine' });
    await expect(writeNew(root, undefined)).rejects.toThrow('there is a build.conf already; it is left as it is');
    expect(readFileSync(path.join(root, 'build.conf'), 'utf8')).toBe('mine');
    const other = tempRoot();
    symlinkSync('victim', path.join(other, 'build.conf'));
    await expect(writeNew(other, undefined)).rejects.toBeInstanceOf(UsageError);
    expect(existsSync(path.join(other, 'victim'))).toBe(false);
  });
});
