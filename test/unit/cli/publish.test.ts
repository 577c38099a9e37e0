import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { publish, publishLog } from '../../../src/cli/publish.ts';
import { held, heldFolders } from '../../helpers/held.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

const isRoot = process.getuid?.() === 0;
const files = ['a.tar', 'SHA256SUMS', 'manifest.json'];
async function folders(fresh: readonly string[], old: readonly string[]) {
  const made = await heldFolders(Object.fromEntries(old.map((name) => [name, `old ${name}`])));
  writeFiles(made.staging.path, Object.fromEntries(fresh.map((name) => [name, `new ${name}`])));
  return { ...made, text: (name: string): string => readFileSync(made.output.shown(name), 'utf8') };
}

test('publishing replaces files and a kept tree', async () => {
  const output = tempRoot();
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
  const output = tempRoot();
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

test('records of an image of another name are published; a folder in the place of the signature is refused', async () => {
  const records = ['foo.manifest', 'foo.mtree', 'foo.spdx.json', 'foo.provenance.json'];
  const all = [...records, 'SHA256SUMS', 'manifest.json'];
  const { output, staging, text } = await folders(all, all);
  await publish({ staging, output, files: all, rootfs: false, owner: undefined, known: ['SHA256SUMS', 'manifest.json'] });
  expect(text('foo.mtree')).toBe('new foo.mtree');
  mkdirSync(output.shown('SHA256SUMS.gpg'));
  const options = { staging, output, files: all, rootfs: false, owner: undefined, known: all };
  await expect(publish(options)).rejects.toMatchObject({ exitCode: 3, message: expect.stringContaining('is the name of a signature') });
});

test('the manifest is published last: what stops earlier leaves the old one', async () => {
  const { output, staging, text } = await folders(['a.tar', 'manifest.json'], files);
  await expect(publish({ staging, output, files, rootfs: false, owner: undefined, known: files })).rejects.toThrow('ENOENT');
  expect([text('a.tar'), text('manifest.json')]).toEqual(['new a.tar', 'old manifest.json']);
});

test('the manifest is published after a kept tree, too', async () => {
  const { output, staging, text } = await folders(files, files);
  await expect(publish({ staging, output, files, rootfs: true, owner: undefined, known: files })).rejects.toThrow('ENOENT');
  expect(text('manifest.json')).toBe('old manifest.json');
});

test('a first build with a kept tree publishes all and leaves staging empty', async () => {
  const { output, staging, text } = await folders([...files, 'rootfs/etc/x'], []);
  await publish({ staging, output, files, rootfs: true, owner: undefined, known: files });
  expect(readdirSync(output.path).sort()).toEqual([path.basename(staging.path), 'rootfs', ...files].sort());
  expect(text('rootfs/etc/x')).toBe('new rootfs/etc/x');
  expect(readdirSync(staging.path)).toEqual([]);
});

test('publishing without a kept tree leaves an older tree where it is', async () => {
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

test.runIf(isRoot)('results belong to the user behind sudo, a kept tree to root', async () => {
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
