import { expect, test } from 'vitest';
import { shownPlace } from '../../../../src/builder/steps/step-failure.ts';

test.each([
  ['/dev/realmfs/project/build.conf', '7', 'build.conf:7'],
  ['/dev/realmfs/lib/modules/create-user', '12', 'built-in module create-user:12'],
  ['/dev/realmfs/project/build.conf', '12', 'build.conf:12'],
  ['/dev/realmfs/project/realmfs-modules/x', '3', 'realmfs-modules/x:3'],
  ['/dev/realmfs/lib/modules/create-user', '', 'built-in module create-user'],
  ['/dev/realmfs/lib/chroot/lib.sh', '5', 'built-in lib.sh:5'],
  ['/etc/profile', '0', '/etc/profile'],
])('the place %s:%s is shown as %s', (file, line, shown) => {
  expect(shownPlace(file, line)).toBe(shown);
});
