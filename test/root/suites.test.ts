import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Machine, testCache } from '../helpers/machine.ts';

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

test('the default image: trixie, citadel', async () => {
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
      find . -xdev -path ./usr/lib/realmfs-builder -prune -o '(' -name '*realmfs-step*' -o -name policy-rc.d -o -name '*.realmfs' ')' -print | wc -l; ls var/lib/apt/lists var/cache/apt/archives 2>/dev/null | grep -c deb`,
    ).split('\n'),
  ).toEqual(['launched', '1000', '755', '644', '444', '755', 'subgraph', 'realm', '10', '1', '0', '2', '0', '0', '']);
  const cached = readdirSync(path.join(testCache, 'apt/archives')).filter((name) => name.endsWith('.deb'));
  expect(cached.length).toBeGreaterThan(100);
  expect(await machine.settled(before)).toEqual(before);
});
