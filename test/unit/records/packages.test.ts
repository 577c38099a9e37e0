import { expect, test } from 'vitest';
import { parseDpkgStatus } from '../../../src/records/dpkg-status.ts';
import { packageLines } from '../../../src/records/packages.ts';

const stanza = (name: string, status: string, more = ''): string =>
  `Package: ${name}\nStatus: install ok ${status}\nArchitecture: all\nVersion: 1:2\n${more}\n`;

test('packages that are installed, and no others', () => {
  const text = [
    stanza('meta', 'installed', 'Source: meta-src (2)\n'),
    stanza('old', 'config-files'),
    stanza('broken', 'half-configured'),
    stanza('libx', 'installed', 'Multi-Arch: same\nInstalled-Size: 13\n'),
    'broken\n',
  ].join('');
  const packages = parseDpkgStatus(text);
  expect(packages).toEqual([
    { name: 'libx:all', version: '1:2', arch: 'all', source: 'libx', sourceVersion: '1:2', installedSize: 13 * 1024 },
    { name: 'meta', version: '1:2', arch: 'all', source: 'meta-src', sourceVersion: '2', installedSize: 0 },
  ]);
  expect(packageLines(packages)).toBe('libx:all\t1:2\nmeta\t1:2\n');
});
