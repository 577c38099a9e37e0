import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { manifestSchema } from '../../src/build/manifest.ts';
import { makeDeb } from '../helpers/debs.ts';
import { Machine } from '../helpers/machine.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine();
afterAll(() => machine.close());

/** Runs a script in the unpacked image, with the extended attributes. */
function inTree(project: string, script: string): string {
  return machine.shell(
    `unshare --mount --propagation private bash --norc -euc 'mount -t tmpfs tree /mnt; cd /mnt; tar -xf "$1" --xattrs --xattrs-include="*"; eval "$2"' tree "$@"`,
    path.join(project, 'realmfs/realmfs-rootfs.tar'),
    script,
  );
}

const conf = `REALMFS_PROFILE=minimal
BASE_PACKAGES=
BASE_PRE_INSTALL_MODULES=
BASE_POST_INSTALL_MODULES=
PACKAGES="fixture-plain fixture-conffile less"
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
      'cd "$1"; mkdir -m 0710 -p overlay/var/lib/empty; ln -s /etc/mine overlay/etc/link; ln overlay/opt/tool overlay/opt/same',
      project,
    );
    const before = machine.snapshot();
    const run = await machine.run(
      ['--no-confirm', '--progress', 'plain', '--targets', 'box', ...(name === 'disk' ? ['--no-tmpfs'] : []), 'build.conf'],
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
    expect(machine.shell('ls "$1"', path.join(project, 'realmfs'))).toBe(
      'SHA256SUMS\nimage.box\nmanifest.json\nrealmfs-build.log\nrealmfs-rootfs.tar\n',
    );
    machine.shell('cd "$1"; sha256sum --check --quiet SHA256SUMS', path.join(project, 'realmfs'));
    // What packages ship is put back, what a module changed before them stays.
    expect(inTree(project, 'cat usr/share/fixture-plain etc/fixture.conf etc/mine etc/neuraldrive/custom.conf usr/lib/firmware/blob')).toBe(
      'not from the package\nfor the package\nchanged by a module\ncustom = yes\nfirmware\n',
    );
    expect(run.stderr).toContain('overlay/usr/share/fixture-plain was replaced by the package fixture-plain, and is put back');
    expect(run.stderr).toContain("overlay/etc/edited was changed by the packages' scripts, and stays as they have left it");
    expect(inTree(project, 'cat etc/edited')).toBe('from the overlay\nedited\n');
    expect(inTree(project, 'stat --format="%n %A %u:%g %h" opt/tool opt/same var/lib/empty etc/link etc/neuraldrive lib')).toBe(
      'opt/tool -rws--x--x 1234:5678 1\nopt/same -rw-r--r-- 7:8 1\nvar/lib/empty drwx--x--- 0:0 2\netc/link lrwxrwxrwx 0:0 1\netc/neuraldrive drwxr-xr-x 0:0 2\nlib lrwxrwxrwx 0:0 1\n',
    );
    // The mirror has newer ones of the second; nothing of the repository stays.
    expect(inTree(project, 'cat usr/share/local-one usr/share/older; ls usr/bin/tree')).toBe(
      'mine\nolder than that of the mirror\nusr/bin/tree\n',
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
