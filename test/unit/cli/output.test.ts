import { chownSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasLock, lockHolder } from '../../../src/cli/lock-holder.ts';
import { publish, publishLog } from '../../../src/cli/publish.ts';
import { leftStaging, makeStaging, removeIfEmpty } from '../../../src/cli/staging.ts';
import { held, heldFolders } from '../../helpers/held.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

const isRoot = process.getuid?.() === 0;

describe('publishing', () => {
  const files = ['a.tar', 'SHA256SUMS', 'manifest.json'];
  async function folders(fresh: readonly string[], old: readonly string[]) {
    const made = await heldFolders(Object.fromEntries(old.map((name) => [name, `old ${name}`])));
    writeFiles(made.staging.path, Object.fromEntries(fresh.map((name) => [name, `new ${name}`])));
    return { ...made, text: (name: string): string => readFileSync(made.output.shown(name), 'utf8') };
  }

  test('records of an image of another name are results, too; a folder of the name of the signature is not', async () => {
    const records = ['foo.manifest', 'foo.mtree', 'foo.spdx.json', 'foo.provenance.json'];
    const all = [...records, 'SHA256SUMS', 'manifest.json'];
    const { output, staging, text } = await folders(all, all);
    await publish({ staging, output, files: all, rootfs: false, owner: undefined, known: ['SHA256SUMS', 'manifest.json'] });
    expect(text('foo.mtree')).toBe('new foo.mtree');
    mkdirSync(output.shown('SHA256SUMS.gpg'));
    const options = { staging, output, files: all, rootfs: false, owner: undefined, known: all };
    await expect(publish(options)).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining('is the name of a signature') });
  });

  test('the manifest comes last: what stops earlier leaves the old one', async () => {
    const { output, staging, text } = await folders(['a.tar', 'manifest.json'], files);
    await expect(publish({ staging, output, files, rootfs: false, owner: undefined, known: files })).rejects.toThrow('ENOENT');
    expect([text('a.tar'), text('manifest.json')]).toEqual(['new a.tar', 'old manifest.json']);
  });

  test('the manifest comes after a kept tree, too', async () => {
    const { output, staging, text } = await folders(files, files);
    await expect(publish({ staging, output, files, rootfs: true, owner: undefined, known: files })).rejects.toThrow('ENOENT');
    expect(text('manifest.json')).toBe('old manifest.json');
  });

  test('a first build with a kept tree', async () => {
    const { output, staging, text } = await folders([...files, 'rootfs/etc/x'], []);
    await publish({ staging, output, files, rootfs: true, owner: undefined, known: files });
    expect(readdirSync(output.path).sort()).toEqual([path.basename(staging.path), 'rootfs', ...files].sort());
    expect(text('rootfs/etc/x')).toBe('new rootfs/etc/x');
    expect(readdirSync(staging.path)).toEqual([]);
  });

  test('a tree is not kept: an older one stays', async () => {
    const { output, staging, text } = await folders(files, ['rootfs/etc/x']);
    await publish({ staging, output, files, rootfs: false, owner: undefined, known: files });
    expect(text('rootfs/etc/x')).toBe('old rootfs/etc/x');
  });

  test('a link in the place of a result is replaced, not followed', async () => {
    const { output, staging, text } = await folders(files, ['victim']);
    symlinkSync('victim', output.shown('a.tar'));
    await publish({ staging, output, files, rootfs: false, owner: undefined, known: files });
    expect([text('a.tar'), text('victim')]).toEqual(['new a.tar', 'old victim']);
  });

  test.runIf(process.getuid?.() === 0)('results belong to the user behind sudo, a kept tree to root', async () => {
    const { output, staging } = await folders([...files, 'rootfs/x'], []);
    await publish({ staging, output, files, rootfs: true, owner: { uid: 1234, gid: 1235 }, known: [] });
    expect([...files, 'rootfs'].map((name) => statSync(output.shown(name)).uid)).toEqual([1234, 1234, 1234, 0]);
  });

  test("debootstrap's log is kept if it is a file", async () => {
    const { output, staging, text } = await folders(['debootstrap.log'], ['debootstrap.log']);
    await publishLog(staging, output, undefined);
    expect(text('debootstrap.log')).toBe('new debootstrap.log');
    symlinkSync('/etc/passwd', staging.shown('debootstrap.log'));
    await publishLog(staging, output, undefined);
    expect(text('debootstrap.log')).toBe('new debootstrap.log');
  });

  test.runIf(isRoot)('staging folders that were left: those of root with their mark, and empty ones; no others', async () => {
    const output = await held(
      tempRoot({
        '.realmfs-a.partial/build/root/x': '',
        '.realmfs-mine.partial/secret': '',
        '.realmfs-file.partial': '',
        '.realmfs-theirs.partial/build/x': '',
        '.realmfs-c/build/x': '',
        'realmfs-d.partial/build/x': '',
      }),
    );
    mkdirSync(output.shown('.realmfs-empty.partial'));
    symlinkSync('realmfs-d.partial', output.shown('.realmfs-link.partial'));
    chownSync(output.shown('.realmfs-theirs.partial'), 65534, 65534);
    const left = await leftStaging(output);
    expect(left.map((folder) => path.basename(folder.path)).sort()).toEqual(['.realmfs-a.partial', '.realmfs-empty.partial']);
    for (const folder of left) await folder.close();
  });

  test('a staging folder goes by whatever name it has; what is not empty stays', async () => {
    const output = await held(tempRoot());
    const [one, two] = [await makeStaging(output), await makeStaging(output)];
    renameSync(one.path, output.shown('away'));
    mkdirSync(one.path);
    writeFiles(two.path, { 'build/root/x': '' });
    expect([await removeIfEmpty(one, output), await removeIfEmpty(two, output)]).toEqual([true, false]);
    expect(readdirSync(output.path).sort()).toEqual([one.path, two.path].map((name) => path.basename(name)).sort());
    await one.close();
    await two.close();
  });
});

describe('locks', () => {
  test.each([
    ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:99 0 EOF', 99, true],
    ['pos:\t0\nflags:\t02\nlock:\t10: FLOCK  ADVISORY  READ 0 fe:00:123456789 0 EOF', 123456789, true],
    ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:01:99 0 EOF', 99, false],
    ['lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:99 0 EOF', 99, false],
    ['lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:99 0 EOF', 99, false],
    ['lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:199 0 EOF', 99, false],
    ['', 99, false],
  ])('%j', (text, inode, found) => {
    expect(hasLock(`${text}\n`, 0xfe00, inode)).toBe(found);
  });

  test('a folder is locked once, by whatever name; this process holds it', async () => {
    const folder = tempRoot();
    const [one, two] = [await held(folder), await held(folder)];
    expect(await lockHolder(await one.own())).toBeUndefined();
    expect(await one.lock()).toBe(true);
    renameSync(folder, `${folder}-moved`);
    expect([await one.lock(), await two.lock()]).toEqual([true, false]);
    expect(await lockHolder(await two.own())).toBe(process.pid);
    // flock(1) makes a file where there is nothing: not here.
    expect(() => statSync(folder)).toThrow('ENOENT');
    renameSync(`${folder}-moved`, folder);
  });
});
