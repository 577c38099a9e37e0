import { expect, test } from 'vitest';
import { packageLines, parsePackageList } from '../../../src/records/packages.ts';

const text =
  'installed\tlibc6:amd64\t2.41-12\tamd64\tglibc\t2.41-12\t13000\nconfig-files\told\t1\tall\told\t1\t5\ninstalled\tmeta\t1:2\tall\tmeta-src\t2\t\nbroken\n\n';

test('packages that are installed, and no others', () => {
  expect(parsePackageList(text)).toEqual([
    { name: 'libc6:amd64', version: '2.41-12', arch: 'amd64', source: 'glibc', sourceVersion: '2.41-12', installedSize: 13000 * 1024 },
    { name: 'meta', version: '1:2', arch: 'all', source: 'meta-src', sourceVersion: '2', installedSize: 0 },
  ]);
  expect(packageLines(parsePackageList(text))).toBe('libc6:amd64\t2.41-12\nmeta\t1:2\n');
});
