import { expect, test } from 'vitest';
import { chooseMirrors, hostRepositories, parseRepositories } from '../../../src/host/mirrors.ts';
import { fakeCommand, withFakes } from '../../helpers/fake-command.ts';
import { realRunner, recordingRunner } from '../../helpers/runners.ts';

const hosts = parseRepositories(
  'http://third.example/debian/|stable|Third|Third\nhttp://mirror.example/debian/|bookworm|Debian|Debian\nhttp://mirror.example/sec/|bookworm-security|Debian|Debian-Security\ncdrom:[x]|a|b|c\n',
);
const none = { main: '', security: '' };

test.each([
  ["the host's own", none, hosts, { main: 'http://mirror.example/debian', security: 'http://mirror.example/sec' }],
  [
    'a named one, security beside it',
    { main: 'http://other.example/debian', security: '' },
    hosts,
    { main: 'http://other.example/debian', security: 'http://other.example/debian-security' },
  ],
  [
    'both named',
    { main: 'http://a.example/x', security: 'http://b.example/y' },
    hosts,
    { main: 'http://a.example/x', security: 'http://b.example/y' },
  ],
  [
    'a named one without a known neighbour',
    { main: 'http://a.example/x', security: '' },
    hosts,
    { main: 'http://a.example/x', security: '' },
  ],
  [
    'labels that apt has not fetched yet',
    none,
    parseRepositories('http://m.example/tools|x||\nhttp://m.example/debian|trixie||\nhttp://m.example/debian-security|x||\n'),
    { main: 'http://m.example/debian', security: 'http://m.example/debian-security' },
  ],
  ['a host without Debian', none, [], none],
])('mirrors are chosen: %s', (_, wanted, known, expected) => {
  expect(chooseMirrors(wanted, known)).toEqual(expected);
});

test.each<[string, typeof none, string, typeof none]>([
  ['Ubuntu is not Debian', none, 'http://mirror.example/ubuntu|noble|Ubuntu|Ubuntu', none],
  ['another archive with the label of Debian', none, 'http://mirror.example/x|trixie|Someone|Debian', none],
  ['backports of Debian are no main archive', none, 'http://mirror.example/b|trixie-backports|Debian Backports|Debian Backports', none],
  [
    'the first of several',
    none,
    'http://one.example/debian|trixie|Debian|Debian\nhttp://two.example/debian|trixie|Debian|Debian',
    { main: 'http://one.example/debian', security: 'http://one.example/debian-security' },
  ],
  [
    'security alone',
    none,
    'http://mirror.example/debian-security|trixie-security|Debian|Debian-Security',
    { main: '', security: 'http://mirror.example/debian-security' },
  ],
  [
    'a named security mirror beside the main one of the host',
    { main: '', security: 'http://sec.example/x' },
    'http://mirror.example/debian|trixie|Debian|Debian',
    { main: 'http://mirror.example/debian', security: 'http://sec.example/x' },
  ],
  [
    "a named mirror does not get the host's security mirror",
    { main: 'http://frozen.example/snapshot', security: '' },
    'http://mirror.example/debian-security|trixie-security|Debian|Debian-Security',
    { main: 'http://frozen.example/snapshot', security: '' },
  ],
])('mirrors are chosen from the repositories of the host: %s', (_, wanted, text, expected) => {
  expect(chooseMirrors(wanted, parseRepositories(text))).toEqual(expected);
});

test('apt is asked for its repositories, and what it has told counts', async () => {
  const fake = fakeCommand('apt-get', 'echo "http://mirror.example/debian/|trixie|Debian|Debian"; exit 100');
  expect(await hostRepositories(withFakes(realRunner(), fake))).toEqual([
    { uri: 'http://mirror.example/debian', release: 'trixie', origin: 'Debian', label: 'Debian' },
  ]);
  expect(fake.calls()).toEqual([['indextargets', '--format', '$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)']]);
});

test('an apt that fails without a word is an error', async () => {
  await expect(hostRepositories(recordingRunner(() => ({ exitCode: 1 })))).rejects.toThrow(
    'reading the apt sources of the host failed with exit code 1',
  );
});

test.each([
  ['', []],
  ['\n\n', []],
  ['file:///srv/debian|trixie|Debian|Debian\n', []],
  ['mirror+file:/etc/x|trixie|Debian|Debian\n', []],
  ['https://mirror.example/debian///|trixie\n', [{ uri: 'https://mirror.example/debian', release: 'trixie', origin: '', label: '' }]],
])('the lines %j of apt name the repositories %j', (text, expected) => {
  expect(parseRepositories(text)).toEqual(expected);
});
