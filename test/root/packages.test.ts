import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bare, Machine } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());

/** Installs packages of the fixture archive. */
function install(name: string, packages: string, conf = '', args: readonly string[] = []) {
  const project = machine.project(name, { 'build.conf': `${bare}unset -f install-packages\nPACKAGES="${packages}"\n${conf}` });
  return machine.run(['--no-confirm', '-t', ...args], { cwd: project });
}

/** Runs a script in the unpacked image, with the extended attributes. */
function inTree(name: string, script: string): string {
  return machine.shell(
    `unshare --mount --propagation private bash --norc -euc 'mount -t tmpfs tree /mnt; cd /mnt; tar -xf "$1" --xattrs --xattrs-include="*"; eval "$2"' tree "$@"`,
    path.join(machine.folder, name, 'realmfs/realmfs-rootfs.tar'),
    script,
  );
}

describe('packages with maintainer scripts that do odd things', () => {
  test('daemons are not started, or end with their step; the build does not wait for them', async () => {
    const before = machine.snapshot();
    const run = await install(
      'daemon',
      'fixture-daemon',
      'POST_INSTALL_MODULES=look\nlook() { grep -l fixture-daemon /proc/[0-9]*/cmdline >/running || true; }\n',
    );
    expect(run.code, run.stderr).toBe(0);
    expect(inTree('daemon', 'cat running; ls -A run')).toBe('lock\n');
    expect(await machine.settled(before)).toEqual(before);
  });

  test('one that fails is named', async () => {
    const run = await install('fails', 'fixture-plain fixture-fails');
    expect(run.code).toBe(1);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: packages: the package fixture-fails could not be installed; log: /);
    expect(run.stderr).toContain('this one always fails');
  });

  test('one that asks gets no answer and does not wait', async () => {
    const run = await install('prompts', 'fixture-prompts');
    expect(run.code, run.stderr).toBe(0);
    expect(inTree('prompts', 'cat prompted')).toBe('answer: []\n');
  });

  test('one that never ends is ended by --timeout', async () => {
    const before = machine.snapshot();
    const run = await install('sleeps', 'fixture-sleeps', '', ['--timeout', '8s']);
    expect(run.code).toBe(124);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: packages: not done within the time limit of 8 s; log: /);
    expect(await machine.settled(before)).toEqual(before);
  });

  test('a conffile that a module has written stays, without a question', async () => {
    const run = await install('conffile', 'fixture-conffile', 'PRE_INSTALL_MODULES=mine\nmine() { echo mine >/etc/fixture.conf; }\n');
    expect(run.code, run.stderr).toBe(0);
    expect(inTree('conffile', 'cat etc/fixture.conf; ls etc/fixture.conf*')).toBe('mine\netc/fixture.conf\netc/fixture.conf.dpkg-dist\n');
  });

  test('a file capability reaches the tarball', async () => {
    const run = await install('setcap', 'fixture-setcap');
    expect(run.code, run.stderr).toBe(0);
    expect(inTree('setcap', 'getfattr --only-values -n security.capability usr/bin/fixture-setcap | od -An -tx1 | tr -d " \\n"')).toBe(
      '0100000200200000000000000000000000000000',
    );
  });

  test('a device node cannot be made: the package is named', async () => {
    const run = await install('mknod', 'fixture-mknod');
    expect(run.code).toBe(1);
    expect(run.lastLine).toMatch(/error: packages: the package fixture-mknod could not be installed; log: /);
    expect(run.stderr).toContain('Operation not permitted');
  });

  test('200 MB where there is little memory: it is built on disk', async () => {
    const run = await install('big', 'fixture-big', '', ['--tmpfs-size', '320M', '--progress', 'plain']);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain('packages is built on disk: it may need ');
  });
});
