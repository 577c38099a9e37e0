import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeDeb } from '../helpers/debs.ts';
import { Machine } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

// The real debootstrap and pip, from the mirror of this machine's apt.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());

/** A pure Python package for pip, as a wheel: a zip archive of five files. */
function makeWheel(folder: string, name: string): void {
  const script = `
    use IO::Compress::Zip qw(zip $ZipError);
    my ($file, $name) = @ARGV;
    my %files = ("$name.py" => "answer = 42\\n", "$name-1.0.dist-info/METADATA" => "Metadata-Version: 2.1\\nName: $name\\nVersion: 1.0\\n",
        "$name-1.0.dist-info/WHEEL" => "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n");
    $files{"$name-1.0.dist-info/RECORD"} = join "", map { "$_,,\\n" } sort keys %files, "$name-1.0.dist-info/RECORD";
    my ($zip, $out);
    for my $member (sort keys %files) {
        if ($zip) { $zip->newStream(Name => $member) } else { $zip = IO::Compress::Zip->new(\\$out, Name => $member) or die $ZipError }
        $zip->print($files{$member});
    }
    $zip->close; open my $f, ">", $file or die; binmode $f; print $f $out;`;
  mkdirSync(folder, { recursive: true });
  execFileSync('perl', ['-e', script, path.join(folder, `${name}-1.0-py3-none-any.whl`), name]);
}

test.each(['trixie', 'bookworm'])('%s: the documented examples as they stand', async (release) => {
  const project = machine.project(`examples-${release}`, {
    'build.conf': `DEBIAN_RELEASE=${release}\nREALMFS_PROFILE=minimal\nPACKAGES="python3-pip"\nIMAGE_TARGETS="cloudB"\n`,
    'hooks/chroot/05-custom-pip-packages.hook.chroot': '#!/bin/bash\nset -e\npip3 install --no-cache-dir requests httpx\n',
    'overlay/etc/pip.conf': '[global]\nno-index = true\nfind-links = /dev/realmfs/project/index\n',
    'overlay/etc/neuraldrive/custom.conf': 'custom = yes\n',
    'packages/custom_1.0_all.deb': makeDeb('custom', { depends: 'tree', files: { 'usr/share/custom': 'from a package\n' } }),
    'hooks.d/base/series/disk-image': 'depends tarball\nprovides disk.img\n',
    'hooks.d/extra/series/extra-settings': 'extra/settings.chroot\n',
    'hooks.d/extra/series/cloudB': 'depends disk-image\ndepends extra-settings\nextra/cloudB.binary\nprovides cloudB.img\n',
    'hooks.d/extra/settings.chroot': '#!/bin/sh\necho cloudB >/etc/cloud\n',
    'hooks.d/extra/cloudB.binary': '#!/bin/sh\nset -e\ntar -xOf realmfs-rootfs.tar ./etc/cloud >cloudB.img\n',
  });
  for (const name of ['requests', 'httpx']) makeWheel(path.join(project, 'index'), name);
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '--keep-rootfs'], { cwd: project });
  expect(run.code, run.stderr).toBe(0);
  expect(await machine.settled(before)).toEqual(before);
  const out = path.join(project, 'realmfs');
  expect(readFileSync(path.join(out, 'cloudB.img'), 'utf8')).toBe('cloudB\n');
  expect(
    machine.shell(
      'cd "$1/rootfs"; cat etc/neuraldrive/custom.conf usr/share/custom; ls usr/bin/tree; find usr/local -name "[hr]*.py" | xargs cat',
      out,
    ),
  ).toBe('custom = yes\nfrom a package\nusr/bin/tree\nanswer = 42\nanswer = 42\n');
  expect(readdirSync(out).sort()).toEqual(['SHA256SUMS', 'cloudB.img', 'manifest.json', 'realmfs-build.log', 'rootfs', ...records].sort());
});
