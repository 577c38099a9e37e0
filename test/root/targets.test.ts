import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { targets } from '../../src/targets/all.ts';
import { bare, Machine, sha256 } from '../helpers/machine.ts';
import { listing, oddTree } from '../helpers/odd-tree.ts';
import { records } from '../helpers/records.ts';

const machine = new Machine();
afterAll(() => machine.close());

const project = machine.project('all', { 'build.conf': oddTree });
const out = path.join(project, 'realmfs');
/** xz takes a minute for each. */
const quick = targets.filter(({ name, isFolder }) => !name.endsWith('-xz') && !isFolder);
const files = quick.map((target) => target.file('base'));
const names = [...quick.map(({ name }) => name), 'root-dir'].join();

describe('every target of one build', () => {
  let whole = '';
  beforeAll(async () => {
    const before = machine.snapshot();
    const run = await machine.run(['--no-confirm', '--targets', names], { cwd: project });
    expect(run.code, run.stderr).toBe(0);
    expect(await machine.settled(before)).toEqual(before);
    whole = listing(machine, out, 'tree=$out/rootfs');
  });

  test('is there, with its checksum', () => {
    expect(readdirSync(out).sort()).toEqual([...files, ...records, 'SHA256SUMS', 'manifest.json', 'realmfs-build.log', 'rootfs'].sort());
    expect(machine.shell('cd "$1"; sha256sum --check SHA256SUMS', out).match(/: OK$/gm)).toHaveLength(files.length + records.length);
  });

  test.each([
    ['ext4', 'mount -o loop,ro "$out/citadel-realmfs.ext4" "$tree/in"; tree=$tree/in'],
    ['realmfs', 'mount -o loop,ro,offset=4096 "$out/base-realmfs.img" "$tree/in"; tree=$tree/in'],
    ['squashfs', 'unsquashfs -q -n -f -d "$tree/in" "$out/base.squashfs" >/dev/null; tree=$tree/in'],
    ['erofs', 'mount -t erofs -o loop,ro "$out/base.erofs" "$tree/in"; tree=$tree/in'],
    ['tarball', 'tar -xf "$out/realmfs-rootfs.tar" -C "$tree/in" --numeric-owner; tree=$tree/in'],
    ['tarball-zst', 'tar --zstd -xf "$out/realmfs-rootfs.tar.zst" -C "$tree/in" --numeric-owner; tree=$tree/in'],
  ])('%s holds the tree', (_, show) => {
    expect(listing(machine, out, show)).toBe(whole);
  });

  test('the file systems are clean, and have no feature that an older suite does not know', () => {
    const features = /^Filesystem features: +(.*)$/m.exec(
      machine.shell('dumpe2fs -h "$1" 2>/dev/null', path.join(out, 'citadel-realmfs.ext4')),
    )?.[1];
    expect(features).toBe(
      'has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum',
    );
    expect(machine.shell('e2fsck -fn "$1" 2>&1', path.join(out, 'citadel-realmfs.ext4'))).toContain('Pass 5');
    machine.shell('fsck.erofs "$1"', path.join(out, 'base.erofs'));
  });

  test('a RealmFS image by programs that are not ours', async () => {
    const image = path.join(out, 'base-realmfs.img');
    expect((await machine.run(['verify', out, image])).stdout).toMatch(/: good\n[\s\S]*data and hash tree good, not signed\n$/);
    const header = readFileSync(image).subarray(0, 4096);
    expect(header.subarray(0, 6)).toEqual(Buffer.from([0x53, 0x47, 0x4f, 0x53, 0, 2]));
    const length = header.readUInt16BE(6);
    const metainfo = header.subarray(8, 8 + length).toString();
    const field = (key: string): string => new RegExp(`^${key} = "?([^"\\n]*)"?$`, 'm').exec(metainfo)?.[1] ?? '';
    expect(field('image-type')).toBe('realmfs');
    expect(field('realmfs-name')).toBe('base');
    expect(header.subarray(8 + length).every((byte) => byte === 0)).toBe(true);
    const script = `
      dd if="$1" bs=4096 skip=1 of="$2" status=none
      veritysetup verify --hash-offset=$(($3 * 4096)) "$2" "$2" "$4"
      head -c $(($3 * 4096)) "$2" | sha256sum
      e2fsck -fn "$2" >/dev/null 2>&1 && echo clean`;
    const body = path.join(machine.folder, 'body');
    expect(machine.shell(script, image, body, field('nblocks'), field('verity-root'))).toBe(`${field('shasum')}  -\nclean\n`);
    // One bit of the data.
    const flip = `printf '\\001' | dd of="$2" bs=1 seek=$((12345 * 4)) conv=notrunc status=none; ! veritysetup verify --hash-offset=$(($3 * 4096)) "$2" "$2" "$4" 2>/dev/null`;
    machine.shell(flip, image, body, field('nblocks'), field('verity-root'));
  });

  test('the same bytes under another host name, umask, time zone, language, home, folder, number of processors and defaults of ext4', async () => {
    const there = path.join(machine.folder, 'there');
    // Other features, as later machines have them by default.
    const defaults = path.join(machine.folder, 'mke2fs.conf');
    const features = 'has_journal,extent,huge_file,metadata_csum_seed,orphan_file,64bit,inline_data,uninit_bg';
    writeFileSync(
      defaults,
      `[defaults]\nbase_features = sparse_super2,filetype,ext_attr\ndefault_mntopts = journal_data\nhash_alg = tea\nerrors = panic\n[fs_types]\next4 = {\nfeatures = ${features}\n}\n`,
    );
    const elsewhere = `mount --bind "${defaults}" /etc/mke2fs.conf; echo other-host >/proc/sys/kernel/hostname; umask 077; exec taskset --cpu-list 0 "$@"`;
    const run = await machine.run(['--no-confirm', '--targets', names, '-d', there, '--no-tmpfs', path.join(project, 'build.conf')], {
      via: ['unshare', '--uts', '--mount', 'bash', '-c', elsewhere, 'build'],
      env: { TZ: 'Asia/Tokyo', LANG: 'tr_TR.UTF-8', HOME: '/nonexistent', TMPDIR: '/nowhere', USER: 'somebody' },
    });
    expect(run.code, run.stderr).toBe(0);
    for (const name of [...files, ...records, 'SHA256SUMS'])
      expect(`${name} ${sha256(path.join(there, name))}`).toBe(`${name} ${sha256(path.join(out, name))}`);
  });
});

describe('what is asked for and cannot be had', () => {
  test('a name that no realm can have', async () => {
    const run = await machine.run(['--no-confirm', '--set', 'REALMFS_NAME=a_b'], { cwd: machine.project('name', { 'build.conf': bare }) });
    expect(run.code).toBe(2);
    expect(run.lastLine).toContain(
      "REALMFS_NAME: 'a_b' is no name for realmfs: a letter, then letters, digits and -, 40 characters at most",
    );
  });

  test('a program that is not there', async () => {
    const other = new Machine();
    try {
      other.shell('mount --bind /dev/null /usr/bin/mksquashfs');
      const run = await other.run(['--no-confirm', '--targets', 'squashfs'], { cwd: other.project('tool', { 'build.conf': bare }) });
      expect(run.code).toBe(3);
      expect(run.lastLine).toContain('programs are missing for squashfs');
      expect(run.stderr).toContain('apt-get install squashfs-tools');
    } finally {
      other.close();
    }
  });
});
