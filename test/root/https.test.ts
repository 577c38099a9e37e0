import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority } from '../helpers/authority.ts';
import { makeDeb } from '../helpers/debs.ts';
import { Machine, mirror, type Run } from '../helpers/machine.ts';
import { clearsign } from '../helpers/signing.ts';

const machine = new Machine({ layers: true });
const authority = makeAuthority('secure.example');
const flat = path.join(machine.folder, 'flat');
const { good } = mirror.archive.keys;
let end = (): void => {};

beforeAll(async () => {
  mkdirSync(flat);
  writeFileSync(path.join(flat, 'localtool_1.0_all.deb'), makeDeb('localtool', { files: { 'usr/share/localtool': 'here\n' } }));
  const make = (...args: string[]): string => execFileSync('apt-ftparchive', args, { cwd: flat, encoding: 'utf8' });
  writeFileSync(path.join(flat, 'Packages'), make('packages', '.'));
  writeFileSync(path.join(flat, 'InRelease'), clearsign(make('release', '.'), [good]));
  end = await mirror.secure(authority.server, flat);
});
afterAll(() => {
  end();
  machine.close();
});

const base = 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=write-apt-sources\nBASE_POST_INSTALL_MODULES=\nIMAGE_TARGETS=tarball\n';
const source = 'Types: deb\nURIs: http://mirror.example/nothing https://secure.example/flat\nSuites: ./\nSigned-By: keys/x.gpg\n';
const line = 'deb [signed-by=/etc/apt/keyrings/x.gpg] https://secure.example/flat ./\n';
const own = 'usr/local/share/ca-certificates/tests/own.crt';

function build(name: string, conf: string, files: Readonly<Record<string, string | Buffer>>, ...args: string[]): Promise<Run> {
  const project = machine.project(name, { 'build.conf': base + conf, 'keys/x.gpg': good.keyring, ...files });
  return machine.run(['--no-confirm', '--progress', 'plain', ...args], { cwd: project, env: { https_proxy: mirror.proxy } });
}

/** The certificates of the finished image's store, and whether the package is installed. */
function imageOf(name: string): { store: string; names: string } {
  const tar = path.join(machine.folder, name, 'realmfs/realmfs-rootfs.tar');
  return {
    store: machine.shell('tar -xOf "$1" ./etc/ssl/certs/ca-certificates.crt', tar),
    names: machine.shell('tar -tf "$1"', tar),
  };
}

test('an https repository of EXTRA_SOURCES, vouched for by an authority that lies in the overlay', async () => {
  const conf = `PACKAGES=localtool\nEXTRA_SOURCES="${source.replace('http://mirror.example/nothing ', '')}"\n`;
  const run = await build('extra', conf, { [`overlay/${own}`]: authority.certificate });
  expect(run.code, run.stderr).toBe(0);
  const { store, names } = imageOf('extra');
  expect(names).toContain('./usr/share/localtool');
  expect(store).toContain(authority.certificate.trim());
  expect(store.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(50);
  // A project of the same mirror that needs no https has the bootstrap of before: another layer.
  const plain = await build('plain', '', {});
  expect(plain.code, plain.stderr).toBe(0);
  expect(machine.shell('tar -tf "$1/realmfs/realmfs-rootfs.tar"', path.join(machine.folder, 'plain'))).not.toContain('ca-certificates');
});

test('an https line in config/archives, with an authority that the image gets after the packages', async () => {
  const files = {
    'config/archives/x.list.chroot': 'deb https://secure.example/flat ./\n',
    'config/archives/x.key.chroot': good.keyring,
    [`config/includes.chroot/${own}`]: `a key that is of no use\n${authority.certificate}`,
    'config/package-lists/x.list.chroot': 'localtool\n',
  };
  const run = await build('live', '', files);
  expect(run.code, run.stderr).toBe(0);
  expect(imageOf('live').store).toContain(authority.certificate.trim());
});

test('sources of apt that lie in the overlay', async () => {
  const files = {
    'overlay/etc/apt/sources.list.d/x.list': `# http alone would do\n${line}`,
    'overlay/etc/apt/keyrings/x.gpg': good.keyring,
    [`overlay/${own}`]: authority.certificate,
  };
  const run = await build('overlay', 'PACKAGES=localtool\n', files);
  expect(run.code, run.stderr).toBe(0);
  expect(imageOf('overlay').names).toContain('./usr/share/localtool');
});

test.each([
  ['of packages', `PACKAGES=localtool\nEXTRA_SOURCES="${source.replace('http://mirror.example/nothing ', '')}"\n`, 'packages'],
  ['of the mirror', 'DEBIAN_MIRROR=https://secure.example/debian\n', 'bootstrap'],
])('a server %s that nobody vouches for: the cause, and what to do', async (name, conf, step) => {
  const run = await build(`untrusted ${name}`, conf, {}, '--refresh', '--no-cache');
  expect(run.lastLine).toMatch(new RegExp(`^realmfs-builder: error: ${step}: `));
  expect(run.stderr).toMatch(
    /hint: +if an authority of yours vouches for the server, put its certificate into overlay\/usr\/local\/share\/ca-certificates\/NAME\.crt/,
  );
  expect(run.code).toBe(4);
});
