import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  archiveName,
  checkSignature,
  indicesOf,
  parsePackages,
  parseRelease,
  readPackages,
  readSigned,
  releaseField,
} from '../../../src/store/index-file.ts';
import { PackageHarvest } from '../../../src/store/packages.ts';
import { fakeCommand, withFakes } from '../../helpers/fake-command.ts';
import { realRunner, recordingRunner } from '../../helpers/runners.ts';
import { makeSigningKey } from '../../helpers/signing.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('Release files', () => {
  test.each([
    ['no section', 'Date: x\n', []],
    ['an empty section', 'SHA256:\n', []],
    ['another section of the same form', 'MD5Sum:\n aa 1 main/x\nSHA512:\n bb 2 main/y\n', []],
    ['a section that ends the file without a line feed', 'SHA256:\n aa 1 main/x', [['main/x', { sha256: 'aa', size: 1 }]]],
    ['wide columns and tabs', 'SHA256: \n aa\t      12 main/x\n', [['main/x', { sha256: 'aa', size: 12 }]]],
    ['half a line', 'SHA256:\n aa 1\n', []],
    ['a field after it', 'SHA256:\n aa 1 main/x\nOrigin: Debian\n bb 2 main/y\n', [['main/x', { sha256: 'aa', size: 1 }]]],
  ])('%s', (_, text, expected) => {
    expect([...parseRelease(text)]).toEqual(expected);
  });

  test('fields', () => {
    const text = 'Origin: Debian\nX-Date: no\nDate:   Sat, 01 Jan 2022 00:00:00 UTC  \nSuite:\n Label: no\n';
    expect(releaseField(text, 'Date')).toBe('Sat, 01 Jan 2022 00:00:00 UTC');
    expect(releaseField(text, 'Label')).toBeUndefined();
    expect(releaseField(text, 'Suite')).toBeUndefined();
  });
});

describe('Packages files', () => {
  const stanza = (name: string, more = ''): string => `Package: ${name}\nVersion: 1\nArchitecture: all\n${more}Size: 5\nSHA256: ${name}\n`;
  const names = (text: string): string[] => [...parsePackages(Buffer.from(text), new Set(['a', 'b', 'evil', 'no'])).keys()];

  test.each([
    ['nothing', '', []],
    ['blank lines in front, between and behind', `\n\n${stanza('a')}\n\n\n${stanza('b')}\n\n`, ['a_1_all.deb', 'b_1_all.deb']],
    ['no line feed at the end', stanza('a').trimEnd(), ['a_1_all.deb']],
    ['a stanza without a digest', `Package: a\nVersion: 1\nArchitecture: all\nSize: 5\n\n${stanza('b')}`, ['b_1_all.deb']],
    ['a digest of another kind', `Package: a\nVersion: 1\nArchitecture: all\nSize: 5\nMD5sum: x\nDescription-md5: y\n`, []],
    ['a description that looks like fields', stanza('a', 'Description: x\n Package: evil\n Version: 9\n .\n SHA256: 0\n'), ['a_1_all.deb']],
    ['an Installed-Size', stanza('a', 'Installed-Size: 99\n'), ['a_1_all.deb']],
    ['a package that nobody asks for', `${stanza('a')}\n${stanza('c')}\n${stanza('b')}`, ['a_1_all.deb', 'b_1_all.deb']],
    ['a stanza that begins with another field', `${stanza('a')}\nX: y\n${stanza('b')}`, ['a_1_all.deb', 'b_1_all.deb']],
    ['a name of another field that ends alike', `X-Package: no\n${stanza('a')}`, ['a_1_all.deb']],
  ])('%s', (_, text, expected) => {
    expect(names(text)).toEqual(expected);
  });

  test('size and digest of the right stanza', () => {
    const entries = parsePackages(Buffer.from(`${stanza('a', 'Installed-Size: 99\n')}\n${stanza('b')}`), new Set(['a', 'b']));
    expect([...entries]).toEqual([
      ['a_1_all.deb', { size: 5, sha256: 'a' }],
      ['b_1_all.deb', { size: 5, sha256: 'b' }],
    ]);
  });

  test.each([
    ['libc6', '2.41-12', 'amd64', 'libc6_2.41-12_amd64.deb'],
    ['x', '1:2:3', 'all', 'x_1%3a2%3a3_all.deb'],
    ['g++', '4:14.2~rc1+b1', 'arm64', 'g++_4%3a14.2~rc1+b1_arm64.deb'],
  ])('%s %s %s', (name, version, arch, file) => {
    expect(archiveName(name, version, arch)).toBe(file);
  });
});

describe('signatures, with the real gpgv', () => {
  const key = makeSigningKey('good');
  const text = `Date: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n ${hash('x')} 1 main/x\n`;

  async function read(content: string, keyring: Buffer): Promise<string | undefined> {
    const root = tempRoot({ m_InRelease: content });
    writeFileSync(path.join(root, 'keys.gpg'), keyring);
    return (await readSigned(path.join(root, 'm_InRelease'), path.join(root, 'keys.gpg'), realRunner()))?.text;
  }

  test('a good one: the signed text comes back, and its indices', async () => {
    const root = tempRoot({ m_InRelease: key.clearsign(text) });
    writeFileSync(path.join(root, 'keys.gpg'), key.keyring);
    expect(await readSigned(path.join(root, 'm_InRelease'), path.join(root, 'keys.gpg'), realRunner())).toEqual({
      file: 'm_InRelease',
      text: expect.stringMatching(/^Date: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n [0-9a-f]{64} 1 main\/x\n?$/),
      indices: new Map([['main/x', { sha256: hash('x'), size: 1 }]]),
    });
  });

  test('what stands around the signed text does not count', async () => {
    const around = `SHA256:\n ${hash('evil')} 4 main/evil\n${key.clearsign(text)}SHA256:\n ${hash('evil')} 4 main/evil\n`;
    expect((await read(around, key.keyring)) ?? '').not.toContain('evil');
  });

  test.each([
    ['a changed text', key.clearsign(text).replace(' 1 main/x', ' 2 main/x')],
    ['no signature', text],
    ['a cut file', key.clearsign(text).slice(0, -80)],
    ['an empty file', ''],
    ['another key', makeSigningKey('other').clearsign(text)],
  ])('%s is refused', async (_, content) => {
    expect(await read(content, key.keyring)).toBeUndefined();
  });

  test('a key that has expired is refused', async () => {
    const old = makeSigningKey('old', { expired: true });
    expect(await read(old.clearsign(text), old.keyring)).toBeUndefined();
    expect(await read(old.clearsign(text), Buffer.concat([key.keyring, old.keyring]))).toBeUndefined();
  });

  test('no keyring, no trust', async () => {
    const root = tempRoot({ m_InRelease: key.clearsign(text) });
    expect(await readSigned(path.join(root, 'm_InRelease'), path.join(root, 'none.gpg'), realRunner())).toBeUndefined();
  });
});

test('the call of gpgv', async () => {
  const fake = fakeCommand('gpgv', 'echo "Date: x"; echo "[GNUPG:] GOODSIG 1 x" >&3');
  const file = path.join(tempRoot({ m_InRelease: makeSigningKey('any').clearsign('Date: x\n') }), 'm_InRelease');
  const signed = await readSigned(file, '/keys.gpg', withFakes(realRunner(), fake));
  expect(signed?.text).toBe('Date: x\n');
  expect(fake.calls()).toEqual([['--quiet', '--status-fd', '3', '--keyring', '/keys.gpg', '--output', '-', '--', file]]);
});

test.each([
  ['gpgv cannot be run', { exitCode: 127 }, 'is not signed'],
  ['gpgv says good, and fails in another way', { exitCode: 1, status: ['[GNUPG:] GOODSIG 1 x'] }, 'is not signed'],
  [
    'a good word in the name of a key',
    { exitCode: 2, status: ['[GNUPG:] ERRSIG 1 [GNUPG:] GOODSIG 1 x'] },
    'has a signature that cannot be checked (1)',
  ],
  ['one good and one bad', { exitCode: 1, status: ['[GNUPG:] GOODSIG 1 x', '[GNUPG:] BADSIG 2 y'] }, 'was changed after it was signed (2)'],
  [
    'a key that the keyring does not have',
    { exitCode: 2, status: ['[GNUPG:] ERRSIG 3', '[GNUPG:] NO_PUBKEY 3'] },
    'is signed by a key that is not in the keyring (3)',
  ],
  ['a revoked key', { exitCode: 0, status: ['[GNUPG:] REVKEYSIG 4 x'] }, 'is signed by a key that was revoked (4)'],
])('%s: refused', async (_, answer, fault) => {
  const file = path.join(tempRoot({ m_InRelease: makeSigningKey('any').clearsign('Date: x\n') }), 'm_InRelease');
  expect(
    await checkSignature(
      file,
      '/k',
      recordingRunner(() => answer),
    ),
  ).toEqual({ fault });
});

test('two signed texts in one file are refused, whoever has signed the second', async () => {
  const [key, thief] = [makeSigningKey('archive'), makeSigningKey('thief')];
  const root = tempRoot({ m_InRelease: `${thief.clearsign('SHA256:\n')}${key.clearsign('SHA256:\n')}` });
  writeFileSync(path.join(root, 'keys.gpg'), key.keyring);
  expect(await checkSignature(path.join(root, 'm_InRelease'), path.join(root, 'keys.gpg'), realRunner())).toEqual({
    fault: 'holds more than one signed text',
  });
});

describe('what a signed release covers', () => {
  const release = (entries: Readonly<Record<string, string>>) => ({
    file: 'm_dists_s_InRelease',
    text: '',
    indices: new Map(Object.entries(entries).map(([name, text]) => [name, { sha256: hash(text), size: text.length }])),
  });

  test('files of its own suite alone', async () => {
    const lists = tempRoot({ m_dists_s_main_x: 'good', m_dists_s_main_unknown: 'good', m_dists_t_main_x: 'good' });
    mkdirSync(path.join(lists, 'm_dists_s_main_folder'));
    const signed = release({ 'main/x': 'good', 'main/folder': 'good', 'main/none': 'good' });
    expect(await indicesOf(lists, signed)).toEqual([{ file: 'm_dists_s_main_x', signed: { sha256: hash('good'), size: 4 } }]);
  });
});

describe('a Packages file', () => {
  const stanza = (name: string): string =>
    `Package: ${name}\nVersion: 1\nArchitecture: all\nDescription: ${'x'.repeat(700)}\nSize: 5\nSHA256: ${hash(name)}\n`;
  const signed = (text: string) => ({ sha256: hash(text), size: Buffer.byteLength(text) });

  test('of several pieces: not one package is lost or cut', async () => {
    const names = [...Array(5000).keys()].map((index) => `p${index}`);
    const text = names.map(stanza).join('\n');
    const file = path.join(tempRoot({ packages: text }), 'packages');
    const entries = await readPackages(file, signed(text), new Set(names));
    expect([...entries]).toEqual(names.map((name) => [`${name}_1_all.deb`, { size: 5, sha256: hash(name) }]));
    expect(await readPackages(file, signed(text), new Set(['p7']))).toEqual(new Map([['p7_1_all.deb', { size: 5, sha256: hash('p7') }]]));
  });

  test('that is not the one that was signed says nothing', async () => {
    const text = stanza('a');
    const root = tempRoot({ changed: text.replace('Size: 5', 'Size: 6'), short: text.slice(0, -1), whole: text });
    const read = async (name: string): Promise<number> => (await readPackages(path.join(root, name), signed(text), new Set(['a']))).size;
    expect([await read('whole'), await read('changed'), await read('short')]).toEqual([1, 0, 0]);
  });
});

describe('the harvest, with the real gpgv', () => {
  const key = makeSigningKey('archive');
  const content = 'the package';
  const packages = `Package: good\nVersion: 1:2\nArchitecture: all\nSize: ${content.length}\nSHA256: ${hash(content)}\n`;
  const name = 'good_1%3a2_all.deb';

  function prepared(inRelease: string) {
    const root = tempRoot({ 'cache/archives/partial/.keep': '', 'cache/lists/partial/.keep': '' });
    const [cache, view, keyring] = [path.join(root, 'cache'), path.join(root, 'view'), path.join(root, 'keys.gpg')];
    writeFileSync(keyring, key.keyring);
    for (const lists of ['lists', 'lists-upper'])
      writeFiles(path.join(view, lists), { m_dists_s_InRelease: inRelease, 'm_dists_s_main_binary-amd64_Packages': packages });
    mkdirSync(path.join(view, 'archives-upper'));
    return {
      harvest: new PackageHarvest({ cache, view }, keyring, realRunner()),
      fetch: (file: string, text: string) => writeFileSync(path.join(view, 'archives-upper', file), text),
      archives: () => readdirSync(path.join(cache, 'archives')).filter((file) => file !== 'partial'),
      cache,
      view,
    };
  }
  const signed = key.clearsign(`SHA256:\n ${hash(packages)} ${packages.length} main/binary-amd64/Packages\n`);

  test('a forged file of the right name and size is not taken, the true one is, with its time', async () => {
    const { harvest, fetch, archives, cache, view } = prepared(signed);
    fetch(name, 'thE package');
    fetch('other_1_all.deb', content);
    expect([await harvest.harvest(), archives()]).toEqual([0, []]);
    fetch(name, content);
    utimesSync(path.join(view, 'archives-upper', name), 1000, 2000);
    expect([await harvest.harvest(), archives()]).toEqual([1, [name]]);
    expect(statSync(path.join(cache, 'archives', name)).mtimeMs).toBe(2_000_000);
    expect(readdirSync(path.join(cache, 'archives/partial'))).toEqual(['.keep']);
  });

  test('nothing is taken under a signature of another key', async () => {
    const { harvest, fetch, archives, cache } = prepared(makeSigningKey('thief').clearsign('SHA256:\n'));
    fetch(name, content);
    expect([await harvest.harvest(), archives()]).toEqual([0, []]);
    await harvest.harvestLists();
    expect(readdirSync(path.join(cache, 'lists'))).toEqual(['partial']);
  });

  test('what a failing fetch has brought is kept, and its failure is the one thrown', async () => {
    const { harvest, fetch, archives } = prepared(signed);
    const fetching = harvest.during(async () => {
      fetch(name, content);
      throw new Error('the network is gone');
    });
    await expect(fetching).rejects.toThrow('the network is gone');
    expect(archives()).toEqual([name]);
  });

  test('the result of a fetch comes back', async () => {
    const { harvest, fetch, archives } = prepared(signed);
    const result = await harvest.during(async () => {
      fetch(name, content);
      return 7;
    });
    expect(result).toBe(7);
    expect(archives()).toEqual([name]);
  });

  test('lists that arrive later are seen', async () => {
    const { harvest, fetch, archives, view } = prepared('');
    fetch(name, content);
    expect(await harvest.harvest()).toBe(0);
    writeFiles(path.join(view, 'lists'), { m_dists_s_InRelease: signed });
    expect(await harvest.harvest()).toBe(1);
    expect(archives()).toEqual([name]);
    expect(readFileSync(path.join(view, 'archives-upper', name), 'utf8')).toBe(content);
  });
});
