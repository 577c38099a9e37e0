import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { inRoot } from '../../../src/system/rooted.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

test('links lead where they lead in a chroot, never out of the tree', async () => {
  const root = tempRoot({ 'etc/passwd': 'ours\n', 'usr/sbin/x': '' });
  const link = (name: string, target: string): void => symlinkSync(target, path.join(root, name));
  link('sbin', 'usr/sbin');
  link('out', '../../../../../../etc');
  link('absolute', '/etc');
  link('file', '/etc/passwd');
  link('loop', 'loop');
  link('etc/up', '../../../usr/./sbin');
  const at = async (name: string, follow = false): Promise<string | undefined> => {
    const found = inRoot(root, name, { follow });
    return found === undefined ? undefined : `/${path.relative(root, found)}`;
  };
  expect(await at('/sbin/x')).toBe('/usr/sbin/x');
  expect(await at('/out/passwd')).toBe('/etc/passwd');
  expect(await at('absolute/passwd')).toBe('/etc/passwd');
  expect(await at('/file')).toBe('/file');
  expect(await at('/file', true)).toBe('/etc/passwd');
  expect(await at('/etc/up/x')).toBe('/usr/sbin/x');
  expect(await at('/../../x')).toBe('/x');
  expect(await at('/etc/new')).toBe('/etc/new');
  expect(await at('/loop/x')).toBeUndefined();
  expect(await at('/loop', true)).toBeUndefined();
  expect(await at('/etc/passwd/x')).toBeUndefined();
  expect(await at('/missing/x')).toBeUndefined();
  expect(await at('/')).toBe('/');
});
