import { expect, test } from 'vitest';
import { likelyCause, type Surroundings } from '../../../src/records/cause.ts';

const around: Surroundings = {
  start: Date.parse('2026-03-05T10:00:00Z') / 1000,
  end: Date.parse('2026-03-05T10:05:00Z') / 1000,
  hostname: 'another-host',
  folders: ['/var/build/x'],
  timeZone: 'Pacific/Kiritimati',
  language: 'tr_TR.UTF-8',
};
const seconds = around.start + 60;

test.each([
  ['seconds', `built=${seconds}\n`],
  ['nanoseconds', `${seconds}123456789`],
  ['milliseconds', `${seconds}123`],
  ['an ISO date', 'at 2026-03-05T12:00'],
  ['another time zone', 'at 2026-03-06'],
  ['date(1)', 'Thu Mar  5 10:01:00 UTC 2026'],
  ['a mail date', 'Thu, 05 Mar 2026 10:01:00 +0000'],
])('the time of the build: %s', (_, text) => {
  expect(likelyCause('./etc/x', ['content'], Buffer.from(text), around)).toMatch(/^the time of the build/);
});

test.each([
  ['./etc/x', 'on another-host\n', /host name/],
  ['./etc/x', 'in /var/build/x/y\n', /path of a folder/],
  ['./etc/x', 'TZ=Pacific/Kiritimati', /time zone/],
  ['./etc/x', `1${seconds}0`, /neither time/],
  ['./etc/x', '1700000000 2001-01-01', /neither time/],
  ['./etc/x', 'InitiatorName=iqn.1993-08.org.debian:01:f34d15e4ec1c\n', /a random identifier, which was drawn/],
  ['./etc/shadow', 'root:$y$salt', /salt/],
  ['./etc/ssh/ssh_host_rsa_key.pub', 'AAAA', /a key/],
])('%s with %s', (path, text, cause) => {
  expect(likelyCause(path, ['content'], Buffer.from(text), around)).toMatch(cause);
});

test('a time in the header of a compressed file', () => {
  const content = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
  expect(likelyCause('./a.gz', ['content'], content, around)).toMatch(/neither/);
  content.writeUInt32LE(seconds, 4);
  expect(likelyCause('./a.gz', ['content'], content, around)).toMatch(/that of its header/);
});

test('what is no content', () => {
  expect(likelyCause('./a', ['time'], undefined, around)).toMatch(/only its time/);
  expect(likelyCause('./a', ['mode', 'owner'], undefined, around)).toMatch(/its mode and owner/);
  expect(likelyCause('./a', [], undefined, around)).toMatch(/neither/);
});
