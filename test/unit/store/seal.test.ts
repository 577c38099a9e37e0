import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { isSecret } from '../../../src/config/settings.ts';
import { readSalt, Seal } from '../../../src/store/seal.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const salt = Buffer.alloc(32, 7);
const inputs = (values: Record<string, string>, words: string[] = [], from = salt): Record<string, string> =>
  new Seal(from, isSecret, words).inputs(values);

test.each([
  ['setting REALMFS_USER_PASSWORD', 'hunter2'],
  ['variable REALMFS_USER_PASSWORD', 'declare -- REALMFS_USER_PASSWORD="hunter2"'],
  ['variable API_TOKEN', 'declare -x API_TOKEN="hunter2"'],
  ['commands at the top level of build.conf', 'true\nREALMFS_USER_PASSWORD=hunter2'],
  ['function x', 'x() { echo hunter2 | chpasswd; }'],
  ['setting DEBIAN_MIRROR', 'http://me:hunter2@mirror.example/debian'],
  ['extra sources', 'Types: deb\nURIs: https://hunter2@mirror.example/x\n'],
  ['the command line of debootstrap', 'trixie root https://a:hunter2@mirror.example/debian'],
])('%s: the secret is sealed, and another one is another input', (name, value) => {
  const sealed = inputs({ [name]: value }, ['hunter2']);
  expect(JSON.stringify(sealed)).not.toContain('hunter2');
  expect(sealed).toEqual(inputs({ [name]: value }, ['hunter2']));
  const other = value.replace('hunter2', 'hunter3');
  expect(inputs({ [name]: other }, ['hunter3'])).not.toEqual(sealed);
  expect(inputs({ [name]: value }, ['hunter2'], Buffer.alloc(32, 8))).not.toEqual(sealed);
});

test('what is no secret stays readable', () => {
  const values = {
    'setting X': 'http://mirror.example/a@b',
    'function bypass': 'bypass() { :; }',
    'the keyring': '12',
    'step pre/x': 'user x',
  };
  expect(inputs(values, ['x'])).toEqual(values);
});

test('a salt is made once, for root alone; a damaged one is made anew; where none can be made there is one all the same', async () => {
  const folder = tempRoot({});
  const first = await readSalt(folder);
  expect([first.length, statSync(path.join(folder, 'salt')).mode & 0o777]).toEqual([32, 0o600]);
  expect(await readSalt(folder)).toEqual(first);
  writeFileSync(path.join(folder, 'salt'), 'short');
  const second = await readSalt(folder);
  expect([second.length, readFileSync(path.join(folder, 'salt')).equals(second)]).toEqual([32, true]);
  const many = await Promise.all(Array.from({ length: 8 }, () => readSalt(tempRoot({ x: '' }))));
  expect(new Set(many.map(String)).size).toBe(8);
  expect((await readSalt(path.join(folder, 'not there'))).length).toBe(32);
});

test('many builds at once have one salt', async () => {
  const folder = tempRoot({});
  const salts = await Promise.all(Array.from({ length: 8 }, () => readSalt(folder)));
  expect(new Set(salts.map((bytes) => bytes.toString('hex')))).toEqual(new Set([readFileSync(path.join(folder, 'salt')).toString('hex')]));
});
