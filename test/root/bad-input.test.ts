import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type FailingOptions, failingBuild } from '../helpers/failing-build.ts';
import { buildWell, type GoodBuildArguments, looking } from '../helpers/good-build.ts';
import { bare, Machine } from '../helpers/machine.ts';

/**
 * What people write into build.conf, put into projects, or have around them. What is wrong ends with
 * one clear line; what is legal has the right result. Faults that need no build are in
 * test/unit/bad-input, what is around a build and must not matter in test/long/surroundings.
 */
const machine = new Machine();
afterAll(() => machine.close());

const config = 'realmfs-builder: error: config: ';
/** The first line after the four of `bare`. */
const line5 = `${config}build.conf:5: `;

const goodBuild = (...args: GoodBuildArguments) => buildWell(machine, ...args);

describe('build.conf', () => {
  describe('is refused', () => {
    const cases: [string, string | Buffer, string | RegExp, FailingOptions?][] = [
      ['missing', '', 'realmfs-builder: error: gone.conf: there is no such file or command', { args: ['gone.conf'] }],
      ['directory', '', 'realmfs-builder: error: build.conf: is not a regular file', { prepare: 'rm build.conf; mkdir build.conf' }],
      ['FIFO', '', 'realmfs-builder: error: build.conf: is not a regular file', { prepare: 'rm build.conf; mkfifo build.conf' }],
      ['10 MB', `${bare}#${'x'.repeat(10 * 1024 ** 2)}\n`, `${config}build.conf: is larger than 4 MiB`],
      ['CRLF', `${bare}X=1\r\n`, `${line5}has Windows line ends`],
      ['NUL', `${bare}X=\0\n`, `${line5}holds a NUL byte`],
      ['BOM', `\ufeff${bare}`, `${config}build.conf:1: begins with a byte order mark`],
      [
        'Latin-1 in a setting',
        Buffer.from(`${bare}REALMFS_USER_PASSWORD=caf\xe9\n`, 'latin1'),
        `${line5}REALMFS_USER_PASSWORD: holds bytes that are no UTF-8`,
      ],
      ['unclosed quote', `${bare}X="\n`, /^realmfs-builder: error: config: build\.conf:\d: unexpected EOF/],
      ['NOCACHE_STEPS of no step', `${bare}NOCACHE_STEPS="packages nope"\n`, `${config}NOCACHE_STEPS: there is no step nope (packages)`],
      ['syntax error', `${bare}if true\n`, /^realmfs-builder: error: config: build\.conf:6: syntax error/],
      ['exit', `${bare}exit 0\n`, `${config}build.conf: ended with exit code 0 before its last line: does it call exit or exec?`],
      ['exec', `${bare}exec true\n`, `${config}build.conf: ended with exit code 0 before its last line: does it call exit or exec?`],
      ['infinite loop', `${bare}while :; do :; done\n`, `${config}build.conf: did not end within 10 s`],
      ['${X:?}', `${bare}echo "\${X:?is needed}"\n`, `${line5}ended with exit code 1 before its last line: X: is needed`],
      [
        'set -u and a variable that is not there',
        `${bare}set -u\necho "$X"\n`,
        `${config}build.conf:6: ended with exit code 1 before its last line: X: unbound variable`,
      ],
      ['fatal', `${bare}fatal "not like this"\n`, `${line5}ended with exit code 1 before its last line: not like this`],
      [
        'readonly of a list',
        `${bare}readonly PACKAGES=x\n`,
        `${config}build.conf: ended with exit code 1 before its last line: build.conf: PACKAGES is readonly, so that the base list cannot join it`,
      ],
      ['readonly IFS', `${bare}readonly IFS\n`, `${config}build.conf: ended with exit code 1 before its last line: IFS is readonly`],
      [
        'readonly without a value',
        `${bare}readonly DEBIAN_RELEASE\n`,
        `${config}build.conf: ended with exit code 1 before its last line: DEBIAN_RELEASE is readonly in build.conf, but has no value`,
      ],
      [
        'REALMFS_CACHE_DIR, for which it is too late',
        `${bare}REALMFS_CACHE_DIR=/x\n`,
        `${line5}REALMFS_CACHE_DIR: build.conf comes too late for it`,
      ],
      ['DEBIAN_RELEASE empty', `${bare}DEBIAN_RELEASE=\n`, `${line5}DEBIAN_RELEASE: '' is no suite name`],
      ['DEBIAN_RELEASE ../../x', `${bare}DEBIAN_RELEASE=../../x\n`, `${line5}DEBIAN_RELEASE: '../../x' is no suite name`],
      ['DEBIAN_RELEASE a b', `${bare}DEBIAN_RELEASE="a b"\n`, `${line5}DEBIAN_RELEASE: 'a b' is no suite name`],
      ['DEBIAN_RELEASE -x', `${bare}DEBIAN_RELEASE=-x\n`, `${line5}DEBIAN_RELEASE: '-x' is no suite name`],
      ['DEBIAN_RELEASE unicode', `${bare}DEBIAN_RELEASE=trixié\n`, `${line5}DEBIAN_RELEASE: 'trixié' is no suite name`],
      ['DEBIAN_RELEASE newline', `${bare}DEBIAN_RELEASE=$'trixie\\nx'\n`, `${line5}DEBIAN_RELEASE: 'trixie x' is no suite name`],
      [
        'DEBIAN_RELEASE unknown',
        `${bare}DEBIAN_RELEASE=trixy\n`,
        `${line5}DEBIAN_RELEASE: debootstrap knows no suite trixy; did you mean trixie?`,
      ],
      ['DEBIAN_RELEASE as an array', `${bare}DEBIAN_RELEASE=(trixie sid)\n`, `${line5}DEBIAN_RELEASE: is an array, but must be one string`],
      ['mirror no scheme', `${bare}DEBIAN_MIRROR=mirror.example/debian\n`, `${line5}DEBIAN_MIRROR: 'mirror.example/debian' is no URL`],
      ['mirror file:', `${bare}DEBIAN_MIRROR=file:///srv/debian\n`, `${line5}DEBIAN_MIRROR: 'file:///srv/debian' is no http or https URL`],
      [
        'mirror ssh:-oProxy',
        `${bare}DEBIAN_MIRROR=ssh:-oProxyCommand=touch\n`,
        `${line5}DEBIAN_MIRROR: 'ssh:-oProxyCommand=touch' is no http or https URL`,
      ],
      [
        'mirror spaces',
        `${bare}DEBIAN_MIRROR="http://mirror.example/a b"\n`,
        `${line5}DEBIAN_MIRROR: 'http://mirror.example/a b' is no mirror: it holds white space or quotes`,
      ],
      [
        'mirror quotes',
        `${bare}DEBIAN_MIRROR="http://mirror.example/'"\n`,
        `${line5}DEBIAN_MIRROR: 'http://mirror.example/'' is no mirror: it holds white space or quotes`,
      ],
    ];
    test.each(cases)('%s', async (name, conf, cause, options = {}) => {
      await failingBuild(machine, `conf-${name.replaceAll(/\W/g, '-')}`, conf, 2, cause, options);
    });
  });
});

describe('build.conf is taken as bash takes it', () => {
  const show = 'printf "%s\\n" "$DEBIAN_RELEASE" "${PACKAGES[*]}" "$REALMFS_HOSTNAME" >/report';
  const cases: [string, string | Buffer, string, FailingOptions?][] = [
    [
      'empty, and the lists by --set',
      '',
      'subgraph\n',
      {
        args: ['BASE_PACKAGES', 'BASE_PRE_INSTALL_MODULES', 'BASE_POST_INSTALL_MODULES'].flatMap((key) => ['--set', `${key}=`]),
        files: { 'realmfs-modules/install-packages': 'printf "%s\\n" "$REALMFS_HOSTNAME" >/report\n' },
      },
    ],
    [
      'missing, with parts of a project',
      '',
      'named-in-env\n',
      {
        prepare: 'rm build.conf',
        args: ['BASE_PACKAGES', 'BASE_PRE_INSTALL_MODULES', 'BASE_POST_INSTALL_MODULES'].flatMap((key) => ['--set', `${key}=`]),
        files: {
          'realmfs.env': 'REALMFS_HOSTNAME=named-in-env\n',
          'realmfs-modules/install-packages': 'printf "%s\\n" "$REALMFS_HOSTNAME" >/report\n',
        },
      },
    ],
    ['unreadable for others', looking('', 'echo read >/report'), 'read\n', { prepare: 'chmod 000 build.conf' }],
    [
      'Latin-1 in a comment and in a variable that is no setting',
      Buffer.from(looking('# caf\xe9\nDRINK=caf\xe9\n', 'printf %s "$DRINK" | od -An -tx1 >/report'), 'latin1'),
      ' 63 61 66 e9\n',
    ],
    ['return ends it early', looking('REALMFS_HOSTNAME=before\nreturn 0\nREALMFS_HOSTNAME=after\n', show), 'trixie\n\nbefore\n'],
    ['a failing command does not count', looking('false\nmissing-program\nREALMFS_HOSTNAME=after\n', show), 'trixie\n\nafter\n'],
    ['rm -rf / at top level', looking('rm -rf /\n', show), 'trixie\n\nsubgraph\n'],
    [
      'reads stdin',
      looking('read -r REALMFS_NAME\nread -r X || REALMFS_HOSTNAME=end-of-file\n[[ -n $REALMFS_NAME ]] || REALMFS_NAME=x\n', show),
      'trixie\n\nend-of-file\n',
    ],
    [
      'sets PATH',
      looking('export PATH=/opt/bin\n', 'echo "$PATH" >/report; install_file 0644 f /opt'),
      '/opt/bin\n',
      { files: { 'realmfs-files/f': '' } },
    ],
    [
      'sets LD_PRELOAD',
      looking('export LD_PRELOAD=/nowhere.so\n', 'cat /proc/self/environ | tr "\\0" "\\n" | grep LD_PRELOAD >/report'),
      'LD_PRELOAD=/nowhere.so\n',
    ],
    [
      'sets IFS',
      looking(
        "IFS=,\nPACKAGES='a b'\nPACKAGES=($PACKAGES c)\nDEBIAN_COMPONENTS=(main non-free-firmware)\n",
        'printf "<%s>" "${PACKAGES[@]}" "$DEBIAN_COMPONENTS" >/report; A=1,2; set -- $A; echo $# >>/report',
      ),
      '<a><b><c><main non-free-firmware>2\n',
    ],
    [
      'sets BASH_ENV',
      looking('export BASH_ENV=$REALMFS_PROJECT/env.sh\n', 'bash -c \'echo "$FROM_ENV"\' >/report'),
      'set\n',
      { files: { 'env.sh': 'FROM_ENV=set\n' } },
    ],
    [
      'sets REALMFS_PROJECT',
      looking('REALMFS_PROJECT=/nowhere\nPRE_INSTALL_MODULES+=" file"\n', 'install_file 0644 report /'),
      'text\n',
      { files: { 'realmfs-modules/file': ':', 'realmfs-files/report': 'text\n' } },
    ],
    ['arrays', looking('PACKAGES=(a "b c")\n', 'printf "<%s>" "${PACKAGES[@]}" >/report'), '<a><b><c>'],
    ['+=', looking('PACKAGES=a\nPACKAGES+=" b"\nREALMFS_HOSTNAME=w\nREALMFS_HOSTNAME+=eb\n', show), 'trixie\na b\nweb\n'],
    [
      'heredoc with look-alike assignments: only bash decides, static reading finds lines for messages',
      looking('cat <<END >/dev/null\nDEBIAN_RELEASE=../x\nPACKAGES="no such"\nEND\n: "\nREALMFS_HOSTNAME=no\n"\n', show),
      'trixie\n\nsubgraph\n',
    ],
    [
      'exported functions',
      looking('helper() { echo "helped $1"; }\nexport -f helper\n', 'bash -c "helper in-a-child" >/report'),
      'helped in-a-child\n',
    ],
    [
      'readonly of our names',
      looking(
        'readonly name=n line=l path=p file=f target=t mode=m found=o folder=d flags=g text=x now=w planned=q i=3 value=v key=k message=y\nreadonly REALMFS_HOSTNAME=fixed\nPRE_INSTALL_MODULES+=" more"\nmore() { install_file 0644 sub/file /opt; helper; }\n',
        'helper() { echo "$name $REALMFS_HOSTNAME $(cat /opt/sub/file)" >/report; }',
      ),
      'n fixed text\n',
      { files: { 'realmfs-files/sub/file': 'text' } },
    ],
    ['redefines module', looking('module() { :; }\n', 'module nothing; echo run >/report'), 'run\n'],
    ['redefines info', looking('info() { echo "mine: $*" >>/report; }\n', 'info hello'), 'mine: hello\n'],
    [
      'redefines install_file',
      looking('install_file() { echo "mine: $*" >/report; }\n', 'install_file 0644 none /'),
      'mine: 0644 none /\n',
    ],
    ['mirror empty: the mirror is found out', looking('DEBIAN_MIRROR=\n', '[[ $DEBIAN_MIRROR == http* ]]; echo found >/report'), 'found\n'],
    [
      'umask, options and traps',
      looking('umask 077\nset -f\nshopt -s nullglob failglob nocasematch\ntrap "echo bye" EXIT DEBUG\n', 'umask >/report'),
      '0077\n',
    ],
    ['set -e and -o pipefail', looking('set -eEuo pipefail\n', 'echo "$REALMFS_NAME" >/report'), 'base\n'],
  ];
  test.each(cases)('%s', async (name, conf, report, options = {}) => {
    const build = await goodBuild(`taken-${name.replaceAll(/\W/g, '-')}`, conf, options);
    expect(build.report).toBe(report);
  });

  test('prints 1 GB and more: ended after 10 s, with a small log', async () => {
    await failingBuild(machine, 'prints', `${bare}yes "$(printf 'x%.0s' {1..1000})"\n`, 2, `${config}build.conf: did not end within 10 s`);
    expect(statSync(path.join(machine.folder, 'prints/realmfs/realmfs-build.log')).size).toBeLessThan(80 * 1024 ** 2);
  });

  test('rm -rf / with --no-preserve-root, while it is evaluated: nothing can be removed', async () => {
    const conf = looking('[[ -e /dev/realmfs/in ]] || timeout 5 rm -rf --no-preserve-root / 2>/dev/null\n', 'echo there >/report');
    expect((await goodBuild('rm-rf-evaluated', conf)).report).toBe('there\n');
  });

  test('rm -rf /* at top level, where it would hit: the host and the result are untouched', async () => {
    await failingBuild(
      machine,
      'rm-rf',
      `${bare}PRE_INSTALL_MODULES=look\nlook() { :; }\n[[ ! -e /dev/realmfs/in ]] || rm -rf --no-preserve-root /\n`,
      1,
      'realmfs-builder: error: pre/look: ',
    );
  });

  test('redefines fatal: what the framework finds is still the end of the build', async () => {
    await failingBuild(
      machine,
      'own-fatal',
      looking('fatal() { echo "never mind"; }\n', 'install_file 0644 none /etc'),
      1,
      'realmfs-builder: error: pre/look: install_file: there is no file none in realmfs-files',
    );
  });

  test.each([
    ['userinfo', 'http://user:secret@127.0.0.1:9/debian', 'http://***@127.0.0.1:9/debian'],
    ['IPv6', 'http://[::1]:9/debian', 'http://[::1]:9/debian'],
    ['trailing slashes', 'http://127.0.0.1:9/debian///', 'http://127.0.0.1:9/debian'],
  ])('mirror %s: it is asked, and named without what is secret', async (name, mirror, shown) => {
    const real = new Machine({ realDebootstrap: true });
    try {
      const project = real.project('mirror', { 'build.conf': `${bare}DEBIAN_MIRROR=${mirror}\n` });
      const run = await real.run(['--no-confirm', '-v', '--debug'], { cwd: project });
      const log = readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8');
      expect(run.code, name).toBe(4);
      expect(run.lastLine).toContain(`realmfs-builder: error: bootstrap: ${shown}/dists/trixie/InRelease cannot be fetched: `);
      expect(run.stderr + log).not.toContain('secret');
    } finally {
      real.close();
    }
  });
});

describe('modules', () => {
  const listed = (name: string): string => `${bare}PRE_INSTALL_MODULES=${name}\n`;
  const refused: [string, string, string | RegExp, FailingOptions?][] = [
    ['missing', listed('set-hostnam'), `${line5}PRE_INSTALL_MODULES: there is no module set-hostnam; did you mean set-hostname?`],
    [
      'directory',
      listed('folder'),
      `${line5}PRE_INSTALL_MODULES: there is no module folder`,
      { files: { 'realmfs-modules/folder/x': '' } },
    ],
    [
      'CRLF',
      listed('bad'),
      `${config}realmfs-modules/bad:2: has Windows line ends (CRLF)`,
      { files: { 'realmfs-modules/bad': 'true\ntrue\r\n' } },
    ],
    ['NUL', listed('bad'), `${config}realmfs-modules/bad:2: holds a NUL byte`, { files: { 'realmfs-modules/bad': 'true\n\0\n' } }],
    [
      'BOM',
      listed('bad'),
      `${config}realmfs-modules/bad:1: begins with a byte order mark`,
      { files: { 'realmfs-modules/bad': '\ufefftrue\n' } },
    ],
    ['syntax error', listed('bad'), `${config}realmfs-modules/bad:2: syntax error`, { files: { 'realmfs-modules/bad': 'if true\n' } }],
    [
      'FIFO',
      listed('bad'),
      `${config}realmfs-modules/bad: is not a regular file`,
      { prepare: 'mkdir realmfs-modules; mkfifo realmfs-modules/bad' },
    ],
    [
      'link out of the project',
      listed('bad'),
      `${config}realmfs-modules/bad: is a link that leads out of the project folder, to ../../x: copy what it leads to into the project`,
      { prepare: 'mkdir realmfs-modules; ln -s ../../x realmfs-modules/bad' },
    ],
    [
      'names with spaces',
      listed('("a b")'),
      `${line5}PRE_INSTALL_MODULES: there is no module a (and 1 more above)`,
      { files: { 'realmfs-modules/a b': '' } },
    ],
    ['names with quotes', listed(`"a'b"`), `${line5}PRE_INSTALL_MODULES: 'a'b' is no module name`],
    ['names with newline', listed(`$'a\\nb'`), `${line5}PRE_INSTALL_MODULES: there is no module a (and 1 more above)`],
    [
      'names with unicode',
      listed('modulé'),
      `${line5}PRE_INSTALL_MODULES: 'modulé' is no module name`,
      { files: { 'realmfs-modules/modulé': '' } },
    ],
    [
      'names with leading dash',
      listed('-rf'),
      `${line5}PRE_INSTALL_MODULES: '-rf' is no module name`,
      { files: { 'realmfs-modules/-rf': '' } },
    ],
    ['names with ..', listed('..'), `${line5}PRE_INSTALL_MODULES: '..' is no module name`],
    ['names with /', listed('/etc/profile'), `${line5}PRE_INSTALL_MODULES: '/etc/profile' is no module name`],
    ['names with a command', listed(`'a;b $(c) \`d\`'`), `${line5}PRE_INSTALL_MODULES: 'a;b' is no module name (and 2 more above)`],
    [
      'same name as a function of the framework',
      listed('info'),
      `${line5}PRE_INSTALL_MODULES: 'info' is no module name`,
      { files: { 'realmfs-modules/info': '' } },
    ],
    [
      'same name as a hidden function of the framework',
      listed('__realmfs_fatal'),
      `${line5}PRE_INSTALL_MODULES: '__realmfs_fatal' is no module name`,
    ],
  ];
  test.each(refused)('%s: refused before anything is built', async (name, conf, cause, options = {}) => {
    const run = await failingBuild(machine, `module-${name.replaceAll(/\W/g, '-')}`, conf, 2, cause, options);
    expect(run.stderr).not.toContain('bootstrap');
  });

  const failing: [string, string, string][] = [
    ['exit 0', 'exit 0', 'realmfs-builder: error: pre/bad: module bad ended the shell before it was complete'],
    [
      'unset var, under set -u',
      'set -u; echo "$UNSET"',
      'realmfs-builder: error: pre/bad: module bad failed with exit code 1 before it was complete: realmfs-modules/bad: line 1: UNSET: unbound variable',
    ],
    ['missing, called by another', 'true\nmodule gone', "realmfs-builder: error: pre/bad: module: there is no module 'gone'"],
    [
      'missing, called by another in a command substitution',
      'x=$(module gone || true)',
      "realmfs-builder: error: pre/bad: module: there is no module 'gone'",
    ],
    ['names with .., called by another', 'module ../x', "realmfs-builder: error: pre/bad: module: '../x' is not a module name"],
  ];
  test.each(failing)('%s: the build fails', async (name, body, cause) => {
    await failingBuild(machine, `failing-${name.replaceAll(/\W/g, '-')}`, listed('bad'), 1, cause, {
      files: { 'realmfs-modules/bad': body },
    });
  });

  const good: [string, string, string, FailingOptions][] = [
    [
      'not readable, not executable: sourced all the same',
      `${bare}PRE_INSTALL_MODULES=plain\n`,
      'plain\n',
      { files: { 'realmfs-modules/plain': 'echo plain >/report' }, prepare: 'chmod 000 realmfs-modules/plain' },
    ],
    ['unset var is empty', looking('', 'echo "[$UNSET]" >/report'), '[]\n', {}],
    [
      'function and file with the same name: the function',
      looking('', 'echo function >/report'),
      'function\n',
      { files: { 'realmfs-modules/look': 'echo file >/report' } },
    ],
    [
      'two dirs with the same name: the project, not the built-in one',
      `${bare}PRE_INSTALL_MODULES=set-hostname\n`,
      'project\n',
      { files: { 'realmfs-modules/set-hostname': 'echo project >/report' } },
    ],
    [
      'shell builtin as a file: test, cd, exit',
      `${bare}PRE_INSTALL_MODULES="test cd exit"\n`,
      'test\ncd\nexit\n',
      {
        files: {
          'realmfs-modules/test': 'echo test >>/report',
          'realmfs-modules/cd': 'echo cd >>/report',
          'realmfs-modules/exit': 'echo exit >>/report',
        },
      },
    ],
    [
      '5,000 modules in the folder, all called',
      looking('', 'for i in {1..5000}; do module "m$i"; done; echo "$COUNT" >/report'),
      '5000\n',
      { files: Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`realmfs-modules/m${at + 1}`, 'COUNT=$((COUNT + 1))\n'])) },
    ],
  ];
  test.each(good)('%s', async (name, conf, report, options) => {
    expect((await goodBuild(`good-${name.replaceAll(/\W/g, '-')}`, conf, options)).report).toBe(report);
  });

  test('shell builtin as a function: each runs once, and disturbs nothing', async () => {
    const names =
      'test cd source set read printf local trap exit unset declare eval return shift true echo kill umask continue export shopt command install mkdir realpath rm cat grep cmp cp sort sed'.split(
        ' ',
      );
    const functions = names.map((name) => `${name}() { /bin/echo "${name} $STATE" >>/report; STATE=$((STATE + 1)); }\n`).join('');
    const conf = `${bare}STATE=0\nPRE_INSTALL_MODULES="moves ${names.join(' ')} last"\nmoves() {\n    cd /usr/lib\n    umask 027\n}\n`;
    const { report } = await goodBuild(
      'builtins',
      `${conf}last() { install_file 0644 some/file /opt; /bin/echo "$PWD $STATE" >>/report; }\n${functions}`,
      { files: { 'realmfs-files/some/file': 'x' } },
    );
    // cd and umask are the user's functions for his modules, too: `moves` has called them.
    expect(report).toBe(['cd 0', 'umask 1', ...names.map((name, at) => `${name} ${at + 2}`), `/ ${names.length + 2}`, ''].join('\n'));
  });

  test('5,000 modules in the list, none of which is there: all are named', async () => {
    const names = Array.from({ length: 5000 }, (_, at) => `none${at}`);
    const run = await failingBuild(
      machine,
      'many-modules',
      `${bare}PRE_INSTALL_MODULES="${names.join(' ')}"\n`,
      2,
      `${line5}PRE_INSTALL_MODULES: there is no module none0 (and 4999 more above)`,
    );
    expect(run.stderr.match(/there is no module none\d+$/gm)?.length).toBe(5000);
  });

  test('every problem of a configuration at once, and nothing is fetched', async () => {
    const conf = `${bare}DEBIAN_RELEASE=a/b\nDEBIAN_MIRROR="x y"\nPRE_INSTALL_MODULES="nope crlf nul nada"\nIMAGE_FREE_SPACE=much\nNETWORK=maybe\n`;
    const run = await failingBuild(machine, 'all-problems', conf, 2, `${line5}DEBIAN_RELEASE: 'a/b' is no suite name (and 7 more above)`, {
      files: { 'realmfs-modules/crlf': 'x\r\n', 'realmfs-modules/nul': '\0' },
    });
    for (const line of [
      'build.conf:5: DEBIAN_RELEASE',
      'build.conf:6: DEBIAN_MIRROR',
      'build.conf:7: PRE_INSTALL_MODULES: there is no module nope',
      'realmfs-modules/crlf:1',
      'realmfs-modules/nul:1',
      'there is no module nada',
      'build.conf:8: IMAGE_FREE_SPACE',
      'build.conf:9: NETWORK',
    ])
      expect(run.stderr).toContain(line);
    expect(run.stderr).not.toContain('bootstrap');
  });

  test('a module that redefines a function of the framework, and one that leaves set +e behind, are named', async () => {
    const conf = `${bare}PRE_INSTALL_MODULES="first second look"\nfirst() { fatal() { :; }; module() { :; }; }\nsecond() { set +e; false; }\nlook() { echo run >/report; }\n`;
    const { run, report } = await goodBuild('named', conf);
    expect(run.stderr).toContain(
      'pre/first: warning: first redefines a function of the framework (module, info, warn, fatal or install_file)',
    );
    expect(run.stderr).toContain('pre/second: warning: second leaves set +e behind; it is set again for the next module');
    expect(run.stderr.match(/warning: /g)).toHaveLength(2);
    // The next modules were run all the same.
    expect(report).toBe('run\n');
  });
});

describe('install_file', () => {
  const installing = `${bare}PRE_INSTALL_MODULES=bad\nbad() {\n    install_file 0644 thing /etc\n}\n`;

  test('source of 3 GB: the project is refused before anything is copied', async () => {
    await failingBuild(
      machine,
      'large',
      installing,
      2,
      `${config}the project folder holds 3.0 GiB, more than 2.0 GiB: give build.conf a folder of its own`,
      {
        prepare: 'mkdir realmfs-files; truncate -s 3G realmfs-files/thing',
      },
    );
  });

  test.each([
    ['source missing', ':', 'there is no file thing in realmfs-files'],
    ['source directory', 'mkdir -p realmfs-files/thing', 'thing is a folder'],
    ['source FIFO: nothing waits for it', 'mkdir realmfs-files; mkfifo realmfs-files/thing', 'thing is not a regular file'],
    ['source device', 'mkdir realmfs-files; mknod realmfs-files/thing b 7 0', 'thing is not a regular file'],
    [
      'source symlink out of the files dir',
      'mkdir realmfs-files; ln -s /etc/shadow realmfs-files/thing',
      'thing is a link that leads out of realmfs-files',
    ],
  ])('%s: the build fails', async (name, prepare, cause) => {
    await failingBuild(
      machine,
      `install-${name.replaceAll(/\W/g, '-')}`,
      installing,
      1,
      `realmfs-builder: error: pre/bad: install_file: ${cause}`,
      { prepare },
    );
  });
});

describe('lists', () => {
  const packages = (list: string): string =>
    `BASE_PACKAGES=\nBASE_PRE_INSTALL_MODULES=\nBASE_POST_INSTALL_MODULES=\nPACKAGES=${list}\nPOST_INSTALL_MODULES=look\nlook() { dpkg-query --show --showformat='\${db:Status-Abbrev}\${Package}\n' less tree locales 2>/dev/null | grep ^ii >/report || true; }\n`;

  test.each([
    ['unknown packages are all named', '"less no-such-one no-such-two"', 'unknown packages: no-such-one, no-such-two'],
    ['-oDPkg:: is the name of a package, not an option', '-oDPkg::Pre-Invoke::=reboot', 'unknown package: -oDPkg::Pre-Invoke::; log: '],
    [
      '--allow-unauthenticated is the name of a package, not an option',
      '--allow-unauthenticated',
      'unknown package: --allow-unauthenticated',
    ],
    ['; is data', "'less;touch'", 'unknown package: less;touch'],
    ['$() is data', "'$(touch${IFS}pwned)'", 'unknown package: $(touch${IFS}pwned)'],
    ['backticks are data', "'`reboot`'", 'unknown package: `reboot`'],
    ['virtual', 'mail-transport-agent', 'unknown package: mail-transport-agent'],
    ['pkg=version that is not there', 'less=0.1', 'unknown package: less=0.1'],
    ['pkg/suite that is not there', 'less/no-such-suite', 'unknown package: less/no-such-suite'],
    ['~n pattern that fits nothing', '"~n^no-such-one$"', 'unknown package: ~n^no-such-one$'],
    ['a glob that fits nothing', '"no-such-*"', 'unknown package: no-such-*'],
    ['5,000 packages that are not there', `"$(printf 'none%s ' {1..5000})"`, 'unknown packages: none1, none2, none3, '],
  ])('%s', async (name, list, cause) => {
    const run = await failingBuild(
      machine,
      `list-${name.replaceAll(/\W/g, '-')}`,
      packages(list),
      2,
      `realmfs-builder: error: packages: ${cause}`,
    );
    expect(run.stderr).not.toMatch(/^.*Get:\d+ .*\.deb/m);
  });

  test.each([
    ['duplicates', '"tree tree less tree"', 'ii less\nii locales\nii tree\n'],
    ['5,000 packages, the same ones over and over', `"$(printf 'tree less %.0s' {1..2500})"`, 'ii less\nii locales\nii tree\n'],
    ['pkg=version', `'tree=*'`, 'ii locales\nii tree\n'],
    ['pkg/suite', 'tree/trixie', 'ii locales\nii tree\n'],
    ['pkg- removes it', '"less locales-"', 'ii less\n'],
    ['~n pattern', `'~n^tree$'`, 'ii locales\nii tree\n'],
    ['words of strings and arrays, with tabs and newlines', `("tree" $'\\n\\tless  ' "")`, 'ii less\nii locales\nii tree\n'],
  ])('%s: taken as apt takes it', async (name, list, report) => {
    expect((await goodBuild(`packages-${name.replaceAll(/\W/g, '-')}`, packages(list))).report).toBe(report);
  });
});

describe('realmfs.env', () => {
  const env = 'realmfs-builder: error: config: realmfs.env';
  test.each([
    [
      'unknown key',
      'printf "DEBIAN_RELEAS=trixie\\nREALMFS_NAME=x\\n" >realmfs.env',
      `${env}: DEBIAN_RELEAS: unknown setting; did you mean DEBIAN_RELEASE?`,
    ],
    ['PATH', 'echo PATH=/evil >realmfs.env', `${env}: PATH: unknown setting`],
    ['NODE_OPTIONS', 'echo NODE_OPTIONS=--require=/evil.js >realmfs.env', `${env}: NODE_OPTIONS: unknown setting`],
    ['LD_PRELOAD', 'echo LD_PRELOAD=/evil.so >realmfs.env', `${env}: LD_PRELOAD: unknown setting`],
    ['http_proxy', 'echo http_proxy=http://mirror.example >realmfs.env', `${env}: http_proxy: unknown setting`],
    [
      'a line that is no KEY=value',
      'printf "# mine\\nREALMFS_NAME=x\\n\\nDEBIAN_RELEASE bookworm\\n" >realmfs.env',
      `${env}:4: is no KEY=value`,
    ],
    [
      'foreign owner',
      'echo REALMFS_NAME=x >realmfs.env; chown 1234 realmfs.env',
      `${env}: belongs neither to root nor to the user behind sudo`,
    ],
    ['world-writable', 'echo REALMFS_NAME=x >realmfs.env; chmod 0666 realmfs.env', `${env}: can be written by everybody`],
    ['link', 'echo REALMFS_NAME=x >other; ln -s other realmfs.env', `${env}: is not a regular file`],
    ['directory', 'mkdir realmfs.env', `${env}: is not a regular file`],
    ['FIFO', 'mkfifo realmfs.env', `${env}: is not a regular file`],
    ['a wrong value', "echo 'DEBIAN_RELEASE=$(reboot)' >realmfs.env", `${env}: DEBIAN_RELEASE: '$(reboot)' is no suite name`],
    [
      'REALMFS_CACHE_DIR relative',
      'echo REALMFS_CACHE_DIR=cache >realmfs.env',
      "realmfs-builder: error: REALMFS_CACHE_DIR: 'cache' is no absolute path",
    ],
  ])('%s', async (name, prepare, cause) => {
    // Nothing of the caller's environment may stand in the way of the file.
    await failingBuild(machine, `env-${name.replaceAll(/\W/g, '-')}`, bare, 2, cause, {
      prepare,
      ...(name.startsWith('REALMFS_CACHE') ? { via: ['env', '-u', 'REALMFS_CACHE_DIR'] } : {}),
    });
  });

  test('every problem at once', async () => {
    const run = await failingBuild(machine, 'env-all', bare, 2, `${env}:1: is no KEY=value (and 2 more above)`, {
      files: { 'realmfs.env': 'junk\nPATH=x\nFOO=y\n' },
    });
    expect(run.stderr).toContain('realmfs.env: PATH: unknown setting');
    expect(run.stderr).toContain('realmfs.env: FOO: unknown setting');
  });

  test('expansion is text, quotes and comments are those of dotenv', async () => {
    const text = '# defaults\nexport REALMFS_USER_PASSWORD=\'$HOME `id` $(id) ${X}\' # note\nREALMFS_NAME="from-env"\nPACKAGES="a\nb"\n';
    const { report } = await goodBuild(
      'env-text',
      looking('', 'printf "%s|%s|%s" "$REALMFS_USER_PASSWORD" "$REALMFS_NAME" "$PACKAGES" >/report'),
      { files: { 'realmfs.env': text } },
    );
    expect(report).toBe('$HOME `id` $(id) ${X}|from-env|a b');
  });

  test('the user behind sudo may own it', async () => {
    const { report } = await goodBuild('env-sudo', looking('', 'echo "$REALMFS_NAME" >/report'), {
      prepare: 'echo REALMFS_NAME=mine >realmfs.env; chown 1234 realmfs.env',
      env: { SUDO_UID: '1234', SUDO_GID: '1234' },
    });
    expect(report).toBe('mine\n');
  });
});

describe('CLI and place', () => {
  const shell = (script: string): string[] => ['bash', '--norc', '-c', `${script}`, 'via'];
  /** Runs the command where the current folder is a file system of its own, read-only. */
  const readOnly = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    ...shell('mount --bind . .; mount -o remount,bind,ro .; cd "$PWD"; exec "$@"'),
  ];

  describe('is refused', () => {
    const cases: [string, number, string | RegExp, FailingOptions][] = [
      [
        'cwd deleted',
        2,
        'realmfs-builder: error: the current folder has been removed; change to another one',
        { via: shell('mkdir gone; cd gone; rmdir ../gone; exec "$@"') },
      ],
      [
        'cwd on read-only fs',
        3,
        /^realmfs-builder: error: preflight: nothing can be written to the disk of the output folder .*\/realmfs \(/,
        { via: readOnly },
      ],
      ['not root', 3, 'realmfs-builder: error: preflight: a build needs root', { prepare: 'chmod 0755 .. .', uid: 65534 }],
      [
        'root in container, without CAP_SYS_ADMIN',
        3,
        /^realmfs-builder: error: preflight: the sandbox could not be set up: unshare: .*Operation not permitted/,
        { via: ['setpriv', '--inh-caps=-sys_admin', '--bounding-set=-sys_admin'] },
      ],
      [
        'root in container, without a capability of steps',
        3,
        'realmfs-builder: error: preflight: this machine gives a build too few rights: root has not the capabilities setfcap',
        { via: ['setpriv', '--inh-caps=-setfcap', '--bounding-set=-setfcap'] },
      ],
      [
        'root in container, with no_new_privs',
        3,
        /^realmfs-builder: error: preflight: this machine gives a build too few rights: .*no_new_privs/,
        { via: ['setpriv', '--no-new-privs'] },
      ],
      [
        'SOURCE_DATE_EPOCH = garbage',
        2,
        `${config}environment: SOURCE_DATE_EPOCH: 'garbage' is no number of seconds`,
        { env: { SOURCE_DATE_EPOCH: 'garbage' } },
      ],
      [
        'REALMFS_CACHE_DIR = garbage',
        2,
        "realmfs-builder: error: REALMFS_CACHE_DIR: 'garbage' is no absolute path",
        { env: { REALMFS_CACHE_DIR: 'garbage' } },
      ],
      [
        'no tty, and nobody to ask',
        2,
        'realmfs-builder: error: there is no terminal to ask on; --no-confirm builds without a question',
        { via: shell('exec setsid --wait "$1" "$2"') },
      ],
      ['--set without a value', 2, "realmfs-builder: error: --set: 'REALMFS_NAME' is not KEY=VALUE", { args: ['--set', 'REALMFS_NAME'] }],
      ['--set with a command', 2, "realmfs-builder: error: --set: 'a b;reboot=1' is not KEY=VALUE", { args: ['--set', 'a b;reboot=1'] }],
      [
        '--set of a key that nobody knows',
        2,
        `${config}--set: REALMFS_NAM: neither a setting nor a variable of build.conf; did you mean REALMFS_NAME?`,
        { args: ['--set', 'REALMFS_NAM=x'] },
      ],
      ['-d that is /', 2, 'realmfs-builder: error: --directory: results cannot go to /', { args: ['-d', '/'] }],
      [
        '-d in /proc',
        3,
        /^realmfs-builder: error: preflight: the output folder \/proc\/x cannot be made: ENOENT/,
        { args: ['-d', '/proc/x'] },
      ],
      ['-d that is a file', 2, 'realmfs-builder: error: --directory: build.conf is not a folder', { args: ['-d', 'build.conf'] }],
    ];
    test.each(cases)('%s', async (name, code, cause, options) => {
      if (options?.uid !== undefined) machine.shareProgram();
      const run = await failingBuild(machine, `place-${name.replaceAll(/\W/g, '-')}`, bare, code, cause, options);
      if (name === 'not root') expect(run.stderr).toMatch(/hint: {4}run: sudo -- \S+ \S+cli\.js --no-confirm -t\n/);
    });
  });
});

describe('flood', () => {
  const strange = `printf '\\e[31m\\e]0;title\\a\\e[2J\\xff\\xfe\\xc3(\\n'; head -c 1M /dev/zero; echo`;

  test('ANSI, NULs and invalid UTF-8 reach neither terminal nor log', async () => {
    const project = machine.project('strange', { 'build.conf': looking('', `${strange}; false`) });
    const run = await machine.run(['--no-confirm', '-t', '-v', '--debug'], { cwd: project });
    expect(run.code).toBe(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
    const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;
    expect(run.stderr).not.toMatch(control);
    expect(readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8')).not.toMatch(control);
    expect(run.lastLine).toMatch(/^realmfs-builder: error: pre\/look: build\.conf:7: exit code 1 from: false; log: /);
  });
});
