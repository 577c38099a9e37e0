import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { diffSchema } from '../../src/inspect/diff-report.ts';
import { inspectSchema } from '../../src/inspect/inspect-report.ts';
import { listTree } from '../../src/records/list-tree.ts';
import { type Manifest, manifestSchema } from '../../src/records/manifest-schema.ts';
import { COMPRESSED, encodeHeader, metainfoText } from '../../src/targets/realmfs-format.ts';
import { Machine, type Run } from '../helpers/machine.ts';
import { oddTree } from '../helpers/odd-tree.ts';

const machine = new Machine();
afterAll(() => machine.close());

const USER = 1000;
const project = machine.project('one', { 'build.conf': oddTree });
const out = path.join(project, 'realmfs');
const other = machine.project('two', {
  'build.conf': `${oddTree.replace('MODULES=odd', 'MODULES="odd more"')}
more() {
    echo more >/odd/more; chmod 0600 /odd/a; rm /odd/broken
    perl -0pi -e 's/^Package: tzdata\\n.*?\\n\\n//ms' /var/lib/dpkg/status
}
`,
});
const otherOut = path.join(other, 'realmfs');
/** Images by other tools, and what is not whole. */
const made = path.join(machine.folder, 'made');
const header = path.join(machine.folder, 'header');
let manifest: Manifest;

/** Runs a command that must leave everything as it was. */
async function look(args: readonly string[], options: { uid?: number; cwd?: string } = {}): Promise<Run> {
  const [before, there] = [machine.snapshot(), readdirSync(machine.folder)];
  const run = await machine.run(args, options);
  expect(await machine.settled(before)).toEqual(before);
  expect(readdirSync(machine.folder)).toEqual(there);
  return run;
}

async function inspect(file: string, options: { uid?: number } = {}) {
  const run = await look(['inspect', '--json', file], options);
  expect(run.code, run.stderr).toBe(0);
  return inspectSchema.strict().parse(JSON.parse(run.stdout));
}

async function diff(a: string, b: string, options: { uid?: number } = {}) {
  const run = await look(['diff', '--json', a, b], options);
  expect(run.code, run.stderr).toBe(0);
  return diffSchema.strict().parse(JSON.parse(run.stdout));
}

beforeAll(async () => {
  machine.shareProgram();
  const args = ['--no-confirm', '--keep-rootfs', '--targets', 'ext4,realmfs,erofs,tarball'];
  const run = await machine.run(args, { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  const second = await machine.run(['--no-confirm', '-i'], { cwd: other });
  expect(second.code, second.stderr).toBe(0);
  manifest = manifestSchema.parse(JSON.parse(readFileSync(path.join(out, 'manifest.json'), 'utf8')));
  const [digest, name] = ['00'.repeat(32), { name: 'small', channel: 'test', version: 3, timestamp: 1 }];
  const metainfo = metainfoText({ ...name, blocks: 64 * 256, shasum: digest, veritySalt: digest, verityRoot: digest });
  writeFileSync(header, encodeHeader({ status: 0, flags: COMPRESSED, metainfo, signature: Buffer.alloc(64, 1) }));
  // Copies have no manifest beside them.
  machine.shell(
    `mkdir "$2"; cd "$2"; chmod 0755 .
     cp "$1/base.erofs" "$1/base-realmfs.img" "$1/citadel-realmfs.ext4" .
     mksquashfs "$1/rootfs" base.squashfs -quiet -no-progress -comp zstd -Xcompression-level 1 >/dev/null
     zstd -1 -q "$1/realmfs-rootfs.tar" -o base.tar.zst
     mkdir -p tree/etc tree/usr/lib tree/var/lib/dpkg tree/dev; printf 'ID=other\\nPRETTY_NAME="Other \\033[31m 1"\\n' >tree/usr/lib/os-release
     printf 'Package: one\\nStatus: install ok installed\\nArchitecture: all\\nVersion: 1-1\\nInstalled-Size: 7\\n\\nPackage: gone\\nStatus: deinstall ok config-files\\nArchitecture: all\\nVersion: 2\\n' >tree/var/lib/dpkg/status
     yes compress | head -c 300000 >tree/usr/lib/big; mknod tree/dev/null c 1 3; ln -s ../usr/lib/os-release tree/etc/os-release; ln tree/usr/lib/big tree/usr/lib/again
     touch -d 1960-01-01 tree/usr/lib/big; head -c 100 /dev/zero >"tree/$(printf '\\377 name')"; mkdir tree/usr/lib/lists; : >tree/usr/lib/lists/foo@bar; truncate -s 20M tree/usr/lib/sparse; echo x >>tree/usr/lib/sparse
     for type in ext2 ext3 ext4; do mkfs.$type -q -d tree $type.img 64M 2>/dev/null; done
     mkfs.ext4 -q -O ^64bit,^extent,meta_bg,^resize_inode -b 1024 -d tree odd.img 64M
     mksquashfs tree plain.sq -quiet -no-progress -comp gzip >/dev/null; mkfs.erofs -zlz4 lz4.erofs tree >/dev/null 2>&1
     tar -czf plain.tar.gz -C tree etc usr var dev "$(printf '\\377 name')"; tar --format=v7 -cf v7.tar -C tree --exclude '*name' --exclude dev --exclude big --exclude again .; zstd -q ext4.img -o ext4.img.zst
     { cat "$3"; { head -c 4096 /dev/zero; cat ext4.img; } | xz -0; } >xz.img
     { head -c 1M /dev/zero; cat ext4.img; } >disk.img
     printf '\\200\\0\\0\\0\\203\\0\\0\\0\\0\\010\\0\\0\\0\\0\\002\\0' | dd of=disk.img bs=1 seek=446 conv=notrunc status=none
     printf '\\125\\252' | dd of=disk.img bs=1 seek=510 conv=notrunc status=none
     head -c 1M ext4.img >short.ext4; head -c 100K plain.tar.gz | head -c 500 >short.tar.gz; head -c 1000 plain.sq >short.sq; head -c 1M base-realmfs.img >short.img
     head -c 20K v7.tar >short.tar; head -c 4096 lz4.erofs >short.erofs; head -c 9000 /dev/urandom >noise; : >empty; head -c 300 ext4.img.zst >short.zst
     cp plain.sq bad.sq; head -c 1000 /dev/zero | dd of=bad.sq bs=1 seek=96 conv=notrunc status=none`,
    out,
    made,
    header,
  );
}, 300_000);

describe('what a build has made', () => {
  test('the output folder, by its manifest alone, without root', async () => {
    machine.shell('cp "$1" "$2"', path.join(out, 'manifest.json'), machine.project('alone'));
    for (const folder of [out, path.join(machine.folder, 'alone')]) {
      const report = await inspect(folder, { uid: USER });
      expect(report).toMatchObject({ kind: 'build', facts: { name: 'base' }, packages: manifest.packages });
      expect(report.made).toMatchObject({ release: manifest.release, sourceDateEpoch: manifest.sourceDateEpoch });
      expect(report.artifacts?.map(({ isThere }) => isThere)).toEqual(manifest.artifacts.map(() => folder === out));
    }
  });

  test.each([
    ['ext4', 'citadel-realmfs.ext4', 'ext'],
    ['realmfs', 'base-realmfs.img', 'realmfs'],
    ['erofs', 'base.erofs', 'erofs'],
    ['tarball', 'realmfs-rootfs.tar', 'tar'],
  ])('%s has the packages of the manifest', async (target, name, kind) => {
    const report = await inspect(path.join(out, name));
    const artifact = manifest.artifacts.find((one) => one.target === target);
    expect(report).toMatchObject({ kind, size: artifact?.size, system: { id: 'debian', codename: manifest.release } });
    expect(report.packages).toEqual(manifest.packages);
    expect(report.made?.builder).toContain('realmfs-builder ');
    expect(report.totals?.entries).toBeGreaterThan(1000);
  });

  test.each([
    ['base.squashfs', { kind: 'squashfs', facts: { dataCompression: 'zstd' } }],
    ['base.tar.zst', { kind: 'tar', compression: 'zstd' }],
  ])('%s, which no manifest names', async (name, expected) => {
    const report = await inspect(path.join(made, name));
    expect(report).toMatchObject({ ...expected, made: null });
    expect(report.packages).toEqual(manifest.packages);
  });

  test('the compressed form of a RealmFS image', async () => {
    const facts = { compressed: true, signed: true, name: 'small', channel: 'test', version: 3, fileSystem: 'ext4' };
    expect(await inspect(path.join(made, 'xz.img'))).toMatchObject({ kind: 'realmfs', facts, packages: [{ name: 'one' }] });
  });

  test('the tree itself', async () => {
    const report = await inspect(path.join(out, 'rootfs'));
    expect(report).toMatchObject({ kind: 'tree', packages: manifest.packages, system: { id: 'debian' } });
  });

  test('for people: the biggest packages, how it was made', async () => {
    const run = await look(['inspect', path.join(out, 'base-realmfs.img')]);
    expect(run.stdout).toMatch(/base-realmfs\.img: RealmFS image, [\d.]+ MiB\n\nName: +base\n/);
    expect(run.stdout).toMatch(/^Signed: +no$/m);
    expect(run.stdout).toMatch(/^Made by: +realmfs-builder \S+ \(by manifest\.json beside it: it has its SHA-256\)$/m);
    expect(run.stdout).toMatch(/^and \d+ smaller ones; --packages lists all$/m);
    const all = await look(['inspect', '--packages', path.join(out, 'base-realmfs.img')]);
    for (const { name } of manifest.packages) expect(all.stdout).toMatch(new RegExp(`^${name.replaceAll('+', '\\+')} `, 'm'));
  });
});

describe('what others have made', () => {
  const expected = [
    ['ext2.img', 'ext'],
    ['ext3.img', 'ext'],
    ['ext4.img', 'ext'],
    ['odd.img', 'ext'],
    ['plain.sq', 'squashfs'],
    ['lz4.erofs', 'erofs'],
    ['plain.tar.gz', 'tar'],
    ['v7.tar', 'tar'],
    ['ext4.img.zst', 'ext'],
    ['disk.img', 'disk'],
  ] as const;

  test.each(expected)('%s', async (name, kind) => {
    for (const uid of ['ext4.img.zst', 'plain.sq', 'disk.img'].includes(name) ? [undefined, USER] : [undefined]) {
      const report = await inspect(path.join(made, name), uid === undefined ? {} : { uid });
      expect(report).toMatchObject({ kind, system: { id: 'other', name: 'Other \u001b[31m 1' }, installedSize: 7 * 1024 });
      expect(report.packages).toEqual([
        { name: 'one', version: '1-1', arch: 'all', source: 'one', sourceVersion: '1-1', installedSize: 7 * 1024 },
      ]);
    }
  });

  test('their names and values cannot steer a terminal', async () => {
    const run = await look(['inspect', path.join(made, 'disk.img')]);
    expect(run.stdout).toContain('System:           Other \\x1b[31m 1\n');
    expect(run.stdout).toMatch(/^1 +1\.0 MiB +64\.0 MiB +0x83 +- +ext4 file system$/m);
    expect(run.stdout).not.toContain('\u001b');
  });

  test.each([
    ['unsquashfs', undefined, 'plain.sq', 65534],
    ['unsquashfs', USER, 'plain.sq', 0],
    ['fsck.erofs', undefined, 'lz4.erofs', 0],
  ])('%s, started by %s, sees the image alone and can write nothing of the host', async (program, uid, image, inside) => {
    const script = `#!/bin/bash
exec >&2
echo "root: $(ls -A / | tr '\\n' ' ')"; echo "below: $(cd /run/realmfs; find . -maxdepth 2 | sort | tr '\\n' ' ')"
echo "user: $(id -u)"
for place in /proc/sys/kernel/core_pattern /proc/sys/kernel/hotplug /proc/sysrq-trigger /proc/irq/default_smp_affinity; do (: >>"$place") 2>/dev/null && echo "opened $place"; done
for place in /proc/kmsg /proc/keys /proc/timer_list; do [[ ! -s $place ]] && ! head -c 1 "$place" 2>/dev/null | grep -q . || echo "read $place"; done
for place in /usr /run/realmfs/source/image /dev /etc /dev/null/x; do (echo x >>"$place" || touch "$place/x") 2>/dev/null && echo "wrote $place"; done
mount -o remount,bind,rw /usr 2>/dev/null && echo remounted; umount -l /usr 2>/dev/null && echo unmounted
echo "net: $(tail -n +3 /proc/net/dev | wc -l), new rights: $(grep -c 'NoNewPrivs.*1' /proc/self/status)"
exit 1
`;
    const fake = path.join(machine.project('fake', { program: script }), 'program');
    machine.shell('chmod 0755 "$1"; mount --bind "$1" "/usr/bin/$2"', fake, program);
    const run = await look(['inspect', path.join(made, image)], uid === undefined ? {} : { uid });
    machine.shell('umount "/usr/bin/$1"', program);
    const said = run.stderr.split('\n').filter((line) => line.startsWith('  output:  '));
    expect(said.map((line) => line.slice(11))).toEqual([
      expect.stringMatching(/^root: (?:(?:bin|dev|lib|lib32|lib64|libx32|proc|run|sbin|tmp|usr) )+$/),
      expect.stringMatching(/^below: \. \.\/build (?:\.\/build\/scratch )?\.\/source \.\/source\/image $/),
      `user: ${inside}`,
      'net: 1, new rights: 1',
    ]);
  });

  test('an image below /tmp, and one with blanks in its name', async () => {
    const folder = machine.shell('mktemp -d /tmp/realmfs-inspect-XXXXXX; chmod 0755 /tmp/realmfs-inspect-*').trim();
    try {
      machine.shell('cp "$1" "$2/a b\\$c"', path.join(made, 'plain.sq'), folder);
      expect((await inspect(path.join(folder, 'a b$c'), { uid: USER })).packages).toHaveLength(1);
    } finally {
      machine.shell('rm "$1/a b\\$c"; rmdir "$1"', folder);
    }
  });

  test.each([
    ['short.ext4', /is cut off/],
    ['short.sq', /is cut off/],
    ['short.img', /is cut off/],
    ['short.tar', /is cut off/],
    ['short.erofs', /is cut off|is damaged/],
    ['short.tar.gz', /cannot be read, it may be damaged: gzip failed/],
    ['short.zst', /is of no kind|cannot be read|is compressed by zstd/],
    ['bad.sq', /cannot be read, it may be damaged: unsquashfs/],
    ['noise', /is of no kind that is known here$/],
    ['empty', /is empty$/],
    ['tree/dev', /is neither the output folder of a build/],
  ])('%s ends with a message', async (name, message) => {
    const run = await look(['inspect', path.join(made, name)]);
    expect([run.code, run.stdout], run.stderr).toEqual([1, '']);
    expect(run.lastLine).toMatch(message);
    expect(run.lastLine).toContain(path.join(made, name));
  });

  test('what is not there, a device, a program that is missing', async () => {
    expect((await look(['inspect', 'nowhere'])).code).toBe(2);
    expect((await look(['inspect', '/dev/null'])).lastLine).toContain('is neither a file nor a folder');
    machine.shell('mount --bind /dev/null /usr/bin/unsquashfs');
    const run = await look(['inspect', path.join(made, 'plain.sq')]);
    machine.shell('umount /usr/bin/unsquashfs');
    expect([run.code, run.lastLine]).toEqual([3, 'realmfs-builder: error: missing: unsquashfs']);
    expect(run.stderr).toContain('apt-get install squashfs-tools');
  });

  test('what becomes more than 250 times its size, and more than 8 GiB, is read no further', async () => {
    const script = `cd "$1"; truncate --size=4M bomb; mkfs.ext4 -q bomb; zstd --quiet bomb -o bomb.zst; truncate --size=1G zeros; zstd --quiet zeros -o zeros.zst
      for ((n = 0; n < 9; n++)); do cat zeros.zst; done >>bomb.zst`;
    machine.shell(script, machine.folder);
    const run = await machine.run(['inspect', 'bomb.zst'], { cwd: machine.folder });
    expect([run.code, run.lastLine]).toEqual([1, expect.stringContaining('becomes more than 8.0 GiB when it is decompressed')]);
    expect(run.stderr).toContain('decompress it yourself');
  });

  test('memory that does not hold what must be unpacked', async () => {
    const memory = path.join(machine.project('memory', { meminfo: 'MemAvailable: 512 kB\n' }), 'meminfo');
    machine.shell('mount --bind "$1" /proc/meminfo', memory);
    const run = await look(['inspect', path.join(made, 'ext4.img.zst')]);
    machine.shell('umount /proc/meminfo');
    expect([run.code, run.stdout], run.stderr).toEqual([3, '']);
    expect(run.lastLine).toMatch(/ext4\.img\.zst: does not fit into the [\d.]+ KiB of memory that are free$/);
  });

  test('a file system whose features are not known here is named, with its facts', async () => {
    machine.shell(
      'cd "$1"; mkfs.ext4 -q -O inline_data -d tree inline.img 64M 2>/dev/null; cp lz4.erofs new.erofs; printf "\\200" | dd of=new.erofs bs=1 seek=1104 conv=notrunc status=none',
      made,
    );
    for (const name of ['inline.img', 'new.erofs']) {
      const report = await inspect(path.join(made, name));
      expect(report).toMatchObject({
        facts: { uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) },
        packages: null,
        notes: [expect.stringContaining('cannot be read here')],
      });
    }
    const run = await look(['diff', path.join(made, 'inline.img'), path.join(made, 'ext4.img')]);
    expect(run.stdout).toMatch(/^Note: A: what is in it cannot be read here: data in inodes$/m);
    expect(run.stdout).toMatch(/\nThey differ\.\n$/);
    expect((await look(['diff', '--exit-code', path.join(made, 'inline.img'), path.join(made, 'ext4.img')])).code).toBe(1);
    const same = await look(['diff', '--exit-code', path.join(made, 'inline.img'), path.join(made, 'inline.img')]);
    expect([same.code, same.stdout.trimEnd().split('\n').at(-1)]).toEqual([0, 'They are the same, byte by byte.']);
  });
});

describe('diff', () => {
  test.each(['ext2.img', 'ext4.img', 'odd.img', 'plain.sq', 'lz4.erofs', 'ext4.img.zst', 'plain.tar.gz'])(
    '%s holds the tree it was made of',
    async (name) => {
      const report = await diff(path.join(made, 'tree'), path.join(made, name));
      // The old time is none of the 32 bits without a sign of squashfs.
      const isOld = (one: { path: string; what: readonly string[] }): boolean =>
        /^\.\/usr\/lib\/(big|again)$/.test(one.path) && one.what.join() === 'time';
      expect(report.files?.changed.filter((one) => !isOld(one))).toEqual([]);
      expect([report.files?.added, report.files?.removed]).toEqual([[], []]);
      expect(report.a.totals).toEqual(report.b.totals === null ? null : { ...report.b.totals, entries: report.a.totals?.entries });
    },
  );

  test('names are shown as they are, also where they look like addresses', async () => {
    machine.shell('tar -cf "$1/small.tar" -C "$1/tree" etc', made);
    const report = await diff(path.join(made, 'ext4.img'), path.join(made, 'small.tar'));
    expect(report.files?.removed.map((entry) => entry.path)).toContain('./usr/lib/lists/foo@bar');
  });

  test('all targets of a build hold the same tree', async () => {
    for (const [a, b] of [
      ['base.squashfs', 'base-realmfs.img'],
      ['base.erofs', 'base.tar.zst'],
    ] as const) {
      const report = await diff(path.join(made, a), path.join(made, b), { uid: USER });
      expect(report.files).toEqual({ added: [], removed: [], changed: [] });
      expect(report.same).toBe(true);
    }
    const run = await look(['diff', '--exit-code', path.join(out, 'rootfs'), path.join(out, 'realmfs-rootfs.tar')]);
    expect([run.code, run.stdout.trimEnd().split('\n').at(-1)], run.stdout).toEqual([
      0,
      'They hold the same tree; extended attributes and ACLs are not compared.',
    ]);
  });

  test('two builds: a package, files, a mode', async () => {
    const run = await look(['diff', '--exit-code', out, otherOut], { uid: USER });
    expect(run.code, run.stderr).toBe(1);
    expect(run.stdout).toMatch(/^Packages: 1 removed\n- tzdata \S+ {2}\(.*\)$/m);
    expect(run.stdout).toMatch(/^~ \.\/odd\/a {2}mode 0644 -> 0600$/m);
    expect(run.stdout).toMatch(/^\+ \.\/odd\/more$/m);
    expect(run.stdout).toMatch(/^- \.\/odd\/broken$/m);
    expect(run.stdout).toMatch(/^~ \.\/var\/lib\/dpkg\/status {2}content, size/m);
  });

  test('the list of files of a build takes the place of unpacking', async () => {
    const list = listTree(path.join(out, 'rootfs')).replace(/^\.\/odd\/a .*\n/m, '');
    const folder = machine.project('listed', { 'base.mtree': list });
    machine.shell('cp "$1/manifest.json" "$1/citadel-realmfs.ext4" "$2"', out, folder);
    const report = await diff(folder, path.join(folder, 'citadel-realmfs.ext4'), { uid: USER });
    expect([report.a.filesFrom, report.b.filesFrom]).toEqual(['the list of files of the build', 'the list of files of its build']);
    expect(report.same).toBe(true);
    const bare = await diff(folder, path.join(made, 'citadel-realmfs.ext4'));
    expect(bare.files?.added.map((entry) => entry.path)).toEqual(['./odd/a']);
    machine.shell('echo "$(printf %064d 0)  base.mtree" >"$1/SHA256SUMS"', folder);
    const run = await look(['diff', folder, out]);
    expect([run.code, run.lastLine]).toEqual([1, expect.stringContaining('base.mtree is not what SHA256SUMS says')]);
  });

  test('a tree takes root', async () => {
    const run = await look(['diff', path.join(made, 'tree'), path.join(made, 'plain.sq')], { uid: USER });
    expect(run.code).toBe(3);
    expect(run.stderr).toMatch(/takes root$/m);
    expect(run.stderr).toContain('hint:    run: sudo -- ');
  });

  test('SIGINT in the middle leaves nothing', async () => {
    const before = machine.snapshot();
    const running = machine.start(['diff', path.join(made, 'base.tar.zst'), path.join(made, 'base.squashfs')]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    running.kill('SIGINT');
    const run = await running.ended;
    expect([run.code, run.stdout, run.lastLine]).toEqual([130, '', 'realmfs-builder: error: interrupted by SIGINT']);
    expect(await machine.settled(before)).toEqual(before);
  });
});
