import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { buildElsewhere } from '../helpers/elsewhere.ts';
import { Machine, sha256 } from '../helpers/machine.ts';

// The real debootstrap, each time: nothing of the first build but package files is used by the second.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());

test.each([
  ['trixie', 'minimal'],
  ['trixie', 'citadel'],
  ['bookworm', 'minimal'],
  ['bookworm', 'citadel'],
])('%s, %s: the same tarball under another host name, umask, time zone, language, home and folder', async (release, profile) => {
  const settings = ['--set', `DEBIAN_RELEASE=${release}`, '--set', `REALMFS_PROFILE=${profile}`];
  const [here, there] = [`${release}-${profile}`, `${release}-${profile}-there`].map((name) => path.join(machine.folder, name));
  const run = await machine.run(['--no-confirm', '-t', '-d', here ?? '', ...settings]);
  expect(run.code, run.stderr).toBe(0);
  const sources = machine.shell(
    'tar -xOf "$1/realmfs-rootfs.tar" ./etc/apt/sources.list.d/debian.sources ./usr/lib/os-release ./etc/passwd',
    here ?? '',
  );
  for (const line of [
    `Suites: ${release} ${release}-updates`,
    `Suites: ${release}-security`,
    `VERSION_CODENAME=${release}`,
    '\nuser:x:1000:1000:',
  ])
    expect(sources).toContain(line);
  buildElsewhere(machine, there ?? '', ...settings);
  expect(sha256(`${there}/realmfs-rootfs.tar`)).toBe(sha256(`${here}/realmfs-rootfs.tar`));
});
