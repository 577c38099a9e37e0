import { afterAll, expect, test } from 'vitest';
import { makeAuthority } from '../helpers/authority.ts';
import { Machine, mirror } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

test('a whole archive by https: the Release file, debootstrap, apt, and the question whether it has changed', async () => {
  const authority = makeAuthority('secure.example');
  const end = await mirror.secure(authority.server, machine.folder);
  const project = machine.project('mirror', {
    'build.conf': `BASE_PACKAGES=
BASE_PRE_INSTALL_MODULES=write-apt-sources
BASE_POST_INSTALL_MODULES=
IMAGE_TARGETS=tarball
DEBIAN_MIRROR=https://secure.example/debian
DEBIAN_SECURITY_MIRROR=https://secure.example/debian-security
PACKAGES=tree
`,
    'overlay/usr/local/share/ca-certificates/own.crt': authority.certificate,
  });
  const build = (...args: string[]) =>
    machine.run(['--no-confirm', '--progress', 'plain', ...args], { cwd: project, env: { https_proxy: mirror.proxy } });
  try {
    const first = await build();
    expect(first.code, first.stderr).toBe(0);
    const again = await build('--refresh');
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toContain('the results are up to date');
  } finally {
    end();
  }
});
