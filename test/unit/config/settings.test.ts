import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { nearest } from '../../../src/config/nearest.ts';
import { findSetting, settings, splitTargets } from '../../../src/config/settings.ts';

const top = path.resolve(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(path.join(top, file), 'utf8');

test.each(settings)('$key is documented and in the template', ({ key, type }) => {
  expect(read('docs/configuration.md')).toContain(`\`${key}\``);
  if (type !== 'builder') expect(read('templates/build.conf')).toMatch(new RegExp(`^#?${key}=`, 'm'));
});

test('every built-in module is documented', () => {
  for (const name of readdirSync(path.join(top, 'realmfs-modules'))) expect(read('docs/modules.md')).toContain(`\`${name}\``);
});

describe('checks', () => {
  test.each([
    ['DEBIAN_RELEASE', 'trixie', undefined],
    ['DEBIAN_RELEASE', '', "'' is no suite name"],
    ['DEBIAN_RELEASE', '../../x', "'../../x' is no suite name"],
    ['DEBIAN_RELEASE', '-x', "'-x' is no suite name"],
    ['DEBIAN_RELEASE', 'a\nb', "'a\nb' is no suite name"],
    ['DEBIAN_MIRROR', 'http://mirror.example/debian', undefined],
    ['DEBIAN_MIRROR', 'http://[::1]:80/debian', undefined],
    ['DEBIAN_MIRROR', '', undefined],
    ['DEBIAN_MIRROR', 'file:///srv', "'file:///srv' is no http or https URL"],
    ['DEBIAN_MIRROR', 'nope', "'nope' is no URL; a mirror looks like http://mirror.example/debian"],
    [
      'DEBIAN_MIRROR',
      'http://me:secret@mirror.example/a b',
      "'http://***@mirror.example/a b' is no mirror: it holds white space or quotes",
    ],
    ['REALMFS_HOSTNAME', 'a.b-c', undefined],
    ['REALMFS_HOSTNAME', 'a b', "'a b' is no host name"],
    ['REALMFS_PROFILE', 'max', "'max' is none of citadel, minimal"],
    ['NETWORK', 'maybe', "'maybe' is none of on, off"],
    ['IMAGE_FREE_SPACE', '1.5G', undefined],
    ['IMAGE_FREE_SPACE', 'much', "'much' is no size (512M, 2G)"],
    ['SOURCE_DATE_EPOCH', '12x', "'12x' is no number of seconds"],
    ['DEBIAN_KEYRING', 'a.gpg', "'a.gpg' is no absolute path"],
  ])('%s=%j: %s', (key, value, fault) => {
    expect(findSetting(key)?.check?.(value)).toBe(fault);
  });
});

test('targets are parted by blanks, commas and semicolons', () => {
  expect(splitTargets(' a,b ;c\nd,')).toEqual(['a', 'b', 'c', 'd']);
});

test('the nearest word, if it is near', () => {
  expect(nearest('set-hostnam', ['set-hostname', 'create-user'])).toBe('set-hostname');
  expect(nearest('trixy', ['trixie', 'sid'])).toBe('trixie');
  expect(nearest('zzzzzz', ['trixie', 'sid'])).toBeUndefined();
});
