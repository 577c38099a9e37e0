import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { manifestSchema } from '../../src/records/manifest-schema.ts';
import { makeDeb } from '../helpers/debs.ts';
import { bare, Machine, type Run } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());
// A name server that no machine of the tests has.
machine.shell('echo "nameserver 192.0.2.53" >"$1/resolv.conf"; mount --bind "$1/resolv.conf" /etc/resolv.conf', machine.folder);

const build = (project: string, env: Readonly<Record<string, string>> = {}): Promise<Run> =>
  machine.run(['--no-confirm', '--progress', 'plain', '-t'], { cwd: project, env });
/** A file of the image. */
const inImage = (project: string, file: string): string => machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ".$2"', project, file);
/** What an image has at some places, as tar lists it. */
const listed = (project: string, pattern: string): string[] =>
  machine
    .shell('tar -tvf "$1/realmfs/realmfs-rootfs.tar" --numeric-owner | grep -E -- "$2" || true', project, pattern)
    .split('\n')
    .slice(0, -1)
    .map((line) => line.replace(/ +\d+ \d{4}-\S+ \S+ /, ' '));

describe('what the builder puts into the tree for its own use, and what others put there', () => {
  const policy = 'printf "#!/bin/sh\\nexit 101\\n" >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d\n';
  const files = {
    'build.conf': `${bare}POST_INSTALL_MODULES="looks adds"\nlooks() { grep -v "^#" /etc/resolv.conf >/seen; /usr/sbin/start-stop-daemon --start --exec /bin/false; [[ -s /usr/sbin/start-stop-daemon.realmfs ]]; /usr/sbin/policy-rc.d || echo "policy $?" >>/seen; }\nadds() { grep -c . /etc/resolv.conf >>/seen; }\n`,
    'hooks/chroot/10-dns.hook.chroot': "#!/bin/bash\nset -e\necho 'nameserver 9.9.9.9' >>/etc/resolv.conf\n",
    'hooks/chroot/20-more.hook.chroot':
      "#!/bin/bash\nset -e\ngrep -q 9.9.9.9 /etc/resolv.conf\necho 'search example' >>/etc/resolv.conf\nmkdir -p /var/spool/jail/etc\ncp /etc/resolv.conf /var/spool/jail/etc/resolv.conf\n",
    'hooks/chroot/30-sockets.hook.chroot':
      '#!/bin/bash\nset -e\nmkfifo /opt/fifo\nperl -MIO::Socket::UNIX -e \'IO::Socket::UNIX->new(Local => $_, Listen => 1) or die $! for "/opt/sock", "/root/S.gpg-agent"\'\n',
  };

  test.each([{}, { LAYERS_MAX_SIZE: '0' }])('without packages, %j', async (env) => {
    const project = machine.project('own', files);
    const run = await build(project, env);
    expect(run.code, run.stderr).toBe(0);
    expect(inImage(project, '/etc/resolv.conf')).toBe('nameserver 9.9.9.9\nsearch example\n');
    expect(inImage(project, '/var/spool/jail/etc/resolv.conf')).toBe('nameserver 9.9.9.9\nsearch example\n');
    expect(inImage(project, '/seen')).toMatch(/^nameserver 192\.0\.2\.53 .*\npolicy 101\n1\n$/);
    expect(listed(project, 'realmfs$|policy-rc.d|start-stop-daemon$| \\./opt/|S\\.gpg')).toEqual([
      'drwxr-xr-x 0/0 ./opt/',
      'prw-r--r-- 0/0 ./opt/fifo',
      '-rwxr-xr-x 0/0 ./usr/sbin/start-stop-daemon',
    ]);
    expect(inImage(project, '/usr/sbin/start-stop-daemon').length).toBeGreaterThan(10_000);
    expect(inImage(project, '/var/lib/dpkg/diversions')).not.toContain('start-stop-daemon');
    expect(readFileSync(path.join(project, 'realmfs/base.mtree'), 'utf8')).not.toContain('type=socket');
    expect(run.stderr).toContain('sockets are removed, since no image keeps them: /opt/sock, /root/S.gpg-agent');
  });

  test('stand-ins that a hook writes over stay as it has left them', async () => {
    const project = machine.project('replaced', {
      'build.conf': bare,
      'hooks/chroot/10-policy.hook.chroot': `#!/bin/bash\nset -e\n${policy}`,
      'hooks/chroot/20-daemon.hook.chroot':
        '#!/bin/bash\nset -e\nprintf "#!/bin/sh\\nexit 0\\n" >/sbin/start-stop-daemon\nrm -rf /var/tmp\n',
    });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(inImage(project, '/usr/sbin/policy-rc.d')).toBe('#!/bin/sh\nexit 101\n');
    expect(inImage(project, '/usr/sbin/start-stop-daemon')).toBe('#!/bin/sh\nexit 0\n');
    expect(listed(project, 'realmfs$| \\./var/tmp/$|policy-rc')).toEqual([
      '-rwxr-xr-x 0/0 ./usr/sbin/policy-rc.d',
      'drwxrwxrwt 0/0 ./var/tmp/',
    ]);
  });

  test('a program that is moved is the original, whatever stands in for it', async () => {
    const project = machine.project('moved', {
      'build.conf': bare,
      'hooks/chroot/10-move.hook.chroot':
        '#!/bin/bash\nset -e\ncp -a /usr/sbin/policy-rc.d /usr/sbin/policy-rc.d.bak\ncd /sbin\nmv start-stop-daemon start-stop-daemon.REAL\nln -s /bin/true start-stop-daemon\n',
    });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(inImage(project, '/usr/sbin/start-stop-daemon.REAL').length).toBeGreaterThan(10_000);
    expect(listed(project, 'realmfs$|policy-rc|sbin/start-stop')).toEqual([
      'lrwxrwxrwx 0/0 ./usr/sbin/start-stop-daemon -> /bin/true',
      '-rwxr-xr-x 0/0 ./usr/sbin/start-stop-daemon.REAL',
    ]);
  });

  test('a policy-rc.d that a package ships, or has by update-alternatives', async () => {
    const conf = 'BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\n';
    for (const [name, deb] of Object.entries({
      shipped: makeDeb('policy', { files: { 'usr/sbin/policy-rc.d': '#!/bin/sh\nexit 101\n' } }),
      alternative: makeDeb('policy', {
        files: { 'usr/share/policy': '#!/bin/sh\nexit 101\n' },
        postinst: 'update-alternatives --install /usr/sbin/policy-rc.d policy-rc.d /usr/share/policy 10',
      }),
    })) {
      const project = machine.project(`policy-${name}`, { 'build.conf': conf, 'packages/policy.deb': deb });
      const run = await build(project);
      expect(run.code, run.stderr).toBe(0);
      expect(listed(project, 'usr/sbin/policy-rc.d').map((line) => line.replace(/^.*\.\/usr/, '/usr'))).toEqual([
        name === 'shipped' ? '/usr/sbin/policy-rc.d' : '/usr/sbin/policy-rc.d -> /etc/alternatives/policy-rc.d',
      ]);
    }
  });
});

describe('a tree that lacks what a Debian has', () => {
  const hook = (text: string): Record<string, string> => ({
    'build.conf': bare,
    'hooks/chroot/99-slim.hook.chroot': `#!/bin/bash\nset -e\n${text}\n`,
  });

  test.each([
    ["dpkg's database", 'rm -rf /var/lib/dpkg'],
    ['dpkg itself', 'dpkg --purge --force-all dpkg'],
    ['temporary folders', 'rm -rf /tmp /var/tmp /run'],
    ['etc', 'rm -rf /etc'],
    [
      'everything that a script needs',
      "rm -rf /home /root /srv /opt /var/lib/dpkg /var/log /usr/share; exec perl -e 'sub clear { my ($at) = @_; if (-d $at && !-l $at) { opendir(my $dir, $at); clear(qq($at/$_)) for grep { !/^\\.\\.?$/ } readdir($dir); rmdir($at) } else { unlink($at) } } clear($_) for qw(/usr/lib /usr/sbin /usr/bin)'",
    ],
  ])('%s', async (name, script) => {
    // A step after it finds a /tmp as on any machine.
    const later =
      name === 'temporary folders' ? { 'hooks/chroot/99-z.hook.chroot': '#!/bin/bash\n[[ $(stat -c %a /tmp) == 1777 ]]\n' } : {};
    const project = machine.project(`slim-${name.replace(/\W/g, '-')}`, { ...hook(script), ...later });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    const { packages, inputs } = manifestSchema.parse(JSON.parse(readFileSync(path.join(project, 'realmfs/manifest.json'), 'utf8')));
    // The project has no realmfs-files.
    expect(inputs.files).toEqual([]);
    expect(packages.length === 0).toBe(script.includes('/var/lib/dpkg'));
    if (name === 'temporary folders') {
      expect(listed(project, ' \\./(tmp|var/tmp|run|run/lock)/$')).toEqual([
        'drwxr-xr-x 0/0 ./run/',
        'drwxrwxrwt 0/0 ./run/lock/',
        'drwxrwxrwt 0/0 ./tmp/',
        'drwxrwxrwt 0/0 ./var/tmp/',
      ]);
    }
  });

  test('links in the place of its folders lead nowhere', async () => {
    const before = machine.snapshot();
    const project = machine.project(
      'links',
      hook(
        'rm -rf /var/tmp /etc/ssh; ln -s "$1" /etc/ssh; for name in /var/tmp /var/log /var/cache/debconf /dev/shm; do rm -rf "$name" 2>/dev/null || true; ln -s "$1" "$name" 2>/dev/null || true; done; rm -f /etc/machine-id; ln -s "$1/home/user/key" /etc/machine-id'.replaceAll(
          '$1',
          path.join(machine.folder, 'canary'),
        ),
      ),
    );
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(await machine.settled(before)).toEqual(before);
  });
});
