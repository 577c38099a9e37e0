import { expect, test } from 'vitest';
import { confirm, confirmationText } from '../../../src/cli/confirm.ts';

test('the question shows the size of the tmpfs and what will be replaced', () => {
  expect(confirmationText({ config: '/p/build.conf', output: '/p/realmfs', tmpfsSize: 2 * 1024 ** 3, replaced: ['manifest.json'] })).toBe(
    'Configuration: /p/build.conf\nOutput folder: /p/realmfs\nTmpfs:         yes, up to 2.0 GiB\nWill be replaced if the build makes them anew: manifest.json\n',
  );
});

test('the question about a build on disk says so, and names nothing to replace', () => {
  expect(confirmationText({ config: 'built-in base image', output: '/o', tmpfsSize: 0, replaced: [] })).toBe(
    'Configuration: built-in base image\nOutput folder: /o\nTmpfs:         no, the tree is built in the output folder\n',
  );
});

test('the question without a terminal is a usage error that names --no-confirm', async () => {
  const before = Object.getOwnPropertyDescriptor(process.stdin, 'isTTY');
  Object.defineProperty(process.stdin, 'isTTY', { value: false, configurable: true });
  const asked = confirm({ config: 'c', output: 'o', tmpfsSize: 0, replaced: [] }, new AbortController().signal);
  await expect(asked).rejects.toMatchObject({
    message: 'there is no terminal to ask on; --no-confirm builds without a question',
    exitCode: 2,
  });
  if (before === undefined) Reflect.deleteProperty(process.stdin, 'isTTY');
  else Object.defineProperty(process.stdin, 'isTTY', before);
});
