import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { signCommand, verifyCommand } from '../../../src/cli/image-commands.ts';
import { publish } from '../../../src/cli/publish.ts';
import { renewSums } from '../../../src/cli/renew-sums.ts';
import { readManifest } from '../../../src/inspect/build-beside.ts';
import { loadSide } from '../../../src/inspect/diff-side.ts';
import { readForeign, sha256File } from '../../../src/system/files.ts';
import { held, heldFolders } from '../../helpers/held.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

/** What somebody has put in the place of a file, by a shell command. */
const strange: Readonly<Record<string, string>> = {
  pipe: 'mkfifo "$1"',
  zeros: 'ln -s /dev/zero "$1"',
  link: 'ln -s victim "$1"',
  huge: 'truncate --size=3G "$1"',
  folder: 'mkdir "$1"',
  ...(process.getuid?.() === 0 ? { device: 'mknod "$1" c 1 5' } : {}),
};
const around = { env: {}, signal: new AbortController().signal };
const replace = (file: string, by: string): void =>
  void execFileSync('bash', ['--norc', '-euc', `rm -f -- "$1"; ${strange[by]}`, 'bash', file]);
const outcome = (body: Promise<unknown>): Promise<unknown> =>
  body.then(
    (value) => value,
    (error: unknown) => error,
  );

/** Results of a build, as far as these commands look at them. */
function results(): string {
  const folder = tempRoot({ a: 'a', victim: 'precious', 'base.manifest': '', 'base.mtree': '#mtree\n', 'SHA256SUMS.gpg': 'x' });
  const sum = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb';
  const manifest = JSON.stringify({ artifacts: [{ file: 'a', sha256: '0'.repeat(64) }] });
  writeFiles(folder, { SHA256SUMS: `${sum}  a\n`, 'manifest.json': manifest, 'base.provenance.json': '{}' });
  return folder;
}

describe.each(Object.keys(strange))('%s under the name of a result', (by) => {
  test('neither holds up a command nor is taken for it: SHA256SUMS', async () => {
    const folder = results();
    replace(path.join(folder, 'SHA256SUMS'), by);
    const keyring = path.join(folder, 'a');
    const said = [
      await outcome(verifyCommand({ files: [folder], key: undefined, keyring: undefined }, folder, around)),
      await outcome(verifyCommand({ files: [folder], key: undefined, keyring }, folder, around)),
      await outcome(signCommand({ file: folder, key: undefined, user: '' }, folder, around)),
    ];
    for (const error of said) expect(error).toMatchObject({ exitCode: expect.toSatisfy((code) => code === 1 || code === 2) });
    // The manifest alone is renewed.
    expect(await renewSums(await held(folder), 'a')).toEqual([path.join(folder, 'manifest.json')]);
    expect(readFileSync(path.join(folder, 'victim'), 'utf8')).toBe('precious');
  });

  test('... the signature, a result, and what is beside it', async () => {
    const folder = results();
    for (const name of ['SHA256SUMS.gpg', 'manifest.json', 'base.mtree', 'base.provenance.json']) replace(path.join(folder, name), by);
    const verify = (keyring: string | undefined) => outcome(verifyCommand({ files: [folder], key: undefined, keyring }, folder, around));
    expect(await verify(undefined)).toContain('a: good\n');
    expect(await verify(path.join(folder, 'a'))).toMatchObject({ exitCode: 1 });
    expect(await outcome(readManifest(folder, true))).toBeUndefined();
    expect(await outcome(loadSide(folder, undefined, true, () => Promise.reject(new Error('not asked'))))).toBeUndefined();
    expect(await renewSums(await held(folder), 'a')).toEqual([]);
    replace(path.join(folder, 'a'), by);
    if (by !== 'huge') expect(await verify(undefined)).toMatchObject({ exitCode: 1, message: 'a: unreadable' });
    expect(readFileSync(path.join(folder, 'victim'), 'utf8')).toBe('precious');
  });

  test('... is replaced by a build; a folder is not', async () => {
    const { output, staging } = await heldFolders({ victim: 'precious' });
    const files = ['base.manifest', 'SHA256SUMS', 'manifest.json'];
    for (const name of [...files, 'SHA256SUMS.gpg']) replace(output.shown(name), by);
    writeFiles(staging.path, Object.fromEntries(files.map((name) => [name, `new ${name}`])));
    const published = publish({ staging, output, files, rootfs: false, owner: undefined, known: files });
    if (by === 'folder') return expect(published).rejects.toMatchObject({ exitCode: 3 });
    await published;
    for (const name of files) expect(readFileSync(output.shown(name), 'utf8')).toBe(`new ${name}`);
    expect([await output.stat('SHA256SUMS.gpg'), readFileSync(output.shown('victim'), 'utf8')]).toEqual([undefined, 'precious']);
  });
});

test('SHA256SUMS that names what is no plain name, and a signature that is checked is that of the sums that are used', async () => {
  for (const name of ['..', '.', 'a/b', '/etc/passwd', 'a\u001bb']) {
    const folder = tempRoot({ SHA256SUMS: `${'0'.repeat(64)}  ${name}\n` });
    await expect(verifyCommand({ files: [folder], key: undefined, keyring: undefined }, folder, around)).rejects.toThrow(
      'has a line that is none',
    );
  }
});

test('a file that grows while it is read ends, too', async () => {
  const file = path.join(tempRoot({ file: 'abc' }), 'file');
  expect((await readForeign(file, 3))?.toString()).toBe('abc');
  expect(await readForeign(file, 2)).toBeUndefined();
  writeFileSync(file, '');
  expect(await readForeign(file, 2)).toEqual(Buffer.alloc(0));
  // Of this file its size says nothing.
  expect((await readForeign('/proc/self/status', 1024 ** 2))?.length).toBeGreaterThan(100);
  expect(await readForeign('/proc/self/status', 10)).toBeUndefined();
  await expect(sha256File('/proc/self/status')).rejects.toThrow('grows while it is read');
  truncateSync(file, 5 * 1024 ** 2);
  expect(await sha256File(file)).toBe('c036cbb7553a909f8b8877d4461924307f27ecb66cff928eeeafd569c3887e29');
});
