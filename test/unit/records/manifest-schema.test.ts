import { expect, test } from 'vitest';
import { manifestSchema } from '../../../src/records/manifest-schema.ts';

const digest = 'a'.repeat(64);
const manifest = {
  format: 1,
  builder: { name: 'realmfs-builder', version: '1.2.3' },
  name: 'base',
  release: 'trixie',
  arch: 'amd64',
  profile: 'minimal',
  mirror: 'http://mirror.example/debian',
  imageMirror: 'http://mirror.example/debian',
  securityMirror: '',
  components: ['main'],
  sourceDateEpoch: 1_757_000_000,
  releaseDate: 1_757_000_000,
  checkDates: true,
  keyring: '/k.gpg',
  extraSources: '',
  extraPins: '',
  network: true,
  targets: ['tarball'],
  inputs: {
    config: { file: 'build.conf', sha256: digest },
    settings: { NETWORK: 'on' },
    overrides: ['NETWORK'],
    modules: [
      { step: 'pre/x', origin: 'function' },
      { step: 'packages', origin: 'built-in', sha256: digest },
      { step: 'hook/x.chroot', origin: 'hook', sha256: digest },
    ],
    binaryHooks: [{ step: 'binary/x.binary', file: 'hooks.d/base/x.binary', sha256: digest }],
    localPackages: [{ file: 'packages/x.deb', name: 'x', version: '1', arch: 'all', sha256: digest }],
    files: [{ file: 'etc/motd', sha256: digest }],
    releases: [{ file: 'mirror.example_debian_dists_trixie_InRelease', sha256: digest }],
  },
  steps: [{ step: 'config', start: '2026-01-01T00:00:00.000Z', seconds: 0.5, cached: false }],
  packages: [{ name: 'libc6', version: '2.41-12', arch: 'amd64', source: 'glibc', sourceVersion: '2.41-12', installedSize: 1024 }],
  artifacts: [{ target: 'tarball', file: 'realmfs-rootfs.tar', size: 5, sha256: digest }],
};

test('a manifest survives its way through JSON, in the same order', () => {
  const text = JSON.stringify(manifest, null, 2);
  expect(JSON.stringify(manifestSchema.parse(JSON.parse(text)), null, 2)).toBe(text);
  expect(manifestSchema.parse({ ...manifest, inputs: { ...manifest.inputs, config: null } }).inputs.config).toBeNull();
});

test.each([
  ['another format', { format: 2 }],
  ['another program', { builder: { name: 'x', version: '1' } }],
  ['a digest that is none', { artifacts: [{ target: 't', file: 'f', size: 1, sha256: 'abc' }] }],
  ['a digest in capitals', { inputs: { ...manifest.inputs, files: [{ file: 'f', sha256: digest.toUpperCase() }] } }],
  ['an unknown origin', { inputs: { ...manifest.inputs, modules: [{ step: 's', origin: 'elsewhere' }] } }],
  ['no packages', { packages: undefined }],
])('a manifest with %s is refused', (_, change) => {
  expect(manifestSchema.safeParse({ ...manifest, ...change }).success).toBe(false);
});
