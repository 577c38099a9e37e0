import { expect, test } from 'vitest';
import { z } from 'zod';
import { aspectsOf, firstDifference, inputChanges } from '../../../src/records/compare.ts';
import { MANIFEST_FORMAT, type Manifest } from '../../../src/records/manifest-schema.ts';
import type { FileEntry } from '../../../src/records/mtree.ts';
import { provenance } from '../../../src/records/provenance.ts';

const digest = (character: string): string => character.repeat(64);
const manifest: Manifest = {
  format: MANIFEST_FORMAT,
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
    config: { file: 'build.conf', sha256: digest('1') },
    settings: { NETWORK: 'on', SOURCE_DATE_EPOCH: '1757000000' },
    overrides: ['SOURCE_DATE_EPOCH'],
    modules: [
      { step: 'pre/x', origin: 'function' },
      { step: 'post/y', origin: 'project', sha256: digest('2') },
    ],
    binaryHooks: [{ step: 'binary/z', file: 'hooks.d/base/z.binary', sha256: digest('3') }],
    localPackages: [{ file: 'packages/a.deb', name: 'a', version: '1', arch: 'all', sha256: digest('4') }],
    files: [{ file: 'etc/motd', sha256: digest('5') }],
    releases: [{ file: 'mirror.example_debian_dists_trixie_InRelease', sha256: digest('6') }],
  },
  steps: [{ step: 'config', start: '2026-01-01T00:00:00.000Z', seconds: 0.5, cached: false }],
  packages: [{ name: 'a', version: '1', arch: 'all', source: 'a', sourceVersion: '1', installedSize: 1024 }],
  artifacts: [{ target: 'tarball', file: 'realmfs-rootfs.tar', size: 5, sha256: digest('7') }],
};

/** What in-toto's Statement v1 and SLSA's Provenance v1 demand of it. */
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const resource = z.strictObject({ name: z.string().min(1), digest: z.strictObject({ sha256 }) });
const statement = z.strictObject({
  _type: z.literal('https://in-toto.io/Statement/v1'),
  subject: z.array(resource).min(1),
  predicateType: z.literal('https://slsa.dev/provenance/v1'),
  predicate: z.strictObject({
    buildDefinition: z.strictObject({
      buildType: z.url(),
      externalParameters: z.record(z.string(), z.unknown()),
      internalParameters: z.record(z.string(), z.unknown()),
      resolvedDependencies: z.array(resource),
    }),
    runDetails: z.strictObject({ builder: z.strictObject({ id: z.url(), version: z.record(z.string(), z.string()) }) }),
  }),
});

test('the provenance is a statement of in-toto with every input that has a digest, and no time of the build', () => {
  const made = provenance(manifest);
  const read = statement.parse(made);
  expect(read.subject).toEqual([{ name: 'realmfs-rootfs.tar', digest: { sha256: digest('7') } }]);
  const { resolvedDependencies, externalParameters, internalParameters } = read.predicate.buildDefinition;
  expect(resolvedDependencies.map(({ name, digest: is }) => `${name} ${is.sha256[0]}`)).toEqual([
    'build.conf 1',
    'post/y 2',
    'binary/z 3',
    'realmfs-files/etc/motd 5',
    'packages/a.deb 4',
    'mirror.example_debian_dists_trixie_InRelease 6',
  ]);
  expect(externalParameters).toMatchObject({ config: 'build.conf', settings: { NETWORK: 'on' }, targets: ['tarball'] });
  // Whether it was set or found out makes no difference to what comes out.
  expect(internalParameters).toEqual({ sourceDateEpoch: 1_757_000_000 });
  expect(JSON.stringify(made)).not.toContain('2026-01-01');
  expect(provenance({ ...manifest, steps: [], inputs: { ...manifest.inputs, config: null } })).not.toEqual(made);
  expect(provenance({ ...manifest, steps: [] })).toEqual(made);
});

test('what two builds were made from differently', () => {
  const { inputs } = manifest;
  expect(inputChanges(manifest, manifest)).toEqual([]);
  const after: Manifest = {
    ...manifest,
    builder: { name: 'realmfs-builder', version: '1.2.4' },
    inputs: {
      ...inputs,
      config: { file: 'build.conf', sha256: digest('0') },
      modules: [{ step: 'post/y', origin: 'project', sha256: digest('0') }],
      files: [{ file: 'etc/issue', sha256: digest('5') }],
      localPackages: [],
      settings: { NETWORK: 'off' },
      releases: [{ file: 'other.example_debian_dists_trixie_InRelease', sha256: digest('0') }],
    },
    packages: [{ name: 'a', version: '2', arch: 'all', source: 'a', sourceVersion: '2', installedSize: 1024 }],
  };
  expect(inputChanges(manifest, after)).toEqual([
    'another version of the builder: 1.2.3, now 1.2.4',
    'build.conf has changed',
    'pre/x is gone',
    'post/y has changed',
    'realmfs-files/etc/motd is gone',
    'realmfs-files/etc/issue is new',
    'packages/a.deb is gone',
    'setting NETWORK has changed',
    'the archive: trixie has changed',
    'package a has changed',
  ]);
});

const entry: FileEntry = {
  path: './a',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  time: '1.000000000',
  links: 1,
  size: 1,
  sha256: digest('a'),
};

test.each<[Partial<FileEntry>, string[]]>([
  [{}, []],
  [{ sha256: digest('b') }, ['content']],
  [{ mode: 0o600, uid: 1 }, ['mode', 'owner']],
  [{ gid: 1 }, ['owner']],
  [{ time: '2.000000000' }, ['time']],
  [{ links: 2 }, ['hard links']],
  [{ type: 'dir', mode: 0 }, ['type']],
])('%j differs in %j', (change, expected) => {
  expect(aspectsOf(entry, { ...entry, ...change })).toEqual(expected);
});

test('the first difference is no time of a folder, if there is another', () => {
  const tree = (...entries: FileEntry[]): Map<string, FileEntry> => new Map(entries.map((one) => [one.path, one]));
  const folder: FileEntry = { path: '.', type: 'dir', mode: 0o755, uid: 0, gid: 0, time: '1.000000000' };
  const younger = { ...folder, time: '2.000000000' };
  expect(firstDifference(tree(folder, entry), tree(folder, entry))).toBeUndefined();
  expect(firstDifference(tree({ ...folder, path: './b' }), tree({ ...younger, path: './b' }))).toBe('./b');
  expect(firstDifference(tree(folder, entry), tree(younger, { ...entry, mode: 0 }))).toBe('./a');
  expect(firstDifference(tree(folder), tree(younger, entry))).toBe('./a');
  expect(firstDifference(tree(folder, entry), tree(folder))).toBe('./a');
});
