import { afterAll, describe, expect, test } from 'vitest';
import { Machine, type Run } from '../helpers/machine.ts';

const machine = new Machine();
afterAll(() => machine.close());

const build = (project: string): Promise<Run> => machine.run(['--no-confirm', '--progress', 'plain', '-t'], { cwd: project });
const inImage = (project: string, file: string): string => machine.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ".$2"', project, file);
/** The base modules, without packages. */
const conf = 'REALMFS_PROFILE=minimal\nBASE_PACKAGES=\ninstall-packages() { :; }\nREALMFS_HOSTNAME=web.example\n';
const hosts = (more = ''): string =>
  `127.0.0.1\tlocalhost\n127.0.1.1\tweb.example web\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n${more}`;
/** The end of an apt source, as the image has it. */
const sources =
  'Types: deb\nURIs: http://mirror.example/own\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n';

describe('what the project brings, and what base modules write', () => {
  test('files of the overlay, a hook or a module stay byte for byte', async () => {
    const files = {
      'etc/hosts': '127.0.0.1 localhost\n10.1.2.3 db.internal\n',
      'etc/locale.gen': 'de_DE.UTF-8 UTF-8\n',
      'etc/locale.conf': 'LANG=de_DE.UTF-8\n',
      'etc/apt/sources.list.d/debian.sources': sources,
      'etc/apt/apt.conf.d/99no-install-recommends': 'APT::Install-Recommends "true";\n',
      'etc/systemd/user.conf.d/50-display-env.conf': '[Manager]\nDefaultEnvironment="DISPLAY=:7"\n',
      'home/user/.bashrc': '# mine\n',
    };
    const project = machine.project('overlay', {
      'build.conf': `${conf}POST_INSTALL_MODULES=last\nlast() { locale -a >/locales; echo "$LANG" >>/locales; }\n`,
      ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`overlay/${name}`, text])),
      'hooks.d/chroot/10-name.chroot_early': '#!/bin/sh\necho box >/etc/hostname\n',
    });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    for (const [name, text] of Object.entries(files)) expect(inImage(project, `/${name}`)).toBe(text);
    expect(inImage(project, '/etc/hostname')).toBe('box\n');
    expect(inImage(project, '/locales')).toBe('C\nC.utf8\nPOSIX\nde_DE.utf8\nde_DE.UTF-8\n');
    expect(run.stderr).toContain("set-hostname: /etc/hostname of the project says 'box', REALMFS_HOSTNAME 'web.example': the file stays");
    expect(run.stderr).toContain('write-apt-sources: /etc/apt/sources.list.d/debian.sources of the project stays');
    expect(run.stderr).not.toContain('overlay/etc/');
  });

  test('a locale.gen alone: its first locale; settings for hosts, time zone and keyboard', async () => {
    const project = machine.project('settings', {
      'build.conf': `${conf}EXTRA_HOSTS="\n10.1.2.3 db.internal db # ours\n"\nREALMFS_TIMEZONE=Europe/Berlin\nREALMFS_KEYMAP=de:nodeadkeys\nPRE_INSTALL_MODULES="again"\nagain() { module set-hostname; }\n`,
      'overlay/etc/locale.gen': '# ours\nfr_FR.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n',
      'overlay/etc/apt/sources.list': 'deb http://mirror.example/own trixie main\n',
    });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(inImage(project, '/etc/hosts')).toBe(hosts('10.1.2.3 db.internal db # ours\n'));
    expect(inImage(project, '/etc/locale.gen')).toBe('# ours\nfr_FR.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n');
    expect(inImage(project, '/etc/locale.conf')).toContain('LANG=fr_FR.UTF-8\n');
    expect(inImage(project, '/etc/timezone')).toBe('Europe/Berlin\n');
    expect(inImage(project, '/etc/default/keyboard')).toContain('XKBLAYOUT="de"\nXKBVARIANT="nodeadkeys"\n');
    expect(inImage(project, '/etc/apt/sources.list')).toBe('deb http://mirror.example/own trixie main\n');
    expect(
      machine.shell(
        'tar -tvf "$1/realmfs/realmfs-rootfs.tar" ./etc/localtime; tar -tf "$1/realmfs/realmfs-rootfs.tar" | grep -c "debian.sources$" || true',
        project,
      ),
    ).toMatch(/ -> \/usr\/share\/zoneinfo\/Europe\/Berlin\n0\n$/);
  });

  test('without any of it: as ever, with the locale that a setting names', async () => {
    const project = machine.project('plain', { 'build.conf': `${conf}REALMFS_LOCALE=de_DE.UTF-8\n` });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(inImage(project, '/etc/hosts')).toBe(hosts());
    expect(inImage(project, '/etc/hostname')).toBe('web.example\n');
    expect(inImage(project, '/etc/locale.conf')).toContain('LANG=de_DE.UTF-8\n');
    expect(
      inImage(project, '/etc/locale.gen')
        .split('\n')
        .filter((line) => !/^(#|$)/.test(line)),
    ).toEqual(['de_DE.UTF-8 UTF-8']);
    expect(inImage(project, '/etc/apt/sources.list.d/debian.sources')).toContain('Suites: trixie trixie-updates\n');
    expect(inImage(project, '/home/user/.bashrc')).toContain('export DISPLAY=:0\n');
    expect(run.stderr).not.toContain('warning');
  });

  test('a number that is taken: what to do', async () => {
    const project = machine.project('taken', {
      'build.conf': conf,
      'hooks.d/chroot/10-group.chroot_early': '#!/bin/sh\ngroupadd --gid 1000 staff2\n',
    });
    const run = await build(project);
    expect(run.code).toBe(1);
    expect(run.lastLine).toContain(
      'create-user: the number 1000 is taken in /etc/group, by staff2; set BASE_PRE_INSTALL_MODULES to a list without create-user to leave the account out',
    );
  });
});
