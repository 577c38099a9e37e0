import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { manifestSchema } from '../../src/records/manifest-schema.ts';
import { makeDeb, makeLeadingDeb } from '../helpers/debs.ts';
import { Machine } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

/** Runs a script in the unpacked image, with the extended attributes. */
function inTree(project: string, script: string): string {
  return machine.shell(
    `unshare --mount --propagation private bash --norc -euc 'mount -t tmpfs tree /mnt; cd /mnt; tar -xf "$1" --xattrs --xattrs-include="*" --acls; eval "$2"' tree "$@"`,
    path.join(project, 'realmfs/realmfs-rootfs.tar'),
    script,
  );
}

const conf = `REALMFS_PROFILE=minimal
BASE_PACKAGES="fixture-fails less"
BASE_PRE_INSTALL_MODULES=
BASE_POST_INSTALL_MODULES=
PACKAGES="fixture-plain fixture-conffile fixture-fails-"
PRE_INSTALL_MODULES=first
POST_INSTALL_MODULES=second
export EXPORTED="from build.conf"
first() { echo "pre $(cat /early | tail -n 1)" >>/order; echo "changed by a module" >/etc/mine; echo "for the package" >/etc/fixture.conf; }
second() { echo post >>/order; }
`;
const everything: Readonly<Record<string, string | Buffer>> = {
  'build.conf': conf,
  'overlay/etc/neuraldrive/custom.conf': 'custom = yes\n',
  'overlay/etc/fixture.conf': 'from the overlay\n',
  'overlay/etc/mine': 'from the overlay\n',
  'overlay/etc/edited': 'from the overlay\n',
  'overlay/lib/firmware/blob': 'firmware\n',
  'overlay/usr/share/fixture-plain': 'not from the package\n',
  'overlay/usr/share/editor~': 'backup\n',
  'overlay/.gitignore': '*\n',
  'overlay/opt/tool': '#!/bin/sh\n',
  'overlay/order': 'overlay\n',
  'overlay.owners': '# the tool\nopt/tool 1234 5678 4711\nopt/** 7 8 -\n/opt/tool 1234 5678 4711\nno/such 0 0 -\n',
  'packages/local_1_all.deb': makeDeb('local-one', {
    depends: 'tree',
    files: { 'usr/share/local-one': 'mine\n' },
    postinst: 'echo "packages $EXPORTED" >>/order; echo edited >>/etc/edited',
  }),
  'packages/under.deb': makeDeb('under_Score', { files: { 'usr/share/under': 'score\n' } }),
  'packages/newer.deb': makeDeb('fixture-setcap', { version: '0.5', files: { 'usr/share/older': 'older than that of the mirror\n' } }),
  'hooks/chroot/20-second.chroot': 'echo "hooks 20" >>/order\n',
  'hooks/chroot/10-first.hook.chroot':
    '#!/bin/sh\nset -e\necho "hooks 10" >>/order\nenv >/environment\npwd >>/environment\numask >>/environment\n',
  'hooks/chroot/README': 'not a hook\n',
  'hooks.d/chroot/010-early.chroot_early': '#!/bin/bash\necho "early" >>/order; cp /order /early\n',
  'hooks.d/chroot/999-late.chroot': '#!/usr/bin/perl\nopen(my $f, ">>", "/order"); print $f "hooks.d\\n";\n',
  'hooks.d/base/series/box': 'depends tarball\nbase/box.binary\nprovides image.box\nprovides realmfs-rootfs.tar\n',
  'hooks.d/base/box.binary':
    '#!/bin/bash\nset -e\n[[ $PWD == "$REALMFS_OUTPUT" && -f realmfs-rootfs.tar ]]\n(cat "$REALMFS_ROOTFS/order"; echo "binary $ARCH $PROJECT/$SUBPROJECT $IMAGE_TARGETS") >image.box\necho scratch >scratch\n! touch "$REALMFS_ROOTFS/written" 2>/dev/null\n! ls /run/realmfs/cache/* >/dev/null 2>&1\n',
};

describe('everything at once', () => {
  const names = ['tmpfs', 'disk'] as const;
  test.each(names)('on %s', async (name) => {
    const project = machine.project(`all-${name}`, everything);
    for (const file of ['hooks/chroot/10-first.hook.chroot', 'hooks.d/chroot/010-early.chroot_early', 'hooks.d/chroot/999-late.chroot'])
      chmodSync(path.join(project, file), 0o755);
    chmodSync(path.join(project, 'hooks.d/base/box.binary'), 0o755);
    machine.shell(
      'cd "$1"; cp overlay/opt/tool overlay/opt/cap; setcap cap_net_raw+ep overlay/opt/cap; setfacl -m u:99:r overlay/opt/cap',
      project,
    );
    machine.shell(
      'cd "$1"; mkdir -m 0710 -p overlay/var/lib/empty; ln -s /etc/mine overlay/etc/link; ln overlay/opt/tool overlay/opt/same',
      project,
    );
    const before = machine.snapshot();
    const run = await machine.run(
      ['--no-confirm', '--progress', 'plain', '--no-cache', '--targets', 'box', ...(name === 'disk' ? ['--no-tmpfs'] : []), 'build.conf'],
      { cwd: project },
    );
    expect(run.code, run.stderr).toBe(0);
    expect(await machine.settled(before)).toEqual(before);
    expect(steps(run).ran).toEqual([
      'bootstrap',
      'overlay',
      'early/010-early.chroot_early',
      'pre/first',
      'packages',
      'post/second',
      'hook/999-late.chroot',
      'hook/10-first.hook.chroot',
      'hook/20-second.chroot',
    ]);
    const { arch } = manifestSchema.parse(JSON.parse(readFileSync(path.join(project, 'realmfs/manifest.json'), 'utf8')));
    expect(inTree(project, 'cat order')).toBe('overlay\nearly\npre early\npackages from build.conf\npost\nhooks.d\nhooks 10\nhooks 20\n');
    expect(readFileSync(path.join(project, 'realmfs/image.box'), 'utf8')).toContain(`hooks 20\nbinary ${arch} base/ box\n`);
    expect(readdirSync(path.join(project, 'realmfs')).sort()).toEqual(
      ['SHA256SUMS', 'image.box', 'manifest.json', 'realmfs-build.log', 'realmfs-rootfs.tar', ...records].sort(),
    );
    machine.shell('cd "$1"; sha256sum --check --quiet SHA256SUMS', path.join(project, 'realmfs'));
    // What packages ship is put back, what a module changed before them stays.
    expect(inTree(project, 'cat usr/share/fixture-plain etc/fixture.conf etc/mine etc/neuraldrive/custom.conf usr/lib/firmware/blob')).toBe(
      'not from the package\nfor the package\nchanged by a module\ncustom = yes\nfirmware\n',
    );
    expect(run.stderr).toContain('overlay/etc/mine was changed before the packages, by a hook or module, and stays so');
    expect(run.stderr).toContain('overlay/usr/share/fixture-plain was replaced by the package fixture-plain, and is put back');
    expect(run.stderr).toContain("overlay/etc/edited was changed by the packages' scripts, and stays as they have left it");
    expect(inTree(project, 'cat etc/edited')).toBe('from the overlay\nedited\n');
    expect(inTree(project, 'getcap opt/cap; getfacl --omit-header --numeric opt/cap | grep 99')).toBe(
      'opt/cap cap_net_raw=ep\nuser:99:r--\n',
    );
    expect(inTree(project, 'stat --format="%n %A %u:%g %h" opt/tool opt/same var/lib/empty etc/link etc/neuraldrive lib')).toBe(
      'opt/tool -rws--x--x 1234:5678 1\nopt/same -rw-r--r-- 7:8 1\nvar/lib/empty drwx--x--- 0:0 2\netc/link lrwxrwxrwx 0:0 1\netc/neuraldrive drwxr-xr-x 0:0 2\nlib lrwxrwxrwx 0:0 1\n',
    );
    // The mirror has newer ones of the second; nothing of the repository stays.
    expect(inTree(project, 'cat usr/share/local-one usr/share/under usr/share/older; ls usr/bin/tree')).toBe(
      'mine\nscore\nolder than that of the mirror\nusr/bin/tree\n',
    );
    expect(inTree(project, 'grep -rl "realmfs-packages\\|realmfs-local" etc var 2>/dev/null || true; ls -A | grep realmfs || true')).toBe(
      '',
    );
    const environment = inTree(project, 'cat environment');
    for (const line of [
      'PIP_BREAK_SYSTEM_PACKAGES=1',
      'EXPORTED=from build.conf',
      'DEBIAN_FRONTEND=noninteractive',
      'REALMFS_NAME=base',
      'REALMFS_HOOK=hooks/chroot/10-first.hook.chroot',
      'HOME=/root',
      '/',
      '0022',
    ])
      expect(environment.split('\n')).toContain(line);
    for (const warning of [
      'overlay: left out, as backups and version control are: .gitignore, usr/share/editor~',
      'overlay.owners: no/such fits nothing in overlay',
      'hooks/chroot: no chroot hooks, and not run: README',
      'hooks/chroot/20-second.chroot is not executable; it is run all the same',
    ])
      expect(run.stderr).toContain(warning);
    expect(run.stderr).toMatch(/packages\/local_1_all\.deb: local-one 1\.0 \(all\), postinst, SHA-256 [0-9a-f]{64}/);
  });
});

/** Builds a project; what comes behind `-t` on the command line is in `args`. */
const build = (project: string, ...args: string[]) => machine.run(['--no-confirm', '--progress', 'plain', '-t', ...args], { cwd: project });

/** Without packages: a build takes a second. */
const quick = `REALMFS_PROFILE=minimal
BASE_PACKAGES=
BASE_PRE_INSTALL_MODULES=
BASE_POST_INSTALL_MODULES=
POST_INSTALL_MODULES=last
install-packages() { echo packages >>/order; }
last() { echo post >>/order; }
`;

describe('a change costs what it must', () => {
  const files: Record<string, string | Buffer> = {
    'build.conf': quick,
    'overlay/etc/a': 'one\n',
    'hooks/chroot/1.chroot': 'echo 1 >>/order\n',
    'hooks/chroot/2.chroot': 'echo 2 >>/order\n',
    'config/includes.chroot/etc/b': 'one\n',
    'hooks.d/base/series/box': 'depends tarball\nbase/box.binary\n',
    'hooks.d/base/box.binary': 'cp "$REALMFS_ROOTFS/order" image.box; cat "$REALMFS_PROJECT/notes" >>image.box\n',
    notes: 'none\n',
  };
  const all = ['bootstrap', 'overlay', 'packages', 'includes.chroot', 'post/last', 'hook/1.chroot', 'hook/2.chroot'];
  const project = machine.project('changes', files);

  test.each<[string, Record<string, string>, number, string]>([
    ['the first build', {}, 1, ''],
    ['nothing', {}, 7, ''],
    ['the last hook', { 'hooks/chroot/2.chroot': 'echo two >>/order\n' }, 6, 'hook/2.chroot runs again: step hook/2.chroot has changed'],
    ['the first hook', { 'hooks/chroot/1.chroot': 'echo one >>/order\n' }, 5, 'hook/1.chroot runs again'],
    [
      'a file after the packages',
      { 'config/includes.chroot/etc/b': 'two\n' },
      3,
      'includes.chroot runs again: config/includes.chroot/etc/b has changed',
    ],
    ['a file of the overlay', { 'overlay/etc/a': 'two\n' }, 1, 'packages runs again: overlay/etc/a has changed'],
    ['a new file of the overlay', { 'overlay/etc/c': '' }, 1, 'packages runs again: overlay/etc/c is new'],
    ['an owner', { 'overlay.owners': 'etc/c 1 1 0600\n' }, 1, 'packages runs again: overlay/etc/c has changed'],
    [
      'a capability',
      { '!setcap cap_net_raw+ep overlay/etc/a': '' },
      1,
      'packages runs again: attributes and hard links in overlay has changed',
    ],
    ['a hard link', { '!ln overlay/etc/a overlay/etc/d': '' }, 1, 'packages runs again: '],
    ['a link that ends', { '!cp -a overlay/etc/d x; mv x overlay/etc/d': '' }, 1, 'packages runs again: attributes'],
    ['a hook that moves', { '!mkdir -p config/hooks/live; mv hooks/chroot/2.chroot config/hooks/live': '' }, 6, 'hook/2.chroot runs again'],
    ['a binary hook', { 'hooks.d/base/box.binary': 'cp "$REALMFS_ROOTFS/order" image.box\n' }, 7, 'the results are written again'],
    ['a file that a binary hook may read', { notes: 'some\n' }, 7, 'the results are written again'],
    ['a variable', { 'build.conf': `${quick}X=1\n` }, 1, 'packages runs again: variable X is new'],
  ])('%s', async (name, change, cached, reason) => {
    for (const [file, text] of Object.entries(change)) {
      if (file.startsWith('!')) machine.shell(`cd "$1"; ${file.slice(1)}`, project);
      else machine.project('changes', { [file]: text });
    }
    const run = await machine.run(['--no-confirm', '--progress', 'plain', '--targets', 'box'], { cwd: project });
    expect(run.code, run.stderr).toBe(0);
    expect(steps(run)).toEqual({ ran: all.slice(cached), cached: all.slice(0, cached) });
    expect(run.stderr).toContain(reason);
    expect(run.stderr.includes('nothing has changed')).toBe(name === 'nothing');
    expect(run.stdout).toContain('/image.box\n');
  });
});

describe('a hook that fails', () => {
  test.each([
    ['with an exit code', 'hooks/chroot/1-x.chroot', 'echo said; exit 3\n', 'hook/1-x.chroot: hooks/chroot/1-x.chroot: exit code 3'],
    [
      'by a signal',
      'hooks/chroot/1-x.chroot',
      '#!/bin/sh\necho said; kill -9 $$\n',
      'hook/1-x.chroot: hooks/chroot/1-x.chroot: killed by SIGKILL',
    ],
    [
      'without its interpreter',
      'hooks/chroot/1-x.chroot',
      '#!/no/such said\n',
      'hook/1-x.chroot: hooks/chroot/1-x.chroot: exit code 127: it, or its interpreter, could not be run',
    ],
    ['early', 'hooks.d/chroot/1.chroot_early', 'echo said; false\n', 'early/1.chroot_early: hooks.d/chroot/1.chroot_early: exit code 1'],
    ['in a live-build tree', 'config/hooks/live/1.chroot', 'echo said; exit 9\n', 'hook/1.chroot: config/hooks/live/1.chroot: exit code 9'],
  ])('%s', async (name, file, text, message) => {
    const project = machine.project(`fails ${name}`, { 'build.conf': quick, [file]: text });
    const run = await build(project);
    expect(run.code).toBe(1);
    expect(run.lastLine).toMatch(new RegExp(`^realmfs-builder: error: ${message}; log: `));
    expect(run.stderr).toMatch(/^ +output: .*(?:said|required file)/m);
  });

  test('beside the root', async () => {
    const files = { 'build.conf': quick, 'hooks.d/base/series/a': 'base/a.binary\n', 'hooks.d/base/a.binary': 'echo said; exit 5\n' };
    const run = await machine.run(['--no-confirm', '--targets', 'a'], { cwd: machine.project('fails binary', files) });
    expect(run.code).toBe(1);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: binary\/a\.binary: hooks\.d\/base\/a\.binary: exit code 5; log: /);
  });

  test.each([
    ['nothing at all', 'true', 'nothing was made: neither a target nor a hook has left a file'],
    ['an unfit name', "touch $'a\\nb'", 'makes a file of an unfit name'],
    ['a name of the project', 'touch overlay', 'makes overlay, which is a name of the builder'],
    ['a name of the builder', 'touch manifest.json', 'binary/a.binary makes manifest.json, which is a name of the builder'],
    ['none of what is provided', 'touch x', 'nothing of what the sets provide was made: a.img'],
  ])('%s', async (name, text, message) => {
    const files = {
      'build.conf': quick,
      'hooks.d/base/series/a': `base/a.binary\n${name.startsWith('none') ? 'provides a.img\n' : ''}`,
      'hooks.d/base/a.binary': `${text}\n`,
    };
    const run = await machine.run(['--no-confirm', '--targets', 'a'], { cwd: machine.project(`binary ${name}`, files) });
    expect(run.code).toBe(1);
    expect(run.lastLine).toContain(message);
  });
});

describe('nothing leads out', () => {
  test('links of the root, a process that swaps one, writing to the project', async () => {
    const before = machine.snapshot();
    const canary = path.join(machine.folder, 'canary');
    const up = '../'.repeat(20);
    const project = machine.project('escapes', {
      // What an early hook makes of the root is there when the packages and the later folders come.
      'build.conf': `${quick}PRE_INSTALL_MODULES=swap
swap() {
    rm -rf /opt /srv /mnt
    ln -s ${canary} /opt; ln -s ${up}${canary.slice(1)} /srv
    mkdir -p ${canary}
    (setsid bash -c 'while :; do rm -rf /mnt; mkdir /mnt; rm -rf /mnt; ln -s ${up}${canary.slice(1)} /mnt; done' >/dev/null 2>&1 &)
}
`,
      'overlay/opt/kept': 'overlay\n',
      'config/includes.chroot/opt/one': 'out\n',
      'config/includes.chroot/srv/two': 'out\n',
      'config/includes.chroot/mnt/three': 'out\n',
      'hooks/chroot/1.chroot': `#!/bin/sh
! echo x >"$REALMFS_PROJECT/overlay/opt/kept" 2>/dev/null
! echo x >"$REALMFS_PROJECT/new" 2>/dev/null
ls ${canary} | tr '\\n' ' ' >/seen
`,
    });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(await machine.settled(before)).toEqual(before);
    // In the image the links lead where they lead there.
    expect(inTree(project, 'cat seen')).toMatch(/^one (?:three )?two $/);
    expect(readFileSync(path.join(project, 'overlay/opt/kept'), 'utf8')).toBe('overlay\n');
  });

  test.each<[string, Record<string, string | Buffer>, string[], string]>([
    ['overlay/lib as a file', { 'overlay/lib': '' }, [], 'overlay/lib: would take the place of a link that the root needs'],
    ['overlay/dev', { 'overlay/dev/sda': '' }, [], 'overlay/dev: nothing can be put there'],
    [
      'a package with ../ members',
      { 'packages/x.deb': makeLeadingDeb('xx') },
      [],
      'packages/x.deb: has a member that leads out of the root',
    ],
    [
      'a series with ..',
      { 'hooks.d/base/series/a': '../../x.binary\n' },
      ['--targets', 'a'],
      'base/series/a:1: ../../x.binary is no path below hooks.d',
    ],
    ['a name of a series with ..', { 'hooks.d/base/series/a': '' }, ['--targets', '../a'], 'there is no target ../a'],
    ['a hook with DOS line ends', { 'hooks/chroot/1.chroot': '#!/bin/sh\r\n' }, [], 'hooks/chroot/1.chroot:1: has DOS line ends'],
  ])('%s is refused before any work', async (name, files, args, message) => {
    const before = machine.snapshot();
    const run = await build(machine.project(`refused ${name}`, { 'build.conf': quick, ...files }), ...args);
    expect(run.code).toBe(2);
    expect(run.lastLine).toContain(message);
    expect(run.stderr).not.toContain('bootstrap');
    expect(machine.snapshot()).toEqual(before);
  });
});

test('a live-build tree as it lies', async () => {
  const project = machine.project('live', {
    'config/includes.chroot_before_packages/order': 'before\n',
    'config/includes.chroot/etc/fixture.conf': 'included\n',
    'config/includes.chroot_after_packages/etc/after': 'included\n',
    'config/package-lists/mine.list.chroot':
      '# packages\nfixture-plain\n#if ARCHITECTURES none\nnot-there\n#endif\n!none fixture-conffile\n',
    'config/packages.chroot/local_1_all.deb': makeDeb('local-live', { postinst: 'echo packages >>/order; debconf-show fixture >/answers' }),
    'config/preseed/mine.cfg': 'fixture fixture/answer string 42\n',
    'config/archives/gone.list.chroot': '# for the build alone\n',
    'config/archives/kept.list': '# for the image, too\n',
    'config/archives/kept.key': '-----BEGIN PGP PUBLIC KEY BLOCK-----\n',
    'config/hooks/normal/10-a.hook.chroot': 'echo "normal $(cat /etc/fixture.conf)" >>/order\n',
    'config/hooks/live/05-b.chroot': 'echo live >>/order; ls /etc/apt/sources.list.d >>/order\n',
    'config/binary': 'LB_X=1\n',
    'config/odd': '',
  });
  const run = await machine.run(
    [
      '--no-confirm',
      '--progress',
      'plain',
      '-t',
      '--set',
      'REALMFS_PROFILE=minimal',
      '--set',
      'BASE_PACKAGES=',
      '--set',
      'BASE_PRE_INSTALL_MODULES=',
      '--set',
      'BASE_POST_INSTALL_MODULES=',
    ],
    { cwd: project },
  );
  expect(run.code, run.stderr).toBe(0);
  expect(
    inTree(project, 'cat order etc/after usr/share/fixture-plain answers; ls etc/apt/sources.list.d etc/apt/trusted.gpg.d/kept*'),
  ).toBe(
    'before\npackages\nnormal included\nlive\ngone.list\nkept.list\nincluded\nplain\n* fixture/answer: 42\netc/apt/trusted.gpg.d/kept.asc\n\netc/apt/sources.list.d:\nkept.list\n',
  );
  expect(run.stderr).toContain('config: not understood, and not used: odd');
  expect(run.stderr).toContain("config/binary: live-build's settings are not read");
});

test('local packages: the version of the mirror, what is installed, downgrades, offline, and the plan', async () => {
  const deb = (name: string, version: string, text: string): Buffer =>
    makeDeb(name, { version, files: { [name === 'tzdata' ? 'usr/share/own-tzdata' : 'usr/share/fixture-plain']: `${text}\n` } });
  const project = machine.project('local', {
    'build.conf': quick.replace(/^install-packages.*\n/m, 'PACKAGES=fixture-plain\n'),
    'packages/plain.deb': deb('fixture-plain', '0.1', 'older'),
    'overlay/etc/motd': 'hello\n',
    'hooks/chroot/1.chroot': '#!/bin/sh\n',
  });
  const first = await build(project);
  expect(first.code, first.stderr).toBe(0);
  expect(inTree(project, 'cat usr/share/fixture-plain')).toBe('older\n');
  const installed = inTree(project, 'sed -n "/^Package: tzdata$/,/^$/s/^Version: //p" var/lib/dpkg/status').trim();
  // The same versions as there, other files.
  machine.project('local', {
    'packages/plain.deb': deb('fixture-plain', '1', 'ours'),
    'packages/tzdata_1_all.deb': deb('tzdata', installed, 'ours'),
  });
  const second = await build(project);
  expect(second.code, second.stderr).toBe(0);
  expect(second.stderr).toContain('packages runs again: packages/plain.deb has changed');
  expect(inTree(project, 'cat usr/share/fixture-plain usr/share/own-tzdata')).toBe('ours\nours\n');
  const plan = await machine.run(['plan'], { cwd: project });
  expect(plan.code, plan.stderr).toBe(0);
  expect(plan.stdout).toMatch(/^ *3 +overlay +overlay +yes$/m);
  expect(plan.stdout).toMatch(/^ *\d+ +hook\/1\.chroot +hooks\/chroot\/1\.chroot +yes$/m);
  expect(plan.stdout).toMatch(/^overlay\/etc\/motd +overlay$/m);
  expect(plan.stdout).toContain(`tzdata ${installed} (all)`);
  machine.project('local', { 'packages/tzdata_1_all.deb': deb('tzdata', '1', 'older') });
  const third = await build(project, '--offline');
  expect(third.code, third.stderr).toBe(0);
  expect(inTree(project, 'cat usr/share/own-tzdata etc/apt/sources.list; ls etc/apt etc/apt/*.d | grep realmfs || true')).toBe(
    'older\ndeb http://mirror.example/debian trixie main non-free-firmware\n',
  );
});

test('what is put back: odd names, and names of one file', async () => {
  const names = ['plain', '[', 'a\tb', 'x\\2dy', 'sp ace', 'o\\101'];
  const project = machine.project('odd', {
    'build.conf': quick.replace(/^install-packages.*\n/m, ''),
    'packages/odd.deb': makeDeb('odd', { files: Object.fromEntries(names.map((name) => [`usr/share/odd/${name}`, 'package\n'])) }),
    ...Object.fromEntries(names.map((name) => [`overlay/usr/share/odd/${name}`, 'overlay\n'])),
    'overlay.owners': 'usr/share/odd/p* 3 4 -\n',
  });
  machine.shell('cd "$1/overlay/usr/share/odd"; ln plain zz; ln [ y', project);
  const run = await build(project);
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr.match(/was replaced by the package odd, and is put back/g)).toHaveLength(names.length);
  expect(inTree(project, 'cd usr/share/odd; cat * | sort -u; [[ [ -ef y ]]; stat --format="%u %h" [ zz plain')).toBe(
    'overlay\n0 2\n0 1\n3 1\n',
  );
});

test('a result takes the place of nothing but results', async () => {
  const files = { 'build.conf': quick, 'hooks.d/base/series/a': 'base/a.binary\n', 'hooks.d/base/a.binary': 'echo new >notes.txt\n' };
  const project = machine.project('in the way', { ...files, 'out/notes.txt': 'mine\n' });
  const args = ['--no-confirm', '--targets', 'a', '-d', 'out'];
  const run = await machine.run(args, { cwd: project });
  expect(run.code).toBe(3);
  expect(run.lastLine).toContain('out/notes.txt is in the way: it is no result of an earlier build');
  expect(readFileSync(path.join(project, 'out/notes.txt'), 'utf8')).toBe('mine\n');
  machine.shell('rm "$1/out/notes.txt"', project);
  expect((await machine.run(args, { cwd: project })).code).toBe(0);
  machine.project('in the way', { 'hooks.d/base/a.binary': 'echo newer >notes.txt\n' });
  expect((await machine.run(args, { cwd: project })).code).toBe(0);
  expect(readFileSync(path.join(project, 'out/notes.txt'), 'utf8')).toBe('newer\n');
});

test('hooks cannot reach the builder or each other', async () => {
  const project = machine.project('reach', {
    'build.conf': quick,
    'hooks.d/base/series/a': 'base/1.binary\nbase/2.binary\n',
    'hooks.d/base/1.binary':
      'set -e; echo x >/tmp/left; for f in /run/realmfs/hook /run/realmfs/hook.fstab /run/realmfs/cache /run/realmfs/staging; do ! rm -r $f 2>/dev/null; done; ! ln -s /etc /run/new 2>/dev/null\n',
    'hooks.d/base/2.binary': 'ls -A /tmp /run/realmfs/cache /run/realmfs/staging >seen; ! touch /etc/new 2>/dev/null\n',
  });
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '--targets', 'a'], { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  expect(await machine.settled(before)).toEqual(before);
  expect(readFileSync(path.join(project, 'realmfs/seen'), 'utf8')).toBe('/run/realmfs/cache:\n\n/run/realmfs/staging:\n\n/tmp:\n');
});
