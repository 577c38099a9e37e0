import { expect, test } from 'vitest';
import { forwardedResolver, namesLoopback } from '../../../src/sandbox/network.ts';

test.each([
  ['http://127.0.0.1:3142', true],
  ['http://user:word@localhost/debian', true],
  ['localhost:3142', true],
  ['http://[::1]:8080/', true],
  ['deb http://127.3.2.1/debian trixie main', true],
  ['URIs: https://mirror.example/localhost', false],
  ['http://localhost.example/', false],
  ['http://127.0.0.1.example/', false],
  ['', false],
])('%s names the loopback: %s', (text, isIt) => {
  expect(namesLoopback(text)).toBe(isIt);
});

test.each([
  ['nameserver 192.0.2.1\nsearch example\n', 'nameserver 192.0.2.1\nsearch example\n'],
  ['# x\nnameserver 127.0.0.53\noptions edns0\n', '# x\nnameserver 169.254.1.53\noptions edns0\n'],
  ['nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n', 'nameserver 169.254.1.53\nnameserver 192.0.2.1\n'],
  ['nameserver 192.0.2.1\nnameserver 127.0.0.1\n', 'nameserver 169.254.1.53\n'],
  ['', ''],
])('the resolver of a step for %j', (host, inside) => {
  expect(forwardedResolver(host, '169.254.1.53')).toBe(inside);
});
