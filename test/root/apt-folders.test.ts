import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeDeb } from '../helpers/debs.ts';
import { bare, Machine, type Run, sha256 } from '../helpers/machine.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

/** With the built-in package step. */
const built = bare.replace(/^install-packages.*\n/m, '');
const tarball = (project: string): string => path.join(project, 'realmfs/realmfs-rootfs.tar');
const inTree = (project: string, file: string): string => machine.shell('tar -xOf "$1" "./$2"', tarball(project), file);
const names = (project: string): string[] => machine.shell('tar -tf "$1"', tarball(project)).split('\n');

async function build(project: string, args: readonly string[] = [], cache?: string): Promise<Run> {
  const env = cache === undefined ? {} : { REALMFS_CACHE_DIR: cache };
  const run = await machine.run(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project, env });
  expect(run.code, run.stderr).toBe(0);
  return run;
}

/** Builds; then again after an edit of the last module, `: one`, alone; then without layers: all must be the same. Returns the first run. */
async function buildAlike(project: string, conf: string): Promise<Run> {
  writeFileSync(path.join(project, 'build.conf'), conf);
  const first = await build(project);
  const digest = sha256(tarball(project));
  writeFileSync(path.join(project, 'build.conf'), conf.replace(': one', ': two'));
  const again = await build(project);
  expect(steps(again).ran, again.stderr).toEqual([steps(first).ran.at(-1)]);
  expect(sha256(tarball(project))).toBe(digest);
  await build(project, ['--rebuild-from', 'packages']);
  expect(sha256(tarball(project))).toBe(digest);
  return first;
}

describe("apt's folders are the step's own", () => {
  const lines = [
    'apt-get clean',
    'mkdir -p /var/lib/apt/lists',
    'find /var/lib/apt/lists -type f -delete',
    'rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/apt/*',
    'rm -rf /var/lib/apt/lists/ /var/cache/apt/archives/',
    'mkdir -p /var/lib/apt/lists/partial',
    'rm -rf /var/cache/apt /var/lib/apt/lists',
    'mkdir /var/lib/apt/lists; mv /var/lib/apt/lists /var/lib/apt/moved; rmdir /var/lib/apt/moved',
    'rm -rf /var/lib/apt; ln -s /srv /var/lib/apt; rm /var/lib/apt; mkdir /var/lib/apt',
  ];

  test('the usual lines that clean up work, before the packages and after them', async () => {
    const project = machine.project('clean', { 'hooks/chroot/90-clean.hook.chroot': `set -ex\nrm -rf /run/*\n${lines.join('\n')}\n` });
    const conf = `${built}PACKAGES=fixture-plain
PRE_INSTALL_MODULES=own-1
POST_INSTALL_MODULES="own-2 own-3"
own-clean() { ${lines.join('; ')}; }
own-1() { own-clean; }
own-2() { own-clean; }
own-3() { : one; find /var/cache/apt /var/lib/apt >/seen 2>&1 || :; }
`;
    writeFileSync(path.join(project, 'build.conf'), conf);
    await build(project);
    expect(inTree(project, 'seen')).toBe('find: ‘/var/cache/apt’: No such file or directory\n/var/lib/apt\n');
    const digest = sha256(tarball(project));
    writeFileSync(path.join(project, 'build.conf'), conf.replace(': one', ': two'));
    expect(steps(await build(project)).ran).toEqual(['post/own-3', 'hook/90-clean.hook.chroot']);
    expect(sha256(tarball(project))).toBe(digest);
    await build(project, ['--no-cache']);
    expect(sha256(tarball(project))).toBe(digest);
  });

  test('apt itself is purged', async () => {
    const project = machine.project('purged', {
      'build.conf': bare,
      'hooks/chroot/90-purge.hook.chroot': 'set -e\ndpkg --purge --force-all apt\n',
    });
    await build(project);
    expect(names(project).filter((name) => /^\.\/(?:var\/(?:cache|lib)\/apt\/|usr\/bin\/apt-get)/.test(name))).toEqual([]);
  });

  test('what a module leaves there is there for later steps, whether it is run or comes from its layer, and not in the image', async () => {
    const project = machine.project('leaves', { 'realmfs-files/own.deb': makeDeb('fixture-own') });
    const conf = `${built}POST_INSTALL_MODULES="own-1 own-2 own-3"
own-1() { install_file 0644 own.deb /var/cache/apt/archives; mkdir /var/cache/apt/mine; echo note >/var/cache/apt/mine/note; echo x >/var/lib/apt/lists/mine_Packages; }
own-2() { apt-cache policy fixture-plain >/policy; ls /var/cache/apt >/seen; }
own-3() { : one; cat /var/cache/apt/mine/note >>/seen; ls /var/cache/apt /var/lib/apt/lists | grep -e '[.]bin' -e mine >>/seen; dpkg -i /var/cache/apt/archives/own.deb; }
`;
    await buildAlike(project, conf);
    // Between two steps there is no cache that apt makes anew anyway.
    expect(inTree(project, 'seen')).toBe('archives\nmine\npkgcache.bin\nsrcpkgcache.bin\nnote\nmine\nmine_Packages\n');
    expect(inTree(project, 'policy')).toMatch(/Candidate: 1\n/);
    expect(inTree(project, 'var/lib/dpkg/status')).toContain('Package: fixture-own\nStatus: install ok installed\n');
    expect(names(project).filter((name) => /^\.\/var\/(?:cache\/apt|lib\/apt\/lists)/.test(name))).toEqual([
      './var/cache/apt/',
      './var/cache/apt/archives/',
      './var/cache/apt/archives/partial/',
      './var/lib/apt/lists/',
      './var/lib/apt/lists/partial/',
    ]);
  });

  test('a step sees the same with a cache of packages that is full, strange or empty, layered or not', async () => {
    const look =
      '{ find /var/cache/apt /var/lib/apt -type d; find /var/cache/apt /var/lib/apt -type f -printf "%p %s %m\\n"; } | sort >>/seen; apt-cache policy >>/seen';
    const conf = `${built}PACKAGES=fixture-plain
PRE_INSTALL_MODULES=before
POST_INSTALL_MODULES=after
before() { ${look}; }
after() { ${look}; }
`;
    const project = machine.project('sees', { 'build.conf': conf, 'hooks/chroot/1-look.chroot': `${look}\n` });
    await build(project);
    const [seen, digest] = [inTree(project, 'seen'), sha256(tarball(project))];
    const lists = [...seen.matchAll(/^\/var\/lib\/apt\/lists\/(\S+) /gm)].map(([, name]) => name);
    // After the bootstrap those of its suite, after the packages what the sources name.
    expect(lists.filter((name) => name === 'mirror.example_debian_dists_trixie_main_binary-amd64_Packages')).toHaveLength(3);
    expect(seen).not.toMatch(/\.deb|\.bin/);
    const empty = machine.makeCache('cache-empty');
    machine.shell('find "$1/apt" -xdev -type f -delete', empty);
    await build(project, [], empty);
    expect([inTree(project, 'seen'), sha256(tarball(project))]).toEqual([seen, digest]);
    const strange = machine.makeCache('cache-strange');
    machine.shell(
      'cd "$1/apt"; for name in other.example_debian_dists_trixie_main_binary-amd64_Packages other.example_debian_dists_trixie_InRelease; do echo x >"lists/$name"; done; echo x >archives/strange_1_all.deb',
      strange,
    );
    for (const args of [[], ['--no-cache'], ['--rebuild-from', 'post/after'], ['--rebuild-from', 'hook/1-look.chroot']]) {
      await build(project, args, strange);
      expect([inTree(project, 'seen'), sha256(tarball(project))]).toEqual([seen, digest]);
    }
  });
});

test('dpkg asks nobody about a configuration file, and keeps the one that is there, unless it is told otherwise', async () => {
  const commands = [
    'apt-get install -y /opt/own-0.deb',
    'env -i PATH="$PATH" apt-get install -y /opt/own-1.deb',
    'dpkg -i /opt/own-2.deb',
    'dpkg --force-confnew -i /opt/own-3.deb',
  ];
  const files: Record<string, string | Buffer> = {};
  for (const at of commands.keys()) {
    const file = `etc/own-${at}.conf`;
    files[`overlay/${file}`] = 'mine\n';
    files[`realmfs-files/own-${at}.deb`] = makeDeb(`fixture-own-${at}`, { files: { [file]: 'of the package\n' }, conffiles: [`/${file}`] });
  }
  const project = machine.project('asks', files);
  await buildAlike(
    project,
    `${bare}POST_INSTALL_MODULES="own-put own-later"
own-put() { ${[...commands.keys()].map((at) => `install_file 0644 own-${at}.deb /opt`).join('; ')}; }
own-later() { : one; ${commands.join('; ')}; cat /etc/own-*.conf >/kept; rm /opt/*.deb; }
`,
  );
  expect(inTree(project, 'kept')).toBe('mine\nmine\nmine\nof the package\n');
  expect(names(project).filter((file) => file.includes('dpkg.cfg.d/'))).toEqual(['./etc/dpkg/dpkg.cfg.d/']);
});

describe("apt's settings of the image do not act on the builder's own calls", () => {
  const dockerClean = (hook: string): string =>
    `${hook} { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };\n`;
  const fails = ['APT::Update::Pre-Invoke', 'APT::Update::Post-Invoke', 'APT::Update::Post-Invoke-Success', 'DPkg::Pre-Invoke']
    .concat(['DPkg::Post-Invoke', 'DPkg::Pre-Install-Pkgs', 'APT::Install::Pre-Invoke'])
    .map((hook) => `${hook} { "touch /hook-ran; false"; };\n`);
  const settings = [
    'APT::Get::Assume-No "true";',
    'APT::Get::Simulate "true";',
    'APT::Get::Download-Only "true";',
    'APT::Keep-Downloaded-Packages "false";',
    'Acquire::http::Proxy "http://127.0.0.1:9";',
    'Acquire::http::Proxy::mirror.example "DIRECT";',
    'Debug::pkgProblemResolver "true";',
    'Dir::State::lists "/opt/lists";',
    'Dir::Cache "/opt/cache";',
    'Dir::Cache::archives "/opt/debs";',
    'Dir::Etc::sourcelist "/opt/sources";',
    'Dir::Etc::preferencesparts "/opt/preferences";',
    'Binary::apt-get::APT::Get::Assume-No "true";',
  ];

  test.each([
    [
      'those of container images',
      {
        'docker-clean': `${dockerClean('DPkg::Post-Invoke')}${dockerClean('APT::Update::Post-Invoke')}Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n`,
        'docker-gzip-indexes': 'Acquire::GzipIndexes "true"; Acquire::CompressionTypes::Order:: "gz";\n',
      },
    ],
    ['hooks that fail', { hooks: fails.join('') }],
    ['other ways, and other places', { settings: settings.join('\n') }],
  ])('%s', async (name, files) => {
    const overlay = Object.fromEntries(Object.entries(files).map(([file, text]) => [`overlay/etc/apt/apt.conf.d/${file}`, text]));
    const project = machine.project(`settings ${name}`, {
      ...overlay,
      'overlay/opt/sources': 'deb http://mirror.example/debian trixie main\n',
      'overlay/etc/apt/preferences.d/mine': 'Package: fixture-own\nPin: release *\nPin-Priority: -1\n',
      'packages/own.deb': makeDeb('fixture-own', { version: '2:1.0', depends: 'fixture-plain' }),
    });
    const cache = machine.makeCache(`cache of ${name}`);
    for (const file of readdirSync(path.join(cache, 'apt/archives')))
      if (file.startsWith('fixture-')) rmSync(path.join(cache, 'apt/archives', file));
    writeFileSync(path.join(project, 'build.conf'), `${built}PACKAGES=fixture-conffile\n`);
    const run = await build(project, [], cache);
    for (const wanted of ['fixture-own', 'fixture-plain', 'fixture-conffile'])
      expect(inTree(project, 'var/lib/dpkg/status')).toContain(`Package: ${wanted}\nStatus: install ok installed\n`);
    const there = names(project);
    expect(there).not.toContain('./hook-ran');
    expect(there.filter((file) => file.startsWith('./opt/'))).toEqual(['./opt/', './opt/sources']);
    // Nothing of the project's own repository is in the tree.
    expect(there.filter((file) => /realmfs|\/own\.(?:list|deb)/.test(file))).toEqual([]);
    if (name.includes('hooks'))
      expect(run.stderr).toContain("apt's hooks of the image do not act on the package step: APT::Install::Pre-Invoke, ");
    if (!name.includes('places')) return;
    // The packages are in the cache now.
    const digest = sha256(tarball(project));
    await build(project, ['--rebuild-from', 'packages', '--offline'], cache);
    expect(sha256(tarball(project))).toBe(digest);
  });
});
