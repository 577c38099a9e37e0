import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { manifestSchema } from '../../src/records/manifest-schema.ts';
import { bare, Machine, sha256 } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

const machine = new Machine();
afterAll(() => machine.close());

/** Modes, owners and kinds of files below a tree, as find prints them. */
function listing(root: string, ...files: string[]): string[] {
  return machine
    .shell('cd "$1"; shift; stat --format="%n %A %u:%g" -- "$@"', root, ...files)
    .trimEnd()
    .split('\n');
}

const everything = `
DEBIAN_RELEASE=trixie
REALMFS_PROFILE=minimal
BASE_PACKAGES=
BASE_PRE_INSTALL_MODULES=(no-install-recommends)
BASE_POST_INSTALL_MODULES=
PACKAGES=(tree)
PACKAGES+=(less)
PRE_INSTALL_MODULES="from-function from-file set-hostname"
POST_INSTALL_MODULES=(later)
. ./helper.sh
from-function() {
    SEEN=(one "two three")
    cd /usr/lib
    umask 027
    touch /made-by-function
}
later() {
    [[ $PWD == /usr/lib && $(umask) == 0027 ]]
    printf '%s\\n' "\${SEEN[@]}" "$FROM_FILE" "$(helper)" "$(cat /tmp/left /dev/shm/left)" >/later
    install_file 0644 flat.txt /opt/flat
    install_file 4755 sub/tool /usr/local/
    install_file 0600 /etc/mirrored/deep/file.conf
    install_file 644 etc/mirrored/second
}
`;

const files = {
  'helper.sh': 'helper() { echo helped; }\n',
  'realmfs-modules/from-file': 'local here=1\nFROM_FILE="file $here"\necho tmp >/tmp/left\necho shm >/dev/shm/left\n',
  'realmfs-modules/set-hostname': 'echo overridden >/etc/hostname\n',
  'realmfs-files/flat.txt': 'flat\n',
  'realmfs-files/sub/tool': '#!/bin/sh\n',
  'realmfs-files/etc/mirrored/deep/file.conf': 'deep\n',
  'realmfs-files/etc/mirrored/second': 'second\n',
};

describe('a project that uses everything', () => {
  const expected = [
    'made-by-function -rw-r----- 0:0',
    'opt drwxr-xr-x 0:0',
    'opt/flat drwxr-xr-x 0:0',
    'opt/flat/flat.txt -rw-r--r-- 0:0',
    'usr/local/sub drwxr-xr-x 0:0',
    'usr/local/sub/tool -rwsr-xr-x 0:0',
    'etc/mirrored/deep drwxr-xr-x 0:0',
    'etc/mirrored/deep/file.conf -rw------- 0:0',
    'etc/mirrored/second -rw-r--r-- 0:0',
    'later -rw-r----- 0:0',
  ];

  test.each([
    { name: 'on a tmpfs', options: [], folder: 'plain' },
    { name: 'on disk, in a folder with a space and a quote', options: ['--no-tmpfs'], folder: "a b'c" },
  ])('$name', async ({ options, folder }) => {
    const project = machine.project(folder, { 'build.conf': everything, ...files });
    const before = machine.snapshot();
    const run = await machine.run(
      ['--no-confirm', '--progress', 'plain', '-d', 'out put', '-t', '--keep-rootfs', ...options, path.join(project, 'build.conf')],
      {
        cwd: machine.folder,
      },
    );
    expect(run.stderr).not.toContain('error');
    expect(run.code).toBe(0);
    const out = path.join(machine.folder, 'out put');
    expect(run.stdout.trimEnd().split('\n')).toEqual(
      ['rootfs', 'realmfs-rootfs.tar', ...records, 'SHA256SUMS', 'manifest.json'].map((name) => path.join(out, name)),
    );
    const root = path.join(out, 'rootfs');
    expect(listing(root, ...expected.map((line) => line.split(' ')[0] ?? ''))).toEqual(expected);
    expect(readFileSync(path.join(root, 'later'), 'utf8')).toBe('one\ntwo three\nfile 1\nhelped\ntmp\nshm\n');
    expect(readFileSync(path.join(root, 'etc/hostname'), 'utf8')).toBe('overridden\n');
    // Nothing of the build's own is left in the tree.
    expect(readdirSync(path.join(root, 'tmp'))).toEqual([]);
    expect(readdirSync(path.join(root, 'run'))).toEqual(['lock']);
    expect(readdirSync(path.join(root, 'dev/shm'))).toEqual([]);
    expect(existsSync(path.join(root, 'usr/sbin/policy-rc.d'))).toBe(false);
    expect(existsSync(path.join(root, 'usr/sbin/start-stop-daemon.realmfs'))).toBe(false);
    expect(statSync(path.join(root, 'usr/sbin/start-stop-daemon')).size).toBeGreaterThan(10_000);
    expect(readFileSync(path.join(root, 'etc/resolv.conf'), 'utf8')).toBe('');
    expect(readFileSync(path.join(root, 'etc/machine-id'), 'utf8')).toBe('');
    expect(machine.shell('find "$1/var/cache/apt" "$1/var/lib/apt/lists" -type f', root)).toBe('');
    // The tarball is the tree.
    expect(
      machine.shell(
        'tar --compare --file "$1/realmfs-rootfs.tar" --directory "$1/rootfs" --xattrs --acls 2>&1 | grep -v "Mod time differs" || true',
        out,
      ),
    ).toBe('');
    const manifest = manifestSchema.parse(JSON.parse(readFileSync(path.join(out, 'manifest.json'), 'utf8')));
    expect(manifest.packages.map(({ name }) => name)).toEqual(expect.arrayContaining(['tree', 'less']));
    expect(machine.shell('cd "$1"; find . -newermt "@$2"', root, String(manifest.sourceDateEpoch))).toBe('');
    expect(manifest.inputs.modules).toEqual(
      expect.arrayContaining([
        { step: 'pre/from-function', origin: 'function' },
        { step: 'pre/set-hostname', origin: 'project', sha256: sha256(path.join(project, 'realmfs-modules/set-hostname')) },
      ]),
    );
    expect(machine.shell('cd "$1"; sha256sum --check SHA256SUMS', out)).toBe(
      ['realmfs-rootfs.tar', ...records].map((name) => `${name}: OK\n`).join(''),
    );
    expect(await machine.settled(before)).toEqual(before);
  });

  test('install-packages replaced by a function and by a file', async () => {
    const confs = {
      function: `${bare}PACKAGES="a b"\ninstall-packages() { echo "function: $PACKAGES" >/packages; }\n`,
      file: 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\nPACKAGES=(a b)\n',
    };
    for (const [name, conf] of Object.entries(confs)) {
      const extra = name === 'file' ? { 'realmfs-modules/install-packages': 'echo "file: ${PACKAGES[1]}" >/packages\n' } : {};
      const project = machine.project(`override-${name}`, { 'build.conf': conf, ...extra });
      const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
      expect(run.lastLine).not.toContain('error');
      const text = machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./packages', project);
      expect(text).toBe(name === 'file' ? 'file: b\n' : 'function: a b\n');
    }
  });

  test('-i: a clean ext4 image with free space', async () => {
    const project = machine.project('targets', { 'build.conf': `${bare}IMAGE_FREE_SPACE=100M\n` });
    const run = await machine.run(['--no-confirm', '-i'], { cwd: project });
    expect(run.code).toBe(0);
    const image = path.join(project, 'realmfs/citadel-realmfs.ext4');
    expect(machine.shell('e2fsck -fn "$1" 2>&1', image)).toContain('Pass 5');
    const free = Number(/Free blocks:\s+(\d+)/.exec(machine.shell('dumpe2fs -h "$1" 2>&1', image))?.[1]) * 4096;
    expect(free).toBeGreaterThan(100 * 1024 ** 2);
    expect(free).toBeLessThan(180 * 1024 ** 2);
    expect(machine.shell('debugfs -R "stat /etc/passwd" "$1" 2>&1', image)).toContain('Mode:  0644');
  });
});
