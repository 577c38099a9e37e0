import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { targets } from '../../src/targets/all.ts';
import { bare, Machine, type Run, sha256 } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const MIB = 1024 ** 2;
/** xz takes long, the others not. */
const quick = targets.filter(({ name, isFolder }) => !name.endsWith('-xz') && !isFolder);
const names = [...quick.map(({ name }) => name), 'root-dir'].join();
const conf = `${bare}IMAGE_FREE_SPACE=8M
POST_INSTALL_MODULES=holes
holes() {
    # As small as finalize can still run in.
    rm -rf /usr/share /usr/lib/systemd /usr/lib/*/{gconv,perl-base,systemd} /var/lib/dpkg/info/*
    find /usr -type f -size +160k ! -regex '.*/\\(bash\\|dpkg.*\\|find\\|grep\\|ld-.*\\|lib\\([cm]\\.so\\|crypto\\|pcre\\|tinfo\\|selinux\\).*\\)' -delete
    mkdir /sparse
    cd /sparse
    truncate -s 500M disk.img
    truncate -s 20000001 odd
    { head -c 5M /dev/zero; echo text; head -c 7M /dev/zero; } >'written + (out) in full'
    echo data | dd of=ends bs=1 seek=64M conv=notrunc status=none
    ln ends again
    truncate -s 500k small
    chmod 4711 'written + (out) in full'
    touch -d '2020-02-02 02:02:02.123456789Z' *
    echo >/usr/local/plain
    echo >/usr/local/before-1970
    touch -d @-86400 /usr/local/before-1970
}
`;
const project = machine.project('holes', { 'build.conf': conf });
const out = path.join(project, 'realmfs');

function build(folder: string, ...more: string[]): Promise<Run> {
  return machine.run(['--no-confirm', '--targets', names, '-d', folder, ...more], { cwd: project });
}

/** What there is of the files, with their digests. */
const look =
  'cd sparse; ls -l --full-time --numeric-uid-gid; sha256sum odd written* ends small; [[ again -ef ends ]]; cmp -n 10M disk.img /dev/zero';

describe('files with holes', () => {
  let whole = '';
  beforeAll(async () => {
    const run = await build(out);
    expect(run.code, run.stderr).toBe(0);
    // Or the order would be that of the file system.
    expect(run.stderr).not.toContain('the tree cannot be copied');
    whole = machine.shell(`cd "$1"; ${look}`, path.join(out, 'rootfs'));
    expect(whole).toContain('2020-02-02 02:02:02.123456789');
    expect(whole).toContain('-rws--x--x');
  });

  test('cost what their data cost, in every target', () => {
    const lines = machine.shell(
      'cd "$1"; du --block-size=1 --apparent-size "${@:2}"; du --block-size=1 -s rootfs/sparse',
      out,
      ...quick.map((target) => target.file('base')),
    );
    for (const line of lines.trimEnd().split('\n')) expect(Number(line.split('\t')[0]), line).toBeLessThan(400 * MIB);
    expect(Number(/^(\d+)\trootfs/m.exec(lines)?.[1])).toBeLessThan(MIB);
  });

  test.each([
    ['ext4', 'mount -o loop,ro "$1/citadel-realmfs.ext4" "$2"'],
    ['realmfs', 'mount -o loop,ro,offset=4096 "$1/base-realmfs.img" "$2"'],
    ['squashfs', 'mount -o loop,ro "$1/base.squashfs" "$2"'],
    ['erofs', 'mount -t erofs -o loop,ro "$1/base.erofs" "$2"'],
    ['tarball', 'mount -t tmpfs -o size=400m tree "$2"; tar -xf "$1/realmfs-rootfs.tar" -C "$2" --numeric-owner ./sparse'],
    ['tarball-zst', 'mount -t tmpfs -o size=400m tree "$2"; tar --zstd -xf "$1/realmfs-rootfs.tar.zst" -C "$2" --numeric-owner ./sparse'],
  ])('have their content in %s', (name, show) => {
    const place = machine.project(`in-${name}`);
    const text = machine.shell(`${show}; cd "$2"; ${look}; cd /; umount "$2"`, out, place);
    // Neither format holds parts of a second or the blocks of a disk.
    const plain = (listed: string): string => listed.replaceAll(/\.\d{9}/g, '').replace(/^total .*$/m, '');
    expect(plain(text)).toBe(plain(whole));
  });

  test('are the same bytes on a disk and from layers', async () => {
    const there = machine.project('there');
    const run = await build(there, '--no-tmpfs', '--rebuild-from', 'post/holes');
    expect(run.code, run.stderr).toBe(0);
    const again = machine.project('again');
    const cached = await build(again);
    expect(cached.code, cached.stderr).toBe(0);
    for (const file of [...quick.map((target) => target.file('base')), 'base.mtree', 'SHA256SUMS'])
      for (const folder of [there, again])
        expect(`${file} ${sha256(path.join(folder, file))}`).toBe(`${file} ${sha256(path.join(out, file))}`);
  });

  test('are read whole: an image is the tree that its list names', async () => {
    for (const file of ['realmfs-rootfs.tar', 'base.erofs']) {
      const run = await machine.run(['diff', path.join(out, file), path.join(out, 'rootfs')]);
      expect(run.stdout + run.stderr, file).not.toContain('sparse');
    }
  });
});

describe('limits of programs are told before the first target begins', () => {
  const long = `é${'n'.repeat(253)}`;

  test('a name of 255 bytes, which mkfs.erofs of this machine may not take', async () => {
    const files = { 'build.conf': `${bare}POST_INSTALL_MODULES=long\nlong() { : >/opt/${long}; }\n` };
    const name = machine.project('name', files);
    const can = machine
      .shell(
        'mkdir "$1/tree"; : >"$1/tree/$2"; cd "$1/tree"; mkfs.erofs --quiet ../probe . >/dev/null 2>&1 && echo yes || echo no',
        name,
        long,
      )
      .trim();
    const run = await machine.run(['--no-confirm', '--progress', 'plain', '--targets', 'squashfs,tarball,erofs'], { cwd: name });
    if (can === 'yes') expect(run.code, run.stderr).toBe(0);
    else {
      expect(run.lastLine).toMatch(
        /^realmfs-builder: error: target\/erofs: mkfs\.erofs of this machine takes no name of 255 bytes: opt\/én{39}\.\.\.; log/,
      );
      expect(run.stderr).not.toContain('target/squashfs');
      expect(run.code).toBe(1);
    }
  });

  test('a path that no call of the kernel takes', async () => {
    const deep = 'deep() { local i; cd /opt; for i in {1..17}; do mkdir "$1"; cd "$1"; done; }';
    const conf = `${bare}POST_INSTALL_MODULES=make\n${deep}\nmake() { deep ${'d'.repeat(250)}; cd /; }\n`;
    const run = await machine.run(['--no-confirm', '-t'], { cwd: machine.project('path', { 'build.conf': conf }) });
    expect(run.lastLine).toMatch(/the tree has a path of 4\d\d\d bytes, which is more than programs can name: opt\/ddd/);
    expect(run.code).toBe(1);
  });
});
