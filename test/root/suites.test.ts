import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { buildElsewhere } from '../helpers/elsewhere.ts';
import { Machine, sha256, testCache } from '../helpers/machine.ts';

// The real debootstrap, from the mirror of this machine's apt.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());

/** Unpacks a tarball on a tmpfs of the machine and runs a script there. */
function inTree(tarball: string, script: string): string {
  const unpack = 'mount -t tmpfs tree "$1"; cd "$1"; tar -xf "$2" --xattrs --xattrs-include="*" --acls; set +e; eval "$3"; true';
  return machine.shell(
    `mkdir -p "$1"; unshare --mount --propagation private bash --norc -euc '${unpack}' tree "$@"`,
    path.join(machine.folder, 'tree'),
    tarball,
    script,
  );
}

/** Runs a script as root in an image, in namespaces of its own, on a kernel like that of a machine that has booted it. */
function inImage(tree: string, script: string): string {
  const enter = `
    mount --bind "$2" "$2"; cd "$2"
    source "$1/templates/sandbox/dev.sh"; make_dev "$2/dev"; mount -t tmpfs shm dev/shm
    mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs run run; mount -t tmpfs -o mode=1777 tmp tmp
    cat /etc/resolv.conf >etc/resolv.conf
    pivot_root . mnt; umount --lazy /mnt; cd /tmp
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -c "$3"`;
  return machine.shell(
    'exec unshare --mount --pid --ipc --uts --fork --kill-child --propagation private bash --norc -euc "$1" enter "$2" "$3" "$4"',
    enter,
    path.resolve(import.meta.dirname, '../..'),
    tree,
    script,
  );
}

test('the default image: trixie, citadel; packages are downloaded once', async () => {
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '-t', '-i', '--keep-rootfs']);
  expect(run.code, run.stderr).toBe(0);
  const out = path.join(machine.folder, 'realmfs');
  expect(machine.shell('e2fsck -fn "$1/citadel-realmfs.ext4" 2>&1', out)).toContain('Pass 5');
  expect(
    inTree(
      path.join(out, 'realmfs-rootfs.tar'),
      `
      chroot --userspec=user . /usr/bin/env -i PATH=/usr/bin /usr/libexec/launch true && echo launched
      chroot . id -u user; stat -c %a etc etc/hostname etc/machine-id home; cat etc/hostname
      test -d opt/share && test -x bin/bash && test -x usr/libexec/configure-host0.sh && echo realm
      grep -c . etc/apt/sources.list.d/debian.sources; ls etc/apt/sources.list 2>&1 | grep -c 'No such'
      chroot . dpkg --audit | wc -l; chroot . dpkg -l fonts-roboto-unhinted sudo | grep -c ^ii
      find . -xdev -name '*realmfs-step*' -o -name policy-rc.d -o -name '*.realmfs' | wc -l; ls var/lib/apt/lists var/cache/apt/archives 2>/dev/null | grep -c deb`,
    ).split('\n'),
  ).toEqual(['launched', '1000', '755', '644', '444', '755', 'subgraph', 'realm', '10', '1', '0', '2', '0', '0', '']);
  const cached = readdirSync(path.join(testCache, 'apt/archives')).filter((name) => name.endsWith('.deb'));
  expect(cached.length).toBeGreaterThan(100);
  const again = path.join(machine.folder, 'again');
  buildElsewhere(machine, again, '-t');
  expect(sha256(path.join(again, 'realmfs-rootfs.tar'))).toBe(sha256(path.join(out, 'realmfs-rootfs.tar')));
  const log = readFileSync(path.join(again, 'realmfs-build.log'), 'utf8');
  expect(log).toContain('dists/trixie/InRelease');
  expect(log).not.toMatch(/I: Retrieving/);
  expect(log).not.toMatch(/Get:\d+ .*(?:Packages|amd64) /);
  expect(await machine.settled(before)).toEqual(before);
});

test('the default image builds images itself', () => {
  const text = inImage(
    path.join(machine.folder, 'realmfs/rootfs'),
    `realmfs-build --no-confirm -i --progress quiet --set REALMFS_PROFILE=minimal --set BASE_PACKAGES= 2>&1 || tail -n 40 realmfs/realmfs-build.log
     e2fsck -fn realmfs/citadel-realmfs.ext4 2>&1 | grep -c 'Pass 5'; debugfs -R 'cat /etc/hostname' realmfs/citadel-realmfs.ext4 2>/dev/null`,
  );
  expect(text.split('\n').slice(-3)).toEqual(['1', 'subgraph', '']);
});
