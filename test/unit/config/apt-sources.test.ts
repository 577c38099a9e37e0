import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPins, readSources } from '../../../src/config/apt-sources.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const project = tempRoot({ 'keys/tools.gpg': 'key', 'keys/key.txt': 'key', 'tools.sources': '' });
symlinkSync('/etc/hostname', path.join(project, 'out.gpg'));
const good = 'Types: deb\nURIs: http://mirror.example/tools\nSuites: stable\nComponents: main\n';

async function sources(text: string) {
  const faults: string[] = [];
  return { ...(await readSources(text, project, (message) => faults.push(message))), faults };
}

describe('EXTRA_SOURCES', () => {
  test('a key of the project gets its place in the image, all else stays as it is', async () => {
    expect(await sources(`\n# ours\n${good}Signed-By: keys/tools.gpg\n`)).toEqual({
      text: `${good}Signed-By: /etc/apt/keyrings/tools.gpg\n`,
      keys: ['keys/tools.gpg'],
      faults: [],
    });
  });

  test.each([
    ['a path in the image', 'Signed-By: /usr/share/keyrings/x.gpg\n'],
    ['a fingerprint', 'Signed-By: 0123456789ABCDEF0123456789ABCDEF01234567\n'],
    ['the key itself', 'Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQENB\n -----END PGP PUBLIC KEY BLOCK-----\n'],
  ])('%s', async (_, signedBy) => {
    expect(await sources(good + signedBy)).toEqual({ text: good + signedBy, keys: [], faults: [] });
  });

  test.each([
    ['no key', good, ['repository 1 has no Signed-By']],
    ['nothing but a type', 'Types: deb\n', ['repository 1 has no URIs', 'repository 1 has no Suites', 'repository 1 has no Signed-By']],
    ['trusted', `${good}Signed-By: /k.gpg\nTrusted: yes\n`, ['repository 1 says Trusted: yes; a key in Signed-By is needed instead']],
    ['the second of two', `${good}Signed-By: /k.gpg\n\n${good}`, ['repository 2 has no Signed-By']],
    [
      'a file address',
      `${good.replace('http://mirror.example/tools', 'file:/srv')}Signed-By: /k.gpg\n`,
      ["repository 1 has the address 'file:/srv', which is no http or https URL"],
    ],
    [
      'a key that is not there',
      `${good}Signed-By: keys/none.gpg\n`,
      ['repository 1 has the key keys/none.gpg, which is not there: no such file in the project folder'],
    ],
    [
      'a key that is a link out of the project',
      `${good}Signed-By: out.gpg\n`,
      [
        'repository 1 has the key out.gpg, which is a link that leads out of the project folder, to /etc/hostname: copy what it leads to into the project',
      ],
    ],
    [
      'a key with a name that apt passes over',
      `${good}Signed-By: keys/key.txt\n`,
      ['repository 1 has the key keys/key.txt: apt wants a name that ends in .gpg or .asc'],
    ],
    [
      'the one-line form',
      'deb http://mirror.example/x stable main',
      ["'deb http://mirror.example/x stable main' is neither a text with 'Types:' nor a file in the project folder"],
    ],
  ])('%s is refused', async (_, text, faults) => {
    expect((await sources(text)).faults).toEqual(faults);
  });

  test('a file of the project, and nothing at all', async () => {
    const folder = tempRoot({ 'apt/x.sources': `${good}Signed-By: /k.gpg\n` });
    expect((await readSources('apt/x.sources', folder, () => {})).text).toBe(`${good}Signed-By: /k.gpg\n`);
    expect(await sources('')).toEqual({ text: '', keys: [], faults: [] });
  });
});

describe('EXTRA_PINS', () => {
  test.each([
    ['Package: *\nPin: origin mirror.example\nPin-Priority: 100', []],
    ['Package: *\nPin-Priority: 100\n', ['pin 1 has no Pin']],
    ['no-such-file', ["'no-such-file' is neither a text with 'Package:' nor a file in the project folder"]],
  ])('%s', async (text, expected) => {
    const faults: string[] = [];
    const pins = await readPins(text, project, (message) => faults.push(message));
    expect(faults).toEqual(expected);
    if (expected.length === 0) expect(pins).toBe(`${text}\n`);
  });
});
