import { expect, test } from 'vitest';
import { hideCredentials, splitCredentials } from '../../../src/system/credentials.ts';

test.each([
  ['http://mirror.example/debian', 'http://mirror.example/debian', ''],
  ['http://mirror.example/a@b', 'http://mirror.example/a@b', ''],
  ['http://user:word@mirror.example/debian', 'http://mirror.example/debian', 'machine "mirror.example" login "user" password "word"\n'],
  ['https://user@mirror.example:8080', 'https://mirror.example:8080', 'machine "mirror.example" login "user" password ""\n'],
  ['http://u%40x:a%20%22b%5C@[::1]:80/', 'http://[::1]:80/', 'machine "[::1]" login "u@x" password "a \\"b\\\\"\n'],
  ['http://u:100%@mirror.example/', 'http://mirror.example/', 'machine "mirror.example" login "u" password "100%"\n'],
])('the password of %s goes by another way than its address', (mirror, address, netrc) => {
  expect(splitCredentials(mirror)).toEqual({ address, netrc });
});

test.each([
  ['no address', 'no address'],
  ['http://user:pass@mirror.example/x', 'http://***@mirror.example/x'],
  ['https\\://user\\:pa%40ss@mirror.example', 'https\\://***@mirror.example'],
  ['{"line":"http://u:p@a.example http://b.example"}', '{"line":"http://***@a.example http://b.example"}'],
  ['http://mirror.example/a@b', 'http://mirror.example/a@b'],
  ['mail me@host.example', 'mail me@host.example'],
])('the text %j is shown as %j, without its credentials', (text, expected) => {
  expect(hideCredentials(text)).toBe(expected);
});
