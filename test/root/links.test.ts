import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildWell } from '../helpers/good-build.ts';
import { bare, Machine } from '../helpers/machine.ts';

/**
 * Links and names in a project. What the builder reads by its name is read inside the project or not at all, and what is
 * checked is what is run; what is content is copied as it is.
 */
const machine = new Machine();
afterAll(() => machine.close());

const SECRET = 'root-only-secret-line';
const outside = path.join(machine.folder, 'outside');
beforeAll(() => {
  machine.project('outside', {
    'secret (': `${SECRET} (\n`,
    'set-hostname': 'touch /who-ran\n',
    'site.conf': `SITE_URL=http://mirror.example\n: ${SECRET}\n`,
    '10-x.hook.chroot': `#!${SECRET}\n`,
    img: `provides ${SECRET}\n`,
    'x.deb': SECRET,
    'x.list.chroot': `${SECRET}()\n`,
  });
  machine.shell('chmod -R go= "$1"', outside);
});

describe('a link out of the project, where the builder reads, is refused by name', () => {
  const cases: [place: string, to: string, conf?: string][] = [
    ['build.conf', 'secret ('],
    ['build.conf', '/proc/self/environ'],
    ['realmfs-modules', '', 'POST_INSTALL_MODULES=set-hostname'],
    ['realmfs-modules/set-hostname', 'set-hostname', 'POST_INSTALL_MODULES=set-hostname'],
    ['realmfs-modules/helper', 'set-hostname', 'POST_INSTALL_MODULES=x\nx() { module helper; }'],
    ['realmfs-files', ''],
    ['site.conf', 'site.conf', '[[ -f site.conf ]] && source "$REALMFS_PROJECT/site.conf"'],
    ['lib', '', 'source lib/site.conf'],
    ['hooks', ''],
    ['hooks/chroot', ''],
    ['hooks/chroot/10-x.hook.chroot', '10-x.hook.chroot'],
    ['hooks.d', ''],
    ['hooks.d/base/series', '', 'IMAGE_TARGETS=img'],
    ['hooks.d/extra/series/img', 'img', 'IMAGE_TARGETS=img'],
    ['hooks.d/chroot', ''],
    ['packages', ''],
    ['packages/x.deb', 'x.deb'],
    ['config', ''],
    ['config/package-lists', ''],
    ['config/package-lists/x.list.chroot', 'x.list.chroot'],
    ['config/preseed', ''],
    ['config/archives', ''],
    ['config/includes.chroot', ''],
    ['config/hooks/normal', ''],
    ['overlay', ''],
    ['overlay.owners', 'site.conf'],
    ['realmfs.env', 'site.conf'],
    ['pins', 'site.conf', 'EXTRA_PINS=pins'],
    ['key.asc', 'site.conf', "EXTRA_SOURCES=$'Types: deb\\nURIs: http://mirror.example/x\\nSuites: x\\nSigned-By: key.asc\\n'"],
  ];
  test.each(cases)('%s -> %s', async (place, to, conf = '') => {
    const project = machine.project(`refused-${cases.findIndex((one) => one[0] === place && one[1] === to)}`, {
      'build.conf': `${bare}${conf}\n`,
      'config/hooks/live/README': '',
      'overlay/x': '',
      'hooks.d/base/README': '',
    });
    const target = to.startsWith('/') ? to : path.join(outside, to);
    machine.shell('cd "$1"; mkdir -p -- "$(dirname -- "$2")"; rm -rf -- "$2"; ln -s -- "$3" "$2"', project, place, target);
    const run = await machine.run(['plan'], { cwd: project });
    expect([run.code, run.stdout], run.stderr).toEqual([2, '']);
    expect(run.lastLine).toContain(path.basename(place));
    expect(run.lastLine).toMatch(place === 'realmfs.env' ? /is not a regular file$/ : /leads out of the project folder, to \//);
    expect(run.stderr).not.toContain(SECRET);
  });

  test("a build says the same, and its log, which is the user's, holds nothing of the file", async () => {
    const project = machine.project('log', { x: '' });
    machine.shell('ln -s "$2" "$1/build.conf"', project, path.join(outside, 'secret ('));
    const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
    expect(run.code).toBe(2);
    expect(run.lastLine).toContain('build.conf: is a link that leads out of the project folder');
    expect(run.stderr + readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8')).not.toContain(SECRET);
  });
});

test('links within the project, links that are content, hidden files and names that are no text', async () => {
  const conf = `${bare}source .secrets
source common.sh
PRE_INSTALL_MODULES=look
POST_INSTALL_MODULES="linked late"
`;
  const { report, run, project } = await buildWell(machine, 'inside', '', {
    files: {
      'conf/site.conf': conf,
      'shared/common.sh': 'FROM_COMMON=common\n',
      '.secrets': 'FROM_SECRETS=secrets\n',
      'shared/modules/look': 'cat "$REALMFS_PROJECT/data" >/report; echo "$FROM_SECRETS $FROM_COMMON" >>/report; WILD=$\'w\\xe9\'',
      'shared/linked': 'install_file 0644 f /opt; cat /opt/f >>/report',
      'shared/late':
        'install_file 0644 $\'caf\\xe9\' /opt; cat /opt/caf* >>/report; ls "$REALMFS_PROJECT"/wild* >>/report; printf %s "$WILD" | od -An -tx1 >>/report',
      'shared/data': 'data\n',
      'shared/files/f': 'file\n',
      'shared/hook': '#!/bin/sh\necho hook >>/report\n',
      'tree/etc/x': '',
    },
    prepare: `rm build.conf; ln -s conf/site.conf build.conf; ln -s shared/common.sh common.sh; ln -s shared/modules realmfs-modules
      ln -s ../linked shared/modules/linked; ln -s ../late shared/modules/late; ln -s shared/data data; ln -s shared/files realmfs-files
      printf 'wild\\n' >$'shared/files/caf\\xe9'; : >$'wild-\\xff'
      mkdir -p hooks; ln -s ../shared/chroot hooks/chroot; mkdir shared/chroot; ln -s ../hook shared/chroot/10-x.hook.chroot
      printf 'a\\xe9' >shared/chroot/._10-x.hook.chroot; ln -s tree overlay; ln -s /usr/share/zoneinfo/UTC tree/etc/localtime
      printf x >$'tree/etc/latin1-\\xe9'; mkdir $'tree/etc/d\\xff'; ln -s $'t\\xe9' $'tree/etc/d\\xff/l\\xe9'; ln -s /nowhere unread; ln -s loop loop`,
  });
  expect(report).toMatch(/^data\nsecrets common\nfile\nwild\n.*\/wild-.*\n 77 e9\nhook\n$/);
  const listed = machine.shell('tar --quoting-style=escape -tvf "$1/realmfs/realmfs-rootfs.tar" | grep -o "[.]/etc/.*"', project);
  expect(listed).toContain('./etc/localtime -> /usr/share/zoneinfo/UTC\n');
  expect(listed).toContain('./etc/latin1-\\351\n');
  expect(listed).toContain('./etc/d\\377/l\\351 -> t\\351\n');
  expect(run.stderr).toContain('hooks/chroot: no chroot hooks, and not run: ._10-x.hook.chroot');
  const manifest = JSON.parse(readFileSync(path.join(project, 'realmfs/manifest.json'), 'utf8'));
  expect(manifest.inputs.files.map(({ file }: { file: string }) => file)).toEqual(['caf\\xe9', 'f']);
  expect(manifest.inputs.modules.map(({ step }: { step: string }) => step)).toContain('post/late');
});

test('names that would steer the terminal are shown, not obeyed', async () => {
  const name = '01-\x1b]0;PWNED\x07\x1b[2J\u009b31m.hook.chroot';
  const project = machine.project('terminal', { 'build.conf': bare, [`hooks/chroot/${name}`]: '#!/bin/sh\ntrue\n' });
  for (const args of [['plan'], ['plan', '--json'], ['make-hooks', `x${name}`], ['inspect', name]]) {
    const run = await machine.run(args, { cwd: project });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(run.stdout + run.stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    if (args[0] === 'plan') expect(run.stdout).toContain(args.length === 1 ? '\\x1b]0;PWNED\\x07\\x1b[2J\\x9b31m' : 'PWNED');
  }
});

test('a folder or a word that is not UTF-8 is named, and nothing else is taken for it', () => {
  const project = machine.project('wild', { 'build.conf': bare });
  const cli = path.resolve(import.meta.dirname, '../../dist/cli.js');
  const run = (script: string) =>
    spawnSync('bash', ['--norc', '-c', `cd "$1"; ${script}`, 'bash', project, process.execPath, cli], { encoding: 'utf8' });
  const moved = run(`mkdir $'caf\\xe9'; cp build.conf caf*; cd caf*; exec "$2" "$3" plan`);
  expect([moved.status, moved.stdout]).toEqual([2, '']);
  expect(moved.stderr).toMatch(/error: the path of the current folder is not UTF-8: .*\/caf\\xe9; give it another name\n$/);
  const named = run(`exec "$2" "$3" plan -d $'out\\xe9'`);
  expect([named.status, named.stdout]).toEqual([2, '']);
  expect(named.stderr).toMatch(/error: out\\xe9: is not UTF-8; give the file another name\n$/);
});

describe('a script that build.conf sources, and that is not there', () => {
  const fault = (place: string, file: string, why = 'is not there, or cannot be read, when') =>
    `realmfs-builder: error: config: ${place}: source: ${file} ${why}`;
  test.each<[string, string, string]>([
    ['hidden, in a folder', 'source .d/x', fault('build.conf:5', '.d/x')],
    ['in a script of its own', 'source common.sh', fault('common.sh:2', './gone.sh')],
    ['of the machine', `source '${outside}/site.conf'`, fault('build.conf:5', `${outside}/site.conf`, 'lies outside the project')],
    ['of the machine, and usual', 'source /etc/os-release', fault('build.conf:5', '/etc/os-release', 'lies outside the project')],
  ])('%s', async (name, line, message) => {
    const project = machine.project(`source-${name.replaceAll(/\W/g, '')}`, {
      'build.conf': `${bare}${line}\n`,
      'common.sh': 'true\nsource ./gone.sh 2>/dev/null\n',
      '.d/x': '',
    });
    const run = await machine.run(['plan'], { cwd: project });
    expect([run.code, run.lastLine.slice(0, message.length)]).toEqual([2, message]);
  });

  test('beside the programs of the machine, which the image has not: the first step ends', async () => {
    const project = machine.project('source-host', {
      'build.conf': `${bare}PRE_INSTALL_MODULES=x\nx() { :; }\nsource /usr/local/realmfs-test.conf\n`,
    });
    machine.shell('mount -t tmpfs local /usr/local; echo SITE=1 >/usr/local/realmfs-test.conf');
    const run = await machine.run(['--no-confirm', '-t'], { cwd: project });
    machine.shell('umount /usr/local');
    expect([run.code, run.lastLine]).toEqual([1, expect.stringContaining('source: /usr/local/realmfs-test.conf lies outside')]);
  });
});
