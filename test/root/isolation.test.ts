import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bare, Machine, testCache } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());

/** Builds with one module and returns what it wrote to /report. */
async function report(
  name: string,
  body: string,
  extra = '',
  options: { args?: string[]; env?: Record<string, string> } = {},
): Promise<string> {
  const project = machine.project(name, { 'build.conf': `${bare}${extra}PRE_INSTALL_MODULES=look\nlook() {\n${body}\n}\n` });
  const run = await machine.run(['--no-confirm', '-t', ...(options.args ?? [])], {
    cwd: project,
    ...(options.env ? { env: options.env } : {}),
  });
  expect(run.code, run.stderr).toBe(0);
  return machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report', project);
}

const hostile = `
set +e
rm -rf /dev/* /proc/* /sys/* /run/* /var/cache/apt/* /var/lib/apt/lists/*
umount -a; umount /; mount -o remount,ro /; mount -t tmpfs none /mnt; mount --bind / /mnt
mknod /disk b $(stat -c '0x%t 0x%T' /dev/null | sed 's/.*/254 0/'); mknod /disk b 8 0
hostname stolen; echo stolen >/proc/sys/kernel/hostname
echo 1 >/proc/sys/vm/drop_caches; sysctl -w vm.swappiness=1; echo b >/proc/sysrq-trigger
date -s 2001-01-01; dmesg -n 1; swapoff -a; modprobe loop; losetup -f /etc/passwd
nsenter -t 1 -m -- touch /escaped; cat /proc/1/environ; ls /proc/1/root/
chroot /proc/1/root touch /escaped
for pid in /proc/[0-9]*; do ls -l $pid/cwd $pid/root; done
(sleep 1000 &) ; setsid sleep 1000 &
nohup bash -c 'while :; do sleep 1; done' >/dev/null 2>&1 &
touch /dev/realmfs/project/build.conf /dev/realmfs/lib/chroot/lib.sh /dev/realmfs/in/token
(kill -9 -1)
true
`;

describe('a hostile module', () => {
  test.each([{ options: [] as string[] }, { options: ['--no-tmpfs'] }])('leaves the host as it was $options', async ({ options }) => {
    const project = machine.project(`hostile${options.length}`, {
      'build.conf': `${bare}PRE_INSTALL_MODULES=bad\nbad() {\n${hostile}\n}\n`,
    });
    const before = machine.snapshot();
    const cached = readdirSync(path.join(testCache, 'apt/archives')).sort();
    expect(cached.length).toBeGreaterThan(50);
    const run = await machine.run(['--no-confirm', '-t', '-v', ...options], { cwd: project });
    expect(run.code).toBe(1);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: pre\/bad: module bad was killed by SIGKILL; log: /);
    expect(run.stderr).toContain('umount');
    expect(await machine.settled(before)).toEqual(before);
    expect(readdirSync(path.join(testCache, 'apt/archives')).sort()).toEqual(cached);
    expect(existsSync('/escaped')).toBe(false);
    expect(readFileSync(path.join(project, 'build.conf'), 'utf8')).toContain('PRE_INSTALL_MODULES=bad');
    expect(machine.shell('touch "$1/w" && rm "$1/w" && echo writable', project)).toBe('writable\n');
    expect((await machine.run(['--no-confirm', '-t', '--set', 'PRE_INSTALL_MODULES='], { cwd: project })).code).toBe(0);
  });
});

test('a step has the documented environment, twelve capabilities, no terminal and no open files', async () => {
  const text = await report(
    'environment',
    'env -0 | sort -z | tr "\\0" "\\n" >/report; grep CapBnd /proc/self/status >>/report; umask >>/report; pwd >>/report; ls /proc/$$/fd >>/report; (: </dev/tty) 2>&1 | grep -c "No such device" >>/report || true; cat /proc/sys/kernel/hostname >>/report; readlink /proc/self/fd/0 >>/report',
    '',
    { env: { SECRET: 'x', LD_PRELOAD: '', BASH_ENV: '/etc/passwd', TMPDIR: '/nowhere' } },
  );
  const lines = text.trimEnd().split('\n');
  const names = lines.filter((line) => line.includes('=')).map((line) => line.split('=')[0]);
  // What docs/modules.md names, and what bash adds.
  const docs = readFileSync(path.resolve(import.meta.dirname, '../../docs/modules.md'), 'utf8');
  const section = /^## The environment\n+(.*?), and what bash adds/ms.exec(docs)?.[1] ?? '';
  const documented = [...section.matchAll(/`([A-Z_]+)(=[^`]*)?`/g)];
  expect(documented).toHaveLength(11);
  expect(names.toSorted()).toEqual([...documented.map(([, name]) => name), 'PWD', 'SHLVL', '_'].toSorted());
  for (const [, name, value] of documented) if (value !== undefined) expect(lines).toContain(`${name}${value}`);
  expect(lines.slice(names.length)).toEqual(['CapBnd:\t00000000a00405fb', '0022', '/', '0', '1', '2', '255', '1', 'subgraph', '/dev/null']);
});

test('the network: off for modules with NETWORK=off, the resolver there only with it', async () => {
  const look = 'ip_count=$(tail -n +3 /proc/net/dev | wc -l); { echo "$ip_count"; grep -c nameserver /etc/resolv.conf || true; } >/report';
  const on = await report('net-on', look);
  const off = await report('net-off', look, 'NETWORK=off\n');
  expect(off).toBe('1\n0\n');
  expect(Number(on.split('\n')[0])).toBeGreaterThan(1);
  expect(Number(on.split('\n')[1])).toBeGreaterThan(0);
});

test('build.conf is evaluated as nobody, without network and capabilities, and never on the host', async () => {
  const project = machine.project('evaluated', {
    'build.conf': `${bare}
if [[ ! -e /dev/realmfs/in ]]; then
    touch "$REALMFS_PROJECT/written" /tmp/written-by-conf 2>/dev/null
    X="$(id -u) $(grep CapEff /proc/self/status | cut -f 2) $(tail -n +3 /proc/net/dev | wc -l) $(ls /run/realmfs/cache /run/realmfs/build 2>&1 | tr '\\n' ' ')"
    REALMFS_HOSTNAME="\${X// /_}"
fi
`,
  });
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.lastLine).toContain("'65534_0000000000000000_1_");
  expect(run.code).toBe(2);
  expect(existsSync(path.join(project, 'written'))).toBe(false);
  expect(existsSync('/tmp/written-by-conf')).toBe(false);
});

test('a value that differs inside the image stops the build', async () => {
  const project = machine.project('differs', { 'build.conf': `${bare}[[ -e /dev/realmfs/in ]] && POST_INSTALL_MODULES=set-hostname\n` });
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.code).toBe(1);
  expect(run.lastLine).toContain("build.conf: POST_INSTALL_MODULES is 'set-hostname' inside the image, but was '' before");
});

test('what a step hands back is read only if it is a file of its own', async () => {
  const project = machine.project('back', {
    'build.conf': `${bare}PRE_INSTALL_MODULES="bad next"\nbad() { ln -sf /etc/machine-id /dev/realmfs/out/state.sh; }\nnext() { :; }\n`,
  });
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.code).toBe(1);
  expect(run.lastLine).toContain('a step has left no file state.sh behind');
});

test('a keyring whose path leads out of a folder is refused, and nothing of it is written', async () => {
  const project = machine.project('keyring', { 'build.conf': bare, 'realmfs.env': '', victim: 'untouched' });
  for (const args of [['--no-confirm', '-t'], ['plan']]) {
    const odd = `/tmp/../../../../../../../..${project}/victim`;
    machine.shell('printf "DEBIAN_KEYRING=%s\\n" "$2" >"$1/realmfs.env"', project, odd);
    const run = await machine.run(args, { cwd: project });
    expect([run.code, run.lastLine]).toEqual([2, expect.stringContaining('is no plain path')]);
    expect(readFileSync(path.join(project, 'victim'), 'utf8')).toBe('untouched');
  }
});

test('a function that a module defines does not take the place of a planned module in silence', async () => {
  const project = machine.project('takes place', {
    'build.conf': `${bare}PRE_INSTALL_MODULES="maker set-hostname"\n`,
    'realmfs-modules/maker': 'set-hostname() { :; }\n',
  });
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.code).toBe(1);
  expect(run.lastLine).toContain('an earlier module has defined a function set-hostname');
});

test('a link that a module puts in the place of a mount point leads nowhere', async () => {
  const project = machine.project('links', {
    'build.conf': `${bare}PRE_INSTALL_MODULES="swap after"\nswap() { rm -rf /tmp; ln -s ../../../../../cache /tmp; }\nafter() { :; }\n`,
  });
  const before = machine.snapshot();
  const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
  expect(run.code).toBe(1);
  expect(run.stderr).toContain('the image has a link at /tmp, where a folder must be');
  expect(await machine.settled(before)).toEqual(before);
});
