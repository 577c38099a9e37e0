import { expect, test } from 'vitest';
import { paths } from '../../../../src/builder/model/context.ts';
import { debootstrapArguments } from '../../../../src/builder/steps/bootstrap.ts';
import { configWith } from '../../../helpers/config.ts';

test('debootstrap gets components, keyring, suite, folder and mirror', () => {
  expect(
    debootstrapArguments(configWith(), ['main', 'contrib'], { mirror: 'http://mirror.example/debian', packages: [] }, [
      '--make-tarball=/t',
    ]),
  ).toEqual([
    '--make-tarball=/t',
    '--verbose',
    '--merged-usr',
    '--variant=minbase',
    '--arch=amd64',
    '--components=main,contrib',
    '--include=systemd-sysv,locales',
    '--keyring=/k.gpg',
    '--force-check-gpg',
    'trixie',
    '/run/realmfs/build/root',
    'http://mirror.example/debian',
  ]);
});

test.each<[string, string[], string, string[], string[]]>([
  [
    'fetching',
    ['main', 'non-free-firmware'],
    'http://mirror.example/debian',
    ['--make-tarball=/t', '--keep-debootstrap-dir'],
    ['http://mirror.example/debian'],
  ],
  ['unpacking', ['main'], 'http://mirror.example/debian', ['--unpack-tarball=/t'], ['http://mirror.example/debian']],
])('debootstrap gets what belongs to %s', (_, components, mirror, seed, end) => {
  expect(
    debootstrapArguments(configWith({ release: 'bookworm', arch: 'arm64' }), components, { mirror, packages: ['ca-certificates'] }, seed),
  ).toEqual([
    ...seed,
    '--verbose',
    '--merged-usr',
    '--variant=minbase',
    '--arch=arm64',
    `--components=${components.join(',')}`,
    '--include=systemd-sysv,locales,ca-certificates',
    '--keyring=/k.gpg',
    '--force-check-gpg',
    'bookworm',
    paths.root,
    ...end,
  ]);
});
