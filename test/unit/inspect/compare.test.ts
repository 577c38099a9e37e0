import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { diffText } from '../../../src/cli/diff-text.ts';
import { inspectText } from '../../../src/cli/inspect-text.ts';
import { parseArguments } from '../../../src/cli/options.ts';
import { dateText } from '../../../src/cli/text.ts';
import { ImageError } from '../../../src/images/bytes.ts';
import { buildOf, filesOfBuild, isListed, readManifest } from '../../../src/inspect/build-beside.ts';
import { byFolder, compareFiles, comparePackages } from '../../../src/inspect/compare.ts';
import { decodedPath, diffOf, diffReport, sameBytes } from '../../../src/inspect/diff.ts';
import { diffSchema } from '../../../src/inspect/diff-report.ts';
import { loadSide, type Side } from '../../../src/inspect/diff-side.ts';
import type { InspectReport } from '../../../src/inspect/inspect-report.ts';
import { isTree, textsOfTree } from '../../../src/inspect/root-folder.ts';
import type { Reading } from '../../../src/messages/reading.ts';
import { aspectsOf } from '../../../src/records/compare.ts';
import { parseDpkgStatus } from '../../../src/records/dpkg-status.ts';
import type { Manifest } from '../../../src/records/manifest-schema.ts';
import { type FileEntry, MTREE_HEAD } from '../../../src/records/mtree.ts';
import { parseOsRelease } from '../../../src/records/os-release.ts';
import type { InstalledPackage } from '../../../src/records/packages.ts';
import { plainWord } from '../../../src/system/names.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const file: FileEntry = { path: './a/b', type: 'file', mode: 0o644, uid: 0, gid: 0, time: '5.000000000', size: 3, sha256: 'aa'.repeat(32) };
const one: InstalledPackage = { name: 'one', version: '1', arch: 'all', source: 'one', sourceVersion: '1', installedSize: 1024 };
const listOf = (...entries: readonly FileEntry[]): Map<string, FileEntry> => new Map(entries.map((entry) => [entry.path, entry]));

describe("dpkg's list", () => {
  const stanza = (name: string, more = '', arch = 'amd64'): string =>
    `Package: ${name}\nStatus: install ok installed\nArchitecture: ${arch}\nVersion: 1:2-3\n${more}`;

  test('is read as dpkg-query shows it', () => {
    const text = [
      stanza('libz', 'Multi-Arch: same\nSource: zlib (1.0)\nInstalled-Size: 4\nDescription: x\n Package: evil\n .\n'),
      stanza('dpkg', 'Source: dpkg\n'),
      stanza('libz-bin', 'Installed-Size: many\n'),
      stanza('foreign', '', 'armhf'),
      'Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n',
      'Package: half\nStatus: install ok half-configured\nArchitecture: all\nVersion: 1\n',
      stanza('', ''),
      '',
    ].join('\n');
    expect(
      parseDpkgStatus(text).map(({ name, source, sourceVersion, installedSize }) => [name, source, sourceVersion, installedSize]),
    ).toEqual([
      ['dpkg', 'dpkg', '1:2-3', 0],
      ['foreign:armhf', 'foreign', '1:2-3', 0],
      ['libz:amd64', 'zlib', '1.0', 4096],
      ['libz-bin', 'libz-bin', '1:2-3', 0],
    ]);
    expect(parseDpkgStatus('')).toEqual([]);
  });

  test('os-release, in quotes of any kind', () => {
    const text = '# x\nID=debian\nPRETTY_NAME="a \\"b\\" \\$c"\nVERSION_CODENAME=\'trixie\'\nexport X=1\nVERSION_ID=13\n';
    expect(parseOsRelease(text)).toEqual({ id: 'debian', name: 'a "b" $c', version: '13', codename: 'trixie' });
    expect(parseOsRelease('')).toEqual({ id: '', name: '', version: '', codename: '' });
  });
});

describe('what differs', () => {
  test.each<[string, Partial<FileEntry>, string[]]>([
    ['nothing', {}, []],
    ['the content alone', { sha256: 'bb'.repeat(32) }, ['content']],
    ['content and size', { sha256: 'bb'.repeat(32), size: 4 }, ['content', 'size']],
    ['permissions', { mode: 0o600 }, ['mode']],
    ['the group', { gid: 1 }, ['owner']],
    ['the number of names', { links: 2 }, ['hard links']],
    ['the time', { time: '6.000000000' }, ['time']],
    ['a part of a second that one side does not know', { time: '5.700000000' }, []],
    ['what it is', { type: 'fifo', mode: 0o600 }, ['type']],
  ])('%s', (_, change, aspects) => {
    expect(aspectsOf(file, { ...file, ...change })).toEqual(aspects);
  });

  test('parts of a second that both sides know; the permissions of links; a digest that is not known', () => {
    expect(aspectsOf({ ...file, time: '5.7' }, { ...file, time: '5.8' })).toEqual(['time']);
    expect(aspectsOf({ ...file, type: 'link', mode: 0o777, link: 'x' }, { ...file, type: 'link', mode: 0o755, link: 'y' })).toEqual([
      'link',
    ]);
    const { sha256: _, ...without } = file;
    expect(aspectsOf(without, file)).toEqual([]);
    expect(aspectsOf({ ...file, path: '.', type: 'dir' }, { ...file, path: '.', type: 'dir', time: '9.000000000' })).toEqual([]);
  });

  test('lists of files', () => {
    const a = listOf({ ...file, path: '.', type: 'dir' }, { ...file, path: './z' }, file, { ...file, path: './gone' });
    const b = listOf({ ...file, path: './z', mode: 0o600 }, { ...file, path: './a/new' }, { ...file, mode: 0o600 });
    const found = compareFiles(a, b);
    expect(found.added.map(({ path: name }) => name)).toEqual(['./a/new']);
    expect(found.removed.map(({ path: name }) => name)).toEqual(['./gone']);
    expect(found.changed.map(({ path: name }) => name)).toEqual(['./a/b', './z']);
    expect(byFolder(found)).toEqual([
      { folder: '.', added: 0, removed: 1, changed: 1 },
      { folder: './a', added: 1, removed: 0, changed: 1 },
    ]);
  });

  test('packages', () => {
    const newer = { ...one, version: '2' };
    const two = { ...one, name: 'two' };
    expect(comparePackages([one], [newer, two])).toEqual({ added: [two], removed: [], changed: [{ name: 'one', a: one, b: newer }] });
    expect(comparePackages([one, two], [one])).toEqual({ added: [], removed: [two], changed: [] });
  });

  test.each([
    ['./a', './a'],
    ['./\xc3\xa4', './ä'],
    ['./\xff\\', './\\377\\134'],
  ])('the name %j', (path, shown) => {
    expect(decodedPath(path)).toBe(shown);
  });
});

describe('the text of diff', () => {
  const side: Side = {
    path: 'x',
    kind: 'tar',
    description: 'tarball',
    size: 2048,
    artifacts: null,
    packages: [one],
    files: listOf(file),
    filesFrom: 'itself',
    notes: [],
  };

  test('of the same', () => {
    const text = diffText(diffOf(side, side), false);
    expect(text).toContain('\nPackages: no difference\n');
    expect(text).toContain('\nFiles: no difference\n');
    expect(text).toMatch(/\nThey hold the same tree; extended attributes and ACLs are not compared\.\n$/);
    expect(diffReport(diffOf(side, side))).toMatchObject({ same: true, a: { packages: 1, totals: { files: 1, bytes: 3 } } });
  });

  test('of what differs; names steer no terminal', () => {
    const files = listOf({ ...file, mode: 0o4755, time: '86400.000000000' }, { ...file, path: './\x1b[2J', type: 'dir' });
    const b = { ...side, size: 1024, packages: [{ ...one, version: '2\x07' }], files };
    const text = diffText(diffOf(side, b), false);
    expect(text).toContain('\nPackages: 1 changed\n~ one 1 -> 2\\x07\n');
    expect(text).toContain(
      '\nFiles: 1 added, 1 changed\n+ ./\\x1b[2J/\n~ ./a/b  mode 0644 -> 4755, time 1970-01-01 00:00:05 UTC -> 1970-01-02 00:00:00 UTC\n',
    );
    expect(text).toMatch(/^file +2\.0 KiB +1\.0 KiB +-1\.0 KiB$/m);
    expect(text).toMatch(/\nThey differ\.\n$/);
    expect(diffSchema.strict().parse(diffReport(diffOf(side, b))).files?.changed[0]).toMatchObject({
      what: ['mode', 'time'],
      b: { mode: '4755' },
    });
  });

  test('is short, unless all is asked for', () => {
    const many = listOf(...Array.from({ length: 100 }, (_, index) => ({ ...file, path: `./usr/share/doc/${index}` })));
    const diff = diffOf(side, { ...side, files: many });
    const text = diffText(diff, false);
    expect(text).toContain('\nFiles: 100 added, 1 removed\n  ./a/  1 removed\n  ./usr/share/  100 added\n\n');
    expect(text).toContain('\n  and 61 more; --all lists them\n');
    expect(text.split('\n').length).toBeLessThan(65);
    expect(diffText(diff, true).match(/^\+ /gm)).toHaveLength(100);
  });

  test('of what cannot be compared', () => {
    const bare = { ...side, packages: null, files: null };
    expect(diffText(diffOf(bare, side), false)).toMatch(
      /Note: the files .* not compared\nNote: at least one side .* not compared\n\nNothing could be compared\.\n$/,
    );
    expect(diffReport(diffOf(bare, side))).toMatchObject({ same: false, bytes: null, packages: null, files: null });
    const listed = { ...side, files: null };
    expect(diffOf(listed, listed).same).toBe(false);
    expect(diffText(diffOf(listed, listed), false)).toMatch(/\nThey have the same packages; their files could not be compared\.\n$/);
    expect(diffText(diffOf(listed, { ...listed, packages: [] }), false)).toMatch(/\nThey differ\.\n$/);
  });

  test('of images that cannot be read: they are compared byte by byte', async () => {
    const root = tempRoot({ one: 'abc', two: 'abc', three: 'abd' });
    const of = (name: string): Side => ({ ...side, path: path.join(root, name), size: 3, packages: null, files: null });
    const compared = async (a: Side, b: Side) => diffOf(a, b, await sameBytes(a, b));
    const same = await compared(of('one'), of('two'));
    expect(diffText(same, false)).toMatch(/3 bytes +same\n\nThey are the same, byte by byte\.\n$/);
    expect(diffReport(same)).toMatchObject({ same: true, bytes: true });
    const other = await compared(of('one'), of('three'));
    expect([other.same, other.bytes]).toEqual([false, false]);
    expect(diffText(other, false)).toMatch(/\nThey differ\.\n$/);
    expect(await sameBytes(of('one'), { ...of('two'), size: null })).toBeNull();
    expect(await sameBytes(side, side)).toBeNull();
  });

  test('what a manifest says cannot steer a terminal', () => {
    const odd = { ...side, path: 'p\x1b', description: 'ext4\x1b[2J', filesFrom: 'f\x07' };
    const text = diffText(diffOf(odd, side), false);
    expect(text).toMatch(/^A: p\\x1b \(ext4\\x1b\[2J; files from f\\x07\)\nB: x \(tarball\)\n/);
  });

  test('of two builds names their results', () => {
    const artifact = { target: 'ext4', file: 'x.ext4', size: 1024, sha256: 'aa' };
    const diff = diffOf(
      { ...side, artifacts: [artifact] },
      {
        ...side,
        artifacts: [
          { ...artifact, size: 2048, sha256: 'bb' },
          { ...artifact, file: 'y' },
        ],
      },
    );
    expect(diff.same).toBe(false);
    const text = diffText(diff, false);
    expect(text).toMatch(/^x\.ext4 +1\.0 KiB +2\.0 KiB +\+1\.0 KiB$/m);
    expect(text).toMatch(/^y +- +1\.0 KiB +added$/m);
  });
});

describe('the text of inspect', () => {
  const report: InspectReport = {
    version: 1,
    path: 'x\x1b',
    kind: 'ext',
    description: 'ext4 file system',
    compression: '',
    size: 2048,
    facts: { uuid: 'u', free: 1024, made: 0, label: '' },
    partitions: null,
    system: { id: 'debian', name: 'Debian', version: '13', codename: 'trixie' },
    packages: Array.from({ length: 25 }, (_, index) => ({ ...one, name: `p${index}`, installedSize: index })),
    installedSize: 300,
    totals: { entries: 3, files: 2, bytes: 2048 },
    made: null,
    artifacts: null,
    notes: [],
  };

  test('has the biggest packages first, or all by name', () => {
    const text = inspectText(report, false);
    expect(text).toMatch(
      /^x\\x1b: ext4 file system, 2\.0 KiB\n\nUUID: +u\nFree: +1\.0 KiB\nSystem: +Debian\nEntries: +3; 2 files of 2\.0 KiB\nPackages: +25, 300 bytes when installed\n/,
    );
    expect(text).toMatch(/\np24 [^\n]*\np23 /);
    expect(text).toMatch(/\nand 5 smaller ones; --packages lists all\n$/);
    expect(inspectText(report, true)).toMatch(/\np0 [^\n]*\np1 [\s\S]*\np24 /);
  });

  test('what a manifest says cannot steer a terminal', () => {
    const odd = { '\x1b[2JKEY': 'a\x07' };
    const text = '\x1b[31m';
    const made = {
      builder: text,
      name: text,
      release: text,
      arch: text,
      profile: text,
      mirror: text,
      securityMirror: text,
      components: [text],
      sourceDateEpoch: 1,
      settings: odd,
      modules: [{ step: text, origin: text }],
      from: text,
    };
    const said = inspectText({ ...report, path: text, description: text, facts: { name: text }, made, notes: [text] }, false);
    expect(said).toMatch(/^Settings: +\\x1b\[2JKEY=a\\x07$/m);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(said).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  });

  test('says what is not there', () => {
    expect(inspectText({ ...report, packages: null, installedSize: null }, false)).toContain('it has no list of them');
    expect(inspectText({ ...report, kind: 'qcow2', packages: null, installedSize: null }, false)).not.toContain('Packages');
  });

  test.each([
    ['a\nb\x7f\u009b', 'a\\x0ab\\x7f\\x9b'],
    ['\u202eabc', '\\u202eabc'],
    ['ä ok', 'ä ok'],
  ])('%j is plain', (text, plain) => {
    expect(plainWord(text)).toBe(plain);
  });

  test('a date that cannot be', () => {
    expect(dateText(1e18)).toBe('1000000000000000000');
    expect(dateText(0)).toBe('1970-01-01 00:00:00 UTC');
  });
});

describe('folders', () => {
  test('the root of a system; links in it lead nowhere', async () => {
    const root = tempRoot({ 'etc/os-release': 'ID=a\n', 'outside/dpkg/status': 'Package: x\n' });
    expect(await isTree(root)).toBe(true);
    expect(await isTree(path.join(root, 'etc'))).toBe(false);
    mkdirSync(path.join(root, 'var'));
    expect(await textsOfTree(root)).toEqual({ osRelease: 'ID=a\n', dpkgStatus: null });
    const { symlinkSync } = await import('node:fs');
    symlinkSync(path.join(root, 'outside'), path.join(root, 'var/lib'));
    expect((await textsOfTree(root)).dpkgStatus).toBeNull();
  });

  test('a manifest that is none', async () => {
    const root = tempRoot({ 'manifest.json': '{"format":9}' });
    await expect(readManifest(root, true)).rejects.toThrow('is of the format 9, and this version reads 1');
    expect(await readManifest(root, false)).toBeUndefined();
    writeFileSync(path.join(root, 'manifest.json'), '{');
    await expect(readManifest(root, true)).rejects.toThrow('is no JSON');
    expect(await readManifest(path.join(root, 'none'), true)).toBeUndefined();
    writeFileSync(path.join(root, 'image'), 'x');
    expect(await buildOf(path.join(root, 'image'))).toBeUndefined();
  });

  test('a list of files that was changed since the build', async () => {
    const manifest = { name: 'base', artifacts: [{ target: 'record', file: 'base.mtree' }] } as unknown as Parameters<
      typeof filesOfBuild
    >[1];
    const root = tempRoot({ 'base.mtree': `${MTREE_HEAD}./a type=fifo mode=0600 uid=0 gid=0 time=1.000000000\n` });
    expect((await filesOfBuild(root, manifest)).files?.size).toBe(1);
    expect(await filesOfBuild(root, { ...manifest, name: '../x' })).toEqual({ files: undefined, notes: [] });
    const ofHook = { ...manifest, artifacts: [{ target: 'hook', file: 'base.mtree', size: 1, sha256: '' }] };
    expect(await filesOfBuild(root, ofHook)).toMatchObject({
      files: undefined,
      notes: [expect.stringContaining('is what a hook has made')],
    });
    writeFileSync(path.join(root, 'SHA256SUMS'), `${'0'.repeat(64)}  base.mtree\n`);
    await expect(filesOfBuild(root, manifest)).rejects.toThrow('is not what SHA256SUMS says');
    writeFileSync(path.join(root, 'SHA256SUMS'), '');
    writeFileSync(path.join(root, 'base.mtree'), `${MTREE_HEAD}./a type=door\n`);
    expect(await filesOfBuild(root, manifest)).toEqual({
      files: undefined,
      notes: ['base.mtree is not used: line 2 is no entry of a list of files'],
    });
  });
});

describe('a side of diff', () => {
  const reading: Reading = {
    kind: 'tar',
    compression: '',
    facts: {},
    partitions: null,
    osRelease: null,
    dpkgStatus: null,
    totals: null,
    files: `${MTREE_HEAD}./a type=fifo mode=0600 uid=0 gid=0 time=1.000000000\n`,
    notes: [],
  };

  test('a list that is none is a fault of the image', async () => {
    const image = path.join(tempRoot({ image: 'x' }), 'image');
    expect((await loadSide(image, 1, true, async () => reading))?.files?.size).toBe(1);
    const bad = loadSide(image, 1, true, async () => ({ ...reading, files: `${MTREE_HEAD}./a type=door\n` }));
    await expect(bad).rejects.toThrow(ImageError);
    await expect(bad).rejects.toThrow('image: cannot be compared: line 2 is no entry');
  });
});

test.each<[string, string, number, boolean]>([
  ['a target', 'ext4', 0, true],
  ['a result of a hook', 'iso-hook', 0, false],
  ['a target that a hook may have changed', 'ext4', 1, false],
])('whether the list of files of a build says what is in %s', (_, target, hooks, listed) => {
  const binaryHooks = Array.from({ length: hooks }, () => ({ step: 's', file: 'f', sha256: '' }));
  const manifest = { artifacts: [{ target, file: 'x' }], inputs: { binaryHooks } } as unknown as Manifest;
  expect([isListed(manifest, 'x'), isListed(manifest, 'y')]).toEqual([listed, false]);
});

describe('the command lines', () => {
  test.each<[string[], object]>([
    [['inspect', 'a'], { kind: 'inspect', options: { file: 'a', json: false, packages: false, debug: false, color: 'auto' } }],
    [
      ['inspect', '--json', '--packages', 'a'],
      { kind: 'inspect', options: { file: 'a', json: true, packages: true, debug: false, color: 'auto' } },
    ],
    [
      ['diff', 'a', 'b'],
      { kind: 'diff', options: { a: 'a', b: 'b', json: false, all: false, exitCode: false, debug: false, color: 'auto' } },
    ],
    [
      ['diff', '--exit-code', '--all', 'a', 'b'],
      { kind: 'diff', options: { a: 'a', b: 'b', json: false, all: true, exitCode: true, debug: false, color: 'auto' } },
    ],
  ])('%j', (args, expected) => {
    expect(parseArguments(args)).toEqual(expected);
  });

  test.each([[['inspect']], [['inspect', 'a', 'b']], [['diff', 'a']], [['diff', 'a', 'b', 'c']], [['diff', '--packages', 'a', 'b']]])(
    '%j is refused',
    (args) => {
      expect(() => parseArguments(args)).toThrow(expect.objectContaining({ exitCode: 2 }));
    },
  );
});
