import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Machine } from '../helpers/machine.ts';

// The real debootstrap, from the mirror of this machine's apt.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());

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

test('the default image builds images itself', async () => {
  const run = await machine.run(['--no-confirm', '--targets', 'root-dir']);
  expect(run.code, run.stderr).toBe(0);
  const text = inImage(
    path.join(machine.folder, 'realmfs/rootfs'),
    `realmfs-build --no-confirm -i --progress quiet --set REALMFS_PROFILE=minimal --set BASE_PACKAGES= 2>&1 || tail -n 40 realmfs/realmfs-build.log
     e2fsck -fn realmfs/citadel-realmfs.ext4 2>&1 | grep -c 'Pass 5'; debugfs -R 'cat /etc/hostname' realmfs/citadel-realmfs.ext4 2>/dev/null`,
  );
  expect(text.split('\n').slice(-3)).toEqual(['1', 'subgraph', '']);
});
