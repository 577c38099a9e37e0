import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parseUris } from '../../../src/store/apt-output.ts';
import { archiveName, parsePackages, parseRelease, readSigned, releaseField } from '../../../src/store/index-file.ts';
import { PackageHarvest } from '../../../src/store/packages.ts';
import type { Runner } from '../../../src/system/runner.ts';
import { recordingRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
const folder = (): string => tempRoot();
/** The frame of a signed text; what is in it is the fake gpgv's business. */
const framed = (text: string): string =>
  `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${text}-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n`;

/** A runner whose gpgv finds every file well signed, or says what `status` says. */
function gpgv(status = ['[GNUPG:] GOODSIG 1 x'], exitCode = 0): Runner {
  return recordingRunner((command) => ({ exitCode, status, stdout: readFileSync(command.args.at(-1) ?? '', 'utf8') }));
}

test('Release and Packages files', () => {
  const text = `Date: Sat, 12 Sep 2026 07:55:41 UTC\nMD5Sum:\n ff 1 main/x\nSHA256:\n aa  12 main/binary-amd64/Packages\n bb 3 main/x\nSHA512:\n cc 4 main/y\n`;
  expect(releaseField(text, 'Date')).toBe('Sat, 12 Sep 2026 07:55:41 UTC');
  expect([...parseRelease(text)]).toEqual([
    ['main/binary-amd64/Packages', { sha256: 'aa', size: 12 }],
    ['main/x', { sha256: 'bb', size: 3 }],
  ]);
  const packages =
    'Package: a\nVersion: 1:2~b+c\nArchitecture: all\nSize: 5\nDescription: x\n Package: evil\nSHA256: dd\n\nPackage: broken\n\nPackage: b\nSHA256: ee\nSize: 6\nArchitecture: amd64\nVersion: 3';
  expect([...parsePackages(Buffer.from(packages), new Set(['a', 'b', 'broken', 'evil']))]).toEqual([
    ['a_1%3a2~b+c_all.deb', { size: 5, sha256: 'dd' }],
    ['b_3_amd64.deb', { size: 6, sha256: 'ee' }],
  ]);
  expect(archiveName('x', '2:1', 'amd64')).toBe('x_2%3a1_amd64.deb');
});

test.each([
  ['a good signature', ['[GNUPG:] GOODSIG 1 x'], 0, true],
  ['a good one and one by an unknown key', ['[GNUPG:] GOODSIG 1 x', '[GNUPG:] NO_PUBKEY 2'], 2, true],
  ['one by an expired key', ['[GNUPG:] EXPKEYSIG 1 x', '[GNUPG:] VALIDSIG 1'], 0, false],
  ['one by a revoked key', ['[GNUPG:] REVKEYSIG 1 x'], 0, false],
  ['a bad one', ['[GNUPG:] BADSIG 1 x'], 1, false],
  ['none', [], 2, false],
])('signatures: %s', async (_, status, exitCode, good) => {
  const file = path.join(folder(), 'x_InRelease');
  writeFileSync(file, framed('Date: x\n'));
  expect((await readSigned(file, '/k', gpgv(status, exitCode))) !== undefined).toBe(good);
});

function cacheAndView(packagesText: string, releaseText: string) {
  const top = folder();
  const [cache, view] = [path.join(top, 'cache'), path.join(top, 'view')];
  for (const name of ['archives/partial', 'lists/partial']) mkdirSync(path.join(cache, name), { recursive: true });
  for (const name of ['archives-upper', 'lists', 'lists-upper']) mkdirSync(path.join(view, name), { recursive: true });
  for (const lists of ['lists', 'lists-upper']) {
    writeFileSync(path.join(view, lists, 'm_dists_s_InRelease'), releaseText);
    writeFileSync(path.join(view, lists, 'm_dists_s_main_binary-amd64_Packages'), packagesText);
  }
  return { cache, view };
}

const good = 'the package';
const packages = `Package: good\nVersion: 1\nArchitecture: all\nSize: ${good.length}\nSHA256: ${hash(good)}\n`;
const release = framed(`Suite: s\nSHA256:\n ${hash(packages)} ${packages.length} main/binary-amd64/Packages\n`);

test('only files whose name, size and hash are signed are taken', async () => {
  const { cache, view } = cacheAndView(packages, release);
  const upper = path.join(view, 'archives-upper');
  const harvest = new PackageHarvest({ cache, view }, '/k', gpgv());
  writeFileSync(path.join(upper, 'good_1_all.deb'), 'the forgery');
  writeFileSync(path.join(upper, 'unknown_1_all.deb'), good);
  writeFileSync(path.join(upper, 'good_1_all.txt'), good);
  symlinkSync('/etc/passwd', path.join(upper, 'link_1_all.deb'));
  expect(await harvest.harvest()).toBe(0);
  writeFileSync(path.join(upper, 'good_1_all.deb'), good);
  expect(await harvest.harvest()).toBe(1);
  expect(await harvest.harvest()).toBe(0);
  expect(readdirSync(path.join(cache, 'archives')).sort()).toEqual(['good_1_all.deb', 'partial']);
  expect(readdirSync(path.join(cache, 'archives/partial'))).toEqual([]);
  expect(readFileSync(path.join(cache, 'archives/good_1_all.deb'), 'utf8')).toBe(good);
});

test('a Release file that lies under the name of another suite is not shared', async () => {
  const { cache, view } = cacheAndView(packages, release.replace('Suite: s', 'Suite: other'));
  await new PackageHarvest({ cache, view }, '/k', gpgv()).harvestLists();
  expect(readdirSync(path.join(cache, 'lists'))).toEqual(['partial']);
});

test('an index that the signature does not cover counts for nothing', async () => {
  const { cache, view } = cacheAndView(
    `${packages}\nPackage: evil\nVersion: 1\nArchitecture: all\nSize: 4\nSHA256: ${hash('evil')}\n`,
    release,
  );
  writeFileSync(path.join(view, 'archives-upper/evil_1_all.deb'), 'evil');
  const harvest = new PackageHarvest({ cache, view }, '/k', gpgv());
  expect(await harvest.harvest()).toBe(0);
  await harvest.harvestLists();
  expect(readdirSync(path.join(cache, 'lists')).sort()).toEqual(['m_dists_s_InRelease', 'partial']);
});

test('what stands in the place of an index but is no file is passed over', async () => {
  const { cache, view } = cacheAndView(packages, release);
  const index = path.join(view, 'lists-upper/m_dists_s_main_binary-amd64_Packages');
  rmSync(index);
  execFileSync('mkfifo', [index]);
  await new PackageHarvest({ cache, view }, '/k', gpgv()).harvestLists();
  expect(readdirSync(path.join(cache, 'lists')).sort()).toEqual(['m_dists_s_InRelease', 'partial']);
});

test('signed lists are taken, unsigned ones are not', async () => {
  const { cache, view } = cacheAndView(packages, release);
  await new PackageHarvest({ cache, view }, '/k', gpgv([], 2)).harvestLists();
  expect(readdirSync(path.join(cache, 'lists'))).toEqual(['partial']);
  await new PackageHarvest({ cache, view }, '/k', gpgv()).harvestLists();
  expect(readdirSync(path.join(cache, 'lists')).sort()).toEqual(['m_dists_s_InRelease', 'm_dists_s_main_binary-amd64_Packages', 'partial']);
});

test('what apt wants, with its hashes', () => {
  const wanted = parseUris(
    `Reading package lists...\n'http://mirror.example/a_1%7e2.deb' a_1~2_all.deb 5 SHA256:${hash('a')}\n'http://mirror.example/b.deb' b_1_all.deb 6 MD5Sum:00\n`,
  );
  expect([...wanted]).toEqual([
    ['a_1~2_all.deb', { size: 5, sha256: hash('a') }],
    ['b_1_all.deb', { size: -1, sha256: '' }],
  ]);
});

test.each(['../../../cache', '', '.', 'a/b_1_all.deb', '-rf.deb', 'b_1_all.txt'])('apt names %j: no package, and no path', (name) => {
  expect(() => parseUris(`'http://mirror.example/x' ${name} 1 SHA256:${hash('x')}\n`)).toThrow('apt names a file that is no package');
});

test('a wrong file in the cache is removed from the cache and from the view', async () => {
  const { cache, view } = cacheAndView(packages, release);
  const harvest = new PackageHarvest({ cache, view }, '/k', gpgv());
  const wanted = new Map([['good_1_all.deb', { size: good.length, sha256: hash(good) }]]);
  for (const [content, wrong] of [
    [good, []],
    ['the forgery', ['good_1_all.deb']],
    ['the', ['good_1_all.deb']],
  ] as const) {
    for (const archives of [path.join(cache, 'archives'), path.join(view, 'archives')]) {
      mkdirSync(archives, { recursive: true });
      writeFileSync(path.join(archives, 'good_1_all.deb'), content);
    }
    expect(await harvest.verify(wanted)).toEqual(wrong);
    for (const folder of [cache, view]) {
      expect(readdirSync(path.join(folder, 'archives')).includes('good_1_all.deb')).toBe(wrong.length === 0);
    }
  }
  expect(await harvest.verify(wanted)).toEqual(['good_1_all.deb']);
});
