import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Customisation, readCustomisation } from '../../../src/customize/customisation.ts';
import { parseList } from '../../../src/customize/live-build.ts';
import { makeRepository } from '../../../src/customize/local-packages.ts';
import type { Findings } from '../../../src/customize/problems.ts';
import { formatProblem } from '../../../src/errors.ts';
import { makeDeb, makeLeadingDeb } from '../../helpers/debs.ts';
import { realRunner } from '../../helpers/runners.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const setting = { arch: 'amd64', release: 'trixie', components: ['main', 'contrib'] };
const builtIn = new Map([
  ['tarball', ['realmfs-rootfs.tar']],
  ['ext4', ['citadel-realmfs.ext4']],
]);

/** Makes a project of files (`x` before a name: executable) and reads it. */
async function read(
  files: Readonly<Record<string, string | Buffer>>,
  options: { names?: string[]; prepare?: (folder: string) => void } = {},
): Promise<{ found: Customisation; problems: string[]; warnings: string[] }> {
  const project = tempRoot({});
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(project, name.replace(/^x /, ''));
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    if (name.startsWith('x ')) chmodSync(file, 0o755);
  }
  options.prepare?.(project);
  const findings: Findings = { problems: [], warnings: [] };
  const found = await readCustomisation({ project, ...setting, names: options.names ?? ['ext4'], builtIn, runner: realRunner() }, findings);
  return { found, problems: findings.problems.map(formatProblem), warnings: findings.warnings };
}

describe('what is refused, by name', () => {
  test.each<[string, Record<string, string | Buffer>, string]>([
    ['a hook with DOS line ends', { 'x hooks/chroot/1.chroot': '#!/bin/sh\r\nx\r\n' }, 'hooks/chroot/1.chroot:1: has DOS line ends'],
    ['a hook of bash with DOS line ends', { 'x hooks/chroot/1.chroot': 'one\ntwo\r\n' }, 'hooks/chroot/1.chroot:2: has DOS line ends'],
    ['a byte order mark', { 'x hooks/chroot/1.chroot': '\ufeff#!/bin/sh\n' }, 'hooks/chroot/1.chroot:1: begins with a byte order mark'],
    ['a relative interpreter', { 'x hooks/chroot/1.chroot': '#!bash\n' }, 'hooks/chroot/1.chroot:1: has the interpreter bash, which is no'],
    ['no interpreter', { 'x hooks/chroot/1.chroot': '#! \n' }, 'hooks/chroot/1.chroot:1: names no interpreter'],
    [
      'a relative one in a live-build tree',
      { 'x config/hooks/live/1.chroot': '#!python3\n' },
      'config/hooks/live/1.chroot:1: has the interpreter',
    ],
    ['overlay/dev', { 'overlay/dev/null': '' }, 'overlay/dev: nothing can be put there'],
    ['overlay/proc', { 'overlay/proc/x/y': '' }, 'overlay/proc: nothing can be put there'],
    [
      "the builder's settings of dpkg",
      { 'overlay/etc/dpkg/dpkg.cfg.d/realmfs-builder': '' },
      'overlay/etc/dpkg/dpkg.cfg.d/realmfs-builder: nothing can be put there',
    ],
    ['a file in the place of a link of the root', { 'overlay/lib': '' }, 'overlay/lib: would take the place of a link'],
    ['an overlay that is a file', { overlay: '' }, 'overlay: is not a folder'],
    ['owners by name', { 'overlay/x': '', 'overlay.owners': '\nx root root 644\n' }, 'overlay.owners:2: is no line of the form'],
    ['owners above all numbers', { 'overlay/x': '', 'overlay.owners': 'x 4294967295 0 -\n' }, 'overlay.owners:1: is no line of the form'],
    [
      'owners with a pattern that is none',
      { 'overlay/x': '', 'overlay.owners': '[z-a] 0 0 -\n' },
      'overlay.owners:1: is no line of the form',
    ],
    [
      'what keeps daemons from starting',
      { 'overlay/usr/sbin/policy-rc.d': '' },
      'overlay/usr/sbin/policy-rc.d: keeps daemons from starting',
    ],
    [
      'a hidden trust in an archive',
      { 'config/archives/a.list': 'deb [arch=amd64 trusted="enable"] http://m.example/x x main\n' },
      'config/archives/a.list:1: trusted=yes',
    ],
    ['the name of EXTRA_PINS', { 'config/archives/extra.pref': '' }, 'config/archives/extra.pref: is the name that EXTRA_PINS has'],
    ['owners with an odd mode', { 'overlay/x': '', 'overlay.owners': 'x 0 0 888\n' }, 'overlay.owners:1: is no line of the form'],
    [
      'a damaged package',
      { 'packages/x.deb': makeDeb('x', { files: { a: 'b'.repeat(5000) } }).subarray(0, -60) },
      'packages/x.deb: is damaged',
    ],
    [
      'a package with a version that dpkg does not take',
      { 'packages/x.deb': makeDeb('x', { version: '1_0' }) },
      "packages/x.deb: is damaged, or no Debian package at all: 'Version' field value '1_0': invalid character in version number",
    ],
    ['no package at all', { 'packages/x.deb': 'hello' }, 'packages/x.deb: is damaged, or no Debian package at all'],
    [
      'a package of another architecture',
      { 'packages/x.deb': makeDeb('x', { arch: 'armhf' }) },
      'packages/x.deb: is for armhf, and the image',
    ],
    [
      'two files of one package',
      { 'packages/a.deb': makeDeb('x'), 'packages/b.deb': makeDeb('x', { version: '2' }) },
      'packages/b.deb: is the package x, and so is packages/a.deb',
    ],
    [
      'a package with a member that leads out',
      { 'packages/x.deb': makeLeadingDeb('x') },
      'packages/x.deb: has a member that leads out of the root',
    ],
    [
      'a list with a bad name',
      { 'config/package-lists/a.list.chroot': 'ok\n$(x)\n' },
      "config/package-lists/a.list.chroot:2: '$(x)' is no package name",
    ],
    [
      'an archive without a key',
      { 'config/archives/a.list.chroot': 'deb [trusted=yes] http://m.example/ x main\n' },
      'config/archives/a.list.chroot:1: trusted=yes',
    ],
    ['an archive on a disk', { 'config/archives/a.list': 'deb file:/srv x main\n' }, "config/archives/a.list:1: 'file:/srv' is no http"],
  ])('%s', async (_, files, message) => {
    const { problems } = await read(files);
    expect(problems.join('\n')).toContain(message);
    expect(problems).toHaveLength(1);
  });

  test.each<[string, (folder: string) => void, string]>([
    ['a device', (folder) => execFileSync('mknod', [`${folder}/overlay/null`, 'c', '1', '3']), 'overlay/null: is a device'],
    [
      'a hook with a name that is not UTF-8',
      (folder) => execFileSync('bash', ['-c', `: >'${folder}'/hooks/chroot/$'caf\\xe9.chroot'`]),
      'its name is not UTF-8: give it another one',
    ],
    ['owners that are a pipe', (folder) => execFileSync('mkfifo', [`${folder}/overlay.owners`]), 'overlay.owners: is not a regular file'],
    ['packages that lead out', (folder) => symlinkSync('/etc', `${folder}/packages`), 'packages: is a link that leads out'],
    [
      'a hook that leads out',
      (folder) => symlinkSync('/bin/sh', `${folder}/hooks/chroot/1.chroot`),
      'hooks/chroot/1.chroot: is a link that leads',
    ],
    [
      'a hook that leads nowhere',
      (folder) => symlinkSync('gone', `${folder}/hooks/chroot/1.chroot`),
      'hooks/chroot/1.chroot: is a link that leads',
    ],
    ['a hook that is a folder', (folder) => mkdirSync(`${folder}/hooks/chroot/1.chroot`), 'hooks/chroot/1.chroot: is not a regular file'],
  ])('%s', async (_, prepare, message) => {
    const { problems } = await read({ 'overlay/x': '', 'hooks/chroot/2.chroot': '' }, { prepare });
    expect(problems.join('\n')).toContain(message);
    expect(problems).toHaveLength(1);
  });

  test('names that are not UTF-8 are refused where they would be used, and named elsewhere', async () => {
    const wild = (folder: string, name: string): void => writeFileSync(Buffer.from(path.join(folder, name), 'latin1'), '');
    const folders = ['hooks/chroot', 'hooks.d/chroot', 'packages', 'config/package-lists', 'config/preseed', 'overlay/etc'];
    const prepare = (folder: string): void => {
      for (const name of folders) mkdirSync(path.join(folder, name), { recursive: true });
      wild(folder, 'hooks/chroot/notes-\xe9');
      wild(folder, 'hooks/\xe9');
      wild(folder, 'hooks.d/chroot/notes-\xe9');
      wild(folder, 'packages/notes-\xe9');
      wild(folder, 'config/\xe9');
      wild(folder, 'config/package-lists/notes-\xe9');
      wild(folder, 'overlay/etc/\xe9');
    };
    const good = await read({}, { prepare });
    expect(good.problems).toEqual([]);
    expect(good.found.before[0]?.entries.map((entry) => entry.path)).toEqual(['etc', 'etc/\udce9']);
    expect(good.warnings.filter((text) => text.includes('\udce9'))).toHaveLength(5);
    const files = [
      'hooks/chroot/\xe9.chroot',
      'hooks.d/chroot/\xe9.chroot',
      'packages/\xe9.deb',
      'config/package-lists/\xe9.list',
      'config/preseed/\xe9.cfg',
    ];
    const bad = await read({}, { prepare: (folder) => [prepare(folder), ...files.map((name) => wild(folder, name))] });
    expect(bad.problems).toHaveLength(files.length);
    for (const problem of bad.problems) expect(problem).toMatch(/\udce9\.\w+: its name is not UTF-8: give it another one$/);
  });

  test('packages are called as dpkg calls them', async () => {
    const { found, problems } = await read({ 'packages/1.deb': makeDeb('mongodb_exporter'), 'packages/2.deb': makeDeb('Foo+Bar.1-x') });
    expect(problems).toEqual([]);
    expect(found.localPackages.map(({ name }) => name)).toEqual(['mongodb_exporter', 'foo+bar.1-x']);
    const target = tempRoot();
    const project = tempRoot();
    mkdirSync(path.join(project, 'packages'));
    writeFileSync(path.join(project, 'packages/2.deb'), makeDeb('Foo+Bar.1-x'));
    await makeRepository(found.localPackages.slice(1), project, target, realRunner());
    expect(readFileSync(path.join(target, 'Packages'), 'utf8')).toMatch(/^Package: foo\+bar\.1-x$/m);
  });

  test('hidden files and backups beside hooks, lists and packages are left out, and named', async () => {
    const { found, warnings, problems } = await read({
      'x hooks/chroot/1.chroot': '#!/bin/sh\n',
      'hooks/chroot/._1.hook.chroot': '\0\x05',
      'hooks/chroot/.1.chroot.swp': '',
      'hooks/chroot/1.chroot~': '',
      'hooks.d/chroot/.2.chroot': 'x',
      'x hooks.d/chroot/2.chroot': '#!/bin/sh\n',
      'config/package-lists/a.list.chroot': 'tree\n',
      'config/package-lists/._a.list.chroot': '\0',
      'packages/._x.deb': '\0',
    });
    expect(problems).toEqual([]);
    expect([...found.chrootHooks].map(({ file }) => file).sort()).toEqual(['hooks.d/chroot/2.chroot', 'hooks/chroot/1.chroot']);
    expect(found.packages).toEqual(['tree']);
    for (const name of ['._1.hook.chroot', '.1.chroot.swp', '1.chroot~', '.2.chroot', '._a.list.chroot', '._x.deb'])
      expect(warnings.join('\n')).toContain(name);
  });

  test('a socket', async () => {
    const server = createServer();
    const listen = (folder: string): void => void server.listen(path.join(folder, 'overlay/socket'));
    const ready = new Promise((resolve) => server.once('listening', resolve));
    const project = tempRoot({ 'overlay/x': '' });
    listen(project);
    await ready;
    const findings: Findings = { problems: [], warnings: [] };
    await readCustomisation({ project, ...setting, names: [], builtIn, runner: realRunner() }, findings);
    server.close();
    expect(findings.problems.map(formatProblem)).toEqual(['overlay/socket: is a socket, which cannot be copied']);
  });

  test.each<[string, Record<string, string>, string]>([
    [
      'a script that is not there',
      { 'hooks.d/base/series/a': 'base/x.binary\n' },
      'hooks.d/base/x.binary: there is no such hook: series a names it',
    ],
    [
      'a series that is not there',
      { 'hooks.d/base/series/a': 'depends b\n' },
      "hooks.d: Series file for image set 'b' not found. Series a depends on it.",
    ],
    ['a circle', { 'hooks.d/base/series/a': 'depends a\n' }, 'hooks.d: the series depend on each other: a, a'],
    [
      'a path that leads out',
      { 'hooks.d/base/series/a': 'base/../../x\n' },
      'hooks.d: base/series/a:1: base/../../x is no path below hooks.d',
    ],
    ['a result that is no name', { 'hooks.d/base/series/a': 'provides ../x\n' }, 'hooks.d: provides ../x: is no plain file name'],
  ])('%s', async (_, files, message) => {
    expect((await read(files, { names: ['a'] })).problems).toEqual([message]);
  });
});

describe('hooks and series', () => {
  test('in the order in which they run; links of make-hooks and of live-build are left out', async () => {
    const { found, problems, warnings } = await read(
      {
        'x hooks/chroot/20-b.hook.chroot': 'x\n',
        'x hooks/chroot/10-Z.chroot': 'x\n',
        'x hooks/chroot/10-a.chroot': 'x\n',
        'x hooks.d/chroot/2.chroot': 'x\n',
        'x hooks.d/chroot/1.chroot_early': 'x\n',
        'x hooks.d/extra/mine.chroot': 'x\n',
        'x hooks.d/extra/cloudB.binary': 'x\n',
        'x hooks.d/base/odd.sh': 'x\n',
        'hooks.d/extra/series/cloudB': 'depends tarball\ndepends extra-settings\nextra/cloudB.binary\nbase/odd.sh\nprovides b.img\n',
        'hooks.d/base/series/cloudB': 'nothing\n',
        'hooks.d/extra/series/extra-settings': 'extra/mine.chroot\nprovides not-kept\n',
        'x config/hooks/normal/5.hook.chroot': 'x\n',
        'config/bootstrap': 'x',
        'config/hooks/normal/5.hook.binary': 'x',
      },
      {
        names: ['cloudB', 'ext4'],
        prepare: (folder) => {
          symlinkSync('../hooks.d/chroot/2.chroot', `${folder}/hooks/001-2.chroot`);
          symlinkSync('/usr/share/live/build/hooks/normal/1.hook.chroot', `${folder}/config/hooks/normal/1.hook.chroot`);
        },
      },
    );
    expect(problems).toEqual([]);
    expect(found.earlyHooks.map(({ file }) => file)).toEqual(['hooks.d/chroot/1.chroot_early']);
    expect(found.chrootHooks.map(({ file }) => file)).toEqual([
      'hooks.d/chroot/2.chroot',
      'hooks.d/extra/mine.chroot',
      'hooks/chroot/10-Z.chroot',
      'hooks/chroot/10-a.chroot',
      'hooks/chroot/20-b.hook.chroot',
      'config/hooks/normal/5.hook.chroot',
    ]);
    expect(found.binaryHooks).toEqual([{ name: 'cloudB.binary', file: 'hooks.d/extra/cloudB.binary', series: 'cloudB' }]);
    expect(found.targets).toEqual(['tarball', 'ext4']);
    // Of a target that is named itself, its file.
    expect(found.provides).toEqual(['b.img', 'citadel-realmfs.ext4']);
    expect(warnings).toEqual([
      'hooks.d/base/odd.sh is not run: its name ends neither in .chroot_early, .chroot nor .binary',
      "config/bootstrap: live-build's settings are not read: DEBIAN_RELEASE, DEBIAN_COMPONENTS and others belong into build.conf",
      "config/hooks/normal: live-build's own hooks are not run: 1.hook.chroot",
      'config/hooks/normal: no chroot hooks, and not run: 5.hook.binary',
    ]);
  });

  test('a set that provides nothing keeps everything', async () => {
    const { found } = await read({ 'hooks.d/base/series/a': 'provides x\n', 'hooks.d/base/series/b': '' }, { names: ['a', 'b'] });
    expect(found.provides).toBeUndefined();
  });
});

describe('live-build trees', () => {
  const lines = (text: string, arch = 'amd64') => {
    const findings: Findings = { problems: [], warnings: [] };
    return { packages: parseList('l', text, { ...setting, arch }, findings), ...findings };
  };

  test.each([
    ['one two\n\n# comment\nthree # comment\n', ['one', 'two', 'three']],
    ['a/trixie-backports b=1.2-3 c:i386\n', ['a/trixie-backports', 'b=1.2-3', 'c:i386']],
    ['#if ARCHITECTURES amd64 i386\none\n#endif\n#if ARCHITECTURES arm64\ntwo\n#endif\nthree\n', ['one', 'three']],
    ['#nif ARCHITECTURES amd64\none\n#endif\n#nif DISTRIBUTION sid\ntwo\n#endif\n', ['two']],
    ['#if ARCHIVE_AREAS contrib\none\n#endif\n#if ARCHIVE_AREAS non-free\ntwo\n#endif\n', ['one']],
    ['one [amd64] two [arm64 armhf] three [!amd64] four [!arm64]\n', ['one', 'four']],
    ['!arm64 one two\n!amd64 three\n', ['one', 'two']],
    ['one\r\ntwo\r\n', ['one', 'two']],
  ])('%j', (text, packages) => {
    expect(lines(text)).toEqual({ packages, problems: [], warnings: [] });
  });

  test('what is not understood is said', () => {
    expect(lines('! Packages Priority standard\none\n#if LIVE_IMAGE x\ntwo\n#endif\n')).toEqual({
      packages: ['one'],
      problems: [],
      warnings: [
        'l:1: a command, which is not run: ! Packages Priority standard',
        'l:3: #if LIVE_IMAGE is not understood: its packages are left out',
      ],
    });
    expect(lines('#if ARCHITECTURES amd64\n#if ARCHITECTURES amd64\n').problems).toHaveLength(1);
  });

  test('all that is known of config/', async () => {
    const { found, problems, warnings } = await read({
      'config/includes.chroot/etc/motd': 'x',
      'config/includes.chroot_before_packages/etc/a': 'x',
      'config/includes.chroot_after_packages/etc/b': 'x',
      'config/package-lists/b.list': 'two one\n',
      'config/package-lists/a.list.chroot': 'one\n',
      'config/package-lists/c.list.binary': 'three\n',
      'config/packages.chroot/x_1_all.deb': makeDeb('x'),
      'config/packages/y.deb': makeDeb('y'),
      'config/archives/a.list.chroot': 'deb http://m.example/@DISTRIBUTION@ x @ARCHIVE_AREAS@',
      'config/archives/b.list': '# none\n',
      'config/archives/a.key.chroot': '-----BEGIN PGP PUBLIC KEY BLOCK-----\n',
      'config/archives/b.key': '\u0099',
      'config/archives/a.pref.chroot': 'Package: x\n',
      'config/preseed/a.cfg': 'x x/y string z\n',
    });
    expect(problems).toEqual([]);
    expect(warnings).toEqual(['config/package-lists: not understood, and not used: c.list.binary']);
    expect(found.before.map(({ folder }) => folder)).toEqual(['config/includes.chroot_before_packages']);
    expect(found.after.map(({ folder }) => folder)).toEqual(['config/includes.chroot', 'config/includes.chroot_after_packages']);
    expect(found.packages).toEqual(['one', 'two']);
    expect(found.localPackages.map(({ file }) => file)).toEqual(['config/packages/y.deb', 'config/packages.chroot/x_1_all.deb']);
    expect(found.archives).toEqual({
      sources: [
        { name: 'a.list', text: 'deb http://m.example/trixie x main contrib\n', isKept: false },
        { name: 'b.list', text: '# none\n', isKept: true },
      ],
      keys: [
        { name: 'a.asc', file: 'config/archives/a.key.chroot', isKept: false },
        { name: 'b.gpg', file: 'config/archives/b.key', isKept: true },
      ],
      pins: [{ name: 'a.pref', file: 'config/archives/a.pref.chroot', isKept: false }],
    });
    expect(found.preseeds).toEqual(['config/preseed/a.cfg']);
  });

  test('a config/ of something else is none', async () => {
    const { found, warnings } = await read({ 'config/app.yaml': 'x', 'config/hooks.js': 'x' });
    expect(found.after).toEqual([]);
    expect(warnings).toEqual([]);
  });
});

describe('what is copied onto the root', () => {
  test('owners by globs, the last one counts', async () => {
    const { found, warnings } = await read({
      'overlay/a/b/c.txt': '',
      'overlay/a/d.txt': '',
      'overlay/e[1]': '',
      'overlay.owners': '** 1 1 -\na/*.txt 2 2 640\n/a/**/*.txt 3 3 -\ne[[]1] 4 4 0600\n',
    });
    expect(warnings).toEqual([]);
    expect(found.before[0]?.entries.map(({ path: at, uid, mode }) => [at, uid, mode])).toEqual([
      ['a', 1, undefined],
      ['a/b', 1, undefined],
      ['a/b/c.txt', 3, undefined],
      ['a/d.txt', 3, undefined],
      ['e[1]', 4, 0o600],
    ]);
  });

  test('backups are left out and named, what is emptied at the end is said', async () => {
    const { found, warnings } = await read({
      'overlay/a~': '',
      'overlay/.a.swp': '',
      'overlay/#b#': '',
      'overlay/etc/.gitkeep': '',
      'overlay/tmp/x': '',
      'overlay/etc/x.orig': '',
    });
    expect(found.before[0]?.entries.map(({ path: at }) => at)).toEqual(['etc', 'etc/x.orig', 'tmp', 'tmp/x']);
    expect(warnings).toEqual([
      'overlay: left out, as backups and version control are: #b#, .a.swp, a~, etc/.gitkeep',
      'overlay: tmp/x: what lies there is gone in the finished image',
    ]);
  });
});
