import { generateKeyPairSync } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { makeDeb } from '../helpers/debs.ts';
import { Machine, type Run } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const build = (project: string, ...args: string[]): Promise<Run> =>
  machine.run(['--no-confirm', '--progress', 'plain', '-t', ...args], { cwd: project });
/** Runs a script in the unpacked image. */
const inTree = (project: string, script: string): string =>
  machine.shell(
    `unshare --mount --propagation private bash --norc -euc 'mount -t tmpfs tree /mnt; cd /mnt; tar -xf "$1"; eval "$2"' tree "$@"`,
    `${project}/realmfs/realmfs-rootfs.tar`,
    script,
  );
const key = (): string => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** What the package has drawn, in the order of their names. */
const drawn = ['bind.key', 'hostid', 'initiator', 'raw.key', 'server.key', 'token'];
const drawing = makeDeb('drawing', {
  files: {
    'etc/drawn/shipped.conf': 'password = kq8Zt3Vn7LwX2bRy\n',
    'usr/sbin/draw-more': `#!/bin/sh\ncat >/var/lib/drawn.pem <<'PEM'\n${key()}PEM\n`,
  },
  postinst: `umask 022; cd /etc/drawn
cat >server.key <<'PEM'
${key()}PEM
chmod 600 server.key
ln -s server.key link
cat /proc/sys/kernel/random/uuid >hostid
printf '## Do NOT duplicate\\nInitiatorName=iqn.1993-08.org.debian:01:%s\\n' "$(od -An -N6 -tx1 /dev/urandom | tr -d ' \\n')" >initiator
head -c 1024 /dev/urandom >raw.key; chmod 400 raw.key
printf 'key "k" {\\n\\talgorithm hmac-sha256;\\n\\tsecret "%s";\\n};\\n' "$(head -c 32 /dev/urandom | base64)" >bind.key; chown root:42 bind.key; chmod 640 bind.key
od -An -N16 -tx1 /dev/urandom | tr -d ' \\n' >token; chmod 640 token
printf '[client]\\nhost = localhost\\npassword = %s\\n' qZ7xJ2pL9mT4dV6n >client.cnf; chmod 600 client.cnf
draw-more`,
});

test('what packages draw is not in the image, and is made anew; what others bring stays', async () => {
  const [overlay, installed] = [key(), key()];
  const project = machine.project('drawn', {
    'build.conf': `BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\nPOST_INSTALL_MODULES="puts makes later"\nlater() { dpkg --install "$REALMFS_PROJECT/more/later.deb"; }\nputs() { install_file 0600 own.key /etc; }\nmakes() { (umask 077; cat >/etc/made.key <<'PEM'\n${key()}PEM\n); }\n`,
    'packages/drawing.deb': drawing,
    'more/later.deb': makeDeb('later', {
      postinst: `mkdir -p /etc/later; cat >/etc/later/service.pem <<'PEM'\n${key()}PEM\nchmod 600 /etc/later/service.pem`,
    }),
    'overlay/etc/ssl/private/mine.key': overlay,
    'overlay/etc/ssh/ssh_host_ed25519_key': overlay,
    'realmfs-files/own.key': installed,
  });
  const run = await build(project);
  expect(run.code, run.stderr).toBe(0);
  expect(inTree(project, 'ls etc/drawn etc/later; find var/lib/drawn.pem 2>/dev/null || true')).toBe(
    'etc/drawn:\nclient.cnf\nshipped.conf\n\netc/later:\n',
  );
  expect(inTree(project, 'cat etc/ssl/private/mine.key etc/ssh/ssh_host_ed25519_key etc/own.key; wc -l <etc/made.key')).toBe(
    `${overlay}${overlay}${installed}3\n`,
  );
  expect(run.stderr).toMatch(
    /drawn by packages, and not part of the image: \/etc\/drawn\/bind\.key \(a secret\), \/etc\/drawn\/hostid \(a random identifier\)/,
  );
  expect(run.stderr).toMatch(
    /warning: .*nothing makes it anew at the first boot .*: \/etc\/drawn\/server\.key, \/etc\/later\/service\.pem, \/var\/lib\/drawn\.pem$/m,
  );
  expect(run.stderr).toMatch(/warning: drawn by packages, among other things.*: \/etc\/drawn\/client\.cnf \(a secret\)$/m);
  expect(run.stderr).toMatch(/warning: made by a module or hook.*: \/etc\/made\.key \(a private key\)$/m);
  // The first boot, and the second.
  const boot = 'mknod dev/urandom c 1 9 2>/dev/null || true; mount -t proc proc proc; chroot . /usr/lib/realmfs/first-boot-identities';
  const [one = '', other = ''] = [0, 1].map(() =>
    inTree(
      project,
      `${boot}; sha256sum etc/drawn/*; cp -a etc/drawn was; chroot . /usr/lib/realmfs/first-boot-identities; diff -r etc/drawn was; cat etc/drawn/initiator; stat -c "%n %a %u:%g %s" etc/drawn/bind.key etc/drawn/raw.key; cat etc/drawn/hostid etc/drawn/bind.key`,
    ),
  );
  const sums = (text: string): Map<string, string> =>
    new Map(text.split('\n').flatMap((line) => (/^[0-9a-f]{64} /.test(line) ? [[line.slice(66), line.slice(0, 64)]] : [])));
  for (const name of drawn.filter((each) => each !== 'server.key'))
    expect(sums(one).get(`etc/drawn/${name}`), name).not.toBe(sums(other).get(`etc/drawn/${name}`));
  expect(one).toMatch(/\n## Do NOT duplicate\nInitiatorName=iqn\.1993-08\.org\.debian:01:[0-9a-f]{12}\n/);
  expect(one).toMatch(/\netc\/drawn\/bind\.key 640 0:42 \d+\netc\/drawn\/raw\.key 400 0:0 1024\n/);
  expect(one).toMatch(
    /\n[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\nkey "k" \{\n\talgorithm hmac-sha256;\n\tsecret "[A-Za-z0-9+/]{43}=";\n\};\n$/,
  );
  expect(inTree(project, 'cat usr/lib/systemd/system/sysinit.target.wants/realmfs-identities.service')).toContain(
    'ConditionPathExists=|!/etc/drawn/hostid\n',
  );

  // From layers, as the settings say.
  const kept = await build(project, '--set', 'IDENTITIES=/etc/drawn/*.key /var/lib/*.pem');
  expect(kept.code, kept.stderr).toBe(0);
  expect(kept.stderr).toContain('packages cached');
  expect(inTree(project, 'ls etc/drawn var/lib/drawn.pem')).toBe(
    'var/lib/drawn.pem\n\netc/drawn:\nbind.key\nclient.cnf\nlink\nraw.key\nserver.key\nshipped.conf\n',
  );
  const all = await build(project, '--set', 'IDENTITIES=keep');
  expect(all.code, all.stderr).toBe(0);
  expect(inTree(project, 'ls etc/drawn | wc -l; ls usr/lib/realmfs 2>/dev/null || true')).toBe('9\n');
});
