import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeDeb } from '../helpers/debs.ts';
import { bare, Machine } from '../helpers/machine.ts';

/** The kinds of processes, as docs/isolation.md calls them. */
const kinds = {
  evaluation: 'evaluation of build.conf',
  fetching: 'debootstrap, fetching',
  configuring: 'debootstrap, configuring',
  module: 'modules',
  hook: 'hooks in the tree',
  apt: 'apt, fetching by a proxy on the loopback',
  script: 'package scripts',
  binary: 'binary hooks',
  writer: 'target writers',
  reader: 'programs that read an image',
} as const;
type Kind = keyof typeof kinds;

const machine = new Machine();
const reached: string[] = [];
const servers: Server[] = [];
const place = (name: string): string => path.join(machine.folder, name);

function listen(name: string, where: { port: number; host: string } | { path: string }): Promise<Server> {
  const server = createServer((socket) => {
    reached.push(name);
    socket.destroy();
  });
  servers.push(server);
  return new Promise((resolve) => server.listen(where, () => resolve(server)));
}

let log = '';

/** What each kind of process could do, by what it printed. */
const found = new Map<string, Map<string, string>>();

function take(text: string): void {
  for (const [, kind = '', what = '', answer = ''] of text.matchAll(/attack (\w+): (.+): (yes|no)/g)) {
    const before = found.get(kind) ?? new Map<string, string>();
    // A kind that runs more than once: what it could do at any time.
    found.set(kind, before.set(what, before.get(what) === 'yes' ? 'yes' : answer));
  }
}

/** The table of the documentation: the kinds of processes, and what they may. */
function documented(): Map<string, Map<string, string>> {
  const text = readFileSync(path.resolve(import.meta.dirname, '../../docs/isolation.md'), 'utf8');
  const section = /^## Who may do what\n(.*?)^## /ms.exec(text)?.[1] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|') && !line.startsWith('|--'));
  const [head = [], ...body] = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return new Map(body.map(([what = '', ...cells]) => [what, new Map(cells.map((cell, at) => [head[at + 1] ?? '', cell]))]));
}

async function attackAll(): Promise<void> {
  const loopback = (await listen('loopback', { port: 0, host: '127.0.0.1' })).address();
  const port = loopback !== null && typeof loopback === 'object' ? loopback.port : 0;
  const abstract = `realmfs-test-${process.pid}`;
  await listen('abstract', { path: `\0${abstract}` });
  writeFileSync(place('host-file'), '');
  writeFileSync(place('secret'), 'secret\n', { mode: 0o600 });
  chmodSync(machine.folder, 0o755);
  const script = readFileSync(path.resolve(import.meta.dirname, '../helpers/attacks.pl'), 'utf8');
  const attack = (kind: Kind, then = ''): string => {
    const words = { kind, canary: place('host-file'), secret: place('secret'), port, abstract, pid: process.pid, then };
    return Object.entries(words).reduce((text, [key, value]) => text.replace(`@@${key}@@`, String(value)), script);
  };
  for (const kind of ['fetching', 'configuring'] as const) writeFileSync(place(`${kind}.pl`), attack(kind));
  const bootstrap = readFileSync(place('tools/debootstrap'), 'utf8');
  const first = `case $1 in --make*) perl ${place('fetching.pl')} ;; *) perl ${place('configuring.pl')} ;; esac`;
  writeFileSync(place('tools/debootstrap'), bootstrap.replace('set -euo pipefail\n', `set -euo pipefail\n${first}\n`));
  const program = (name: string, text: string): void => {
    writeFileSync(place(`tools/${name}`), text, { mode: 0o755 });
    machine.shell('cp "$(command -v "$2")" "$1/tools/real-$2"; mount --bind "$1/tools/$2" "$(command -v "$2")"', machine.folder, name);
  };
  program('mksquashfs', attack('writer', `${place('tools')}/real-mksquashfs @ -e usr var`));
  program('unsquashfs', attack('reader', 'fail'));
  const project = machine.project('attacked', {
    'build.conf': `BASE_PACKAGES=
BASE_PRE_INSTALL_MODULES=
BASE_POST_INSTALL_MODULES=
IMAGE_TARGETS="squashfs evil"
PRE_INSTALL_MODULES="attack-module wrap-apt"
[[ -e /dev/realmfs/in ]] || { perl evaluation.pl && echo named by build.conf >/dev/stderr; }
`,
    'evaluation.pl': attack('evaluation'),
    'realmfs-modules/attack-module': `perl - <<'END'\n${attack('module')}\nEND
echo named by a module >/dev/stdout
echo "inherited: $(</proc/self/personality) $(ulimit -Sn) $(ulimit -Ss) $(ulimit -Sc)"
useradd -m inheritor; su inheritor -c 'echo "became $(id -un)"; echo named by a user >/dev/stderr'; userdel inheritor; rm -r /home/inheritor\n`,
    'realmfs-modules/wrap-apt': `mv /usr/bin/apt-get /usr/bin/apt-get.real
cat >/usr/bin/apt-get <<'END'
#!/bin/sh
[ "$REALMFS_PACKAGES_PHASE" != fetch ] || perl /usr/share/attack.pl
exec /usr/bin/apt-get.real "$@"
END
chmod 0755 /usr/bin/apt-get
cat >/usr/share/attack.pl <<'END'\n${attack('apt')}\nEND\n`,
    'hooks/chroot/attack.hook.chroot': attack('hook'),
    'packages/attack_1_all.deb': makeDeb('attack', {
      files: { 'usr/share/attack-script.pl': attack('script') },
      postinst: 'perl /usr/share/attack-script.pl; echo named by a script >/dev/stderr',
    }),
    'hooks.d/base/series/evil': 'base/evil.binary\nprovides realmfs-rootfs.squashfs\nprovides evil.txt\n',
    'hooks.d/base/evil.binary': attack('binary'),
  });
  for (const file of ['hooks/chroot/attack.hook.chroot', 'hooks.d/base/evil.binary']) chmodSync(path.join(project, file), 0o755);
  const via = ['prlimit', '--nofile=300:', '--stack=4194304:', '--core=1024:', 'setarch', '--addr-no-randomize', '--uname-2.6'];
  const run = await machine.run(['--no-confirm', '-v'], { cwd: project, via });
  expect(run.code, run.stderr).toBe(0);
  log = readFileSync(path.join(project, 'realmfs/realmfs-build.log'), 'utf8');
  take(log);
  const image = execFileSync('find', [path.join(project, 'realmfs'), '-name', '*.squashfs'], { encoding: 'utf8' }).trim();
  const read = await machine.run(['inspect', image]);
  expect(read.code).toBe(1);
  take(read.stderr);
}

beforeAll(attackAll, 600_000);
afterAll(() => {
  for (const server of servers) server.close();
  machine.close();
});

describe('the table "who may do what" holds', () => {
  test('it has every kind of process and every attack', () => {
    const table = documented();
    expect([...table.keys()].toSorted()).toEqual(Object.values(kinds).toSorted());
    expect([...found.keys()].toSorted()).toEqual(Object.keys(kinds).toSorted());
  });

  test("what a step inherits is not the caller's, and it can become a user without the audit log", () => {
    expect(/inherited: (.*)/.exec(log)?.[1]).toBe('00000000 1024 8192 0');
    expect(log).toContain('became inheritor');
  });

  test('its output can be opened by its name, as any user', () => {
    const named = [...log.matchAll(/named by (.*)/g)].map(([, who]) => who);
    expect(named.toSorted()).toEqual(['a module', 'a script', 'a user', 'build.conf']);
  });

  test('what is refused leaves nothing behind', () => {
    const writers = [...found].filter(([, row]) => row.get('write host files') === 'yes').map(([kind]) => kind);
    expect([...new Set(readFileSync(place('host-file'), 'utf8').trim().split('\n'))].toSorted()).toEqual(writers.toSorted());
    expect(new Set(reached)).toEqual(new Set(['loopback', 'abstract']));
    expect(readFileSync('/proc/keys', 'utf8')).not.toContain('realmfs-attack');
  });

  test.each(Object.entries(kinds))('%s', (kind, name) => {
    const said = Object.fromEntries(documented().get(name) ?? []);
    expect(Object.fromEntries(found.get(kind) ?? [])).toEqual(said);
  });
});

/** Whether a process is one, or comes from one. */
function comesFrom(pid: number, ancestor: number): boolean {
  try {
    if (pid === ancestor) return true;
    const parent = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    return parent > 1 && comesFrom(parent, ancestor);
  } catch {
    return false;
  }
}

/** The processes of a build, by how they were called. */
function processesOf(ancestor: number): Map<number, string> {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return new Map(
    pids
      .filter((pid) => comesFrom(pid, ancestor))
      .flatMap((pid) => {
        try {
          return [[pid, readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')] as const];
        } catch {
          return [];
        }
      }),
  );
}

async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const seen = look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const waits = { 'build.conf': `${bare}PRE_INSTALL_MODULES=waits\nwaits() { sleep 1000; }\n` };

test('the network of steps ends with the build, and no environment stands in the process list', async () => {
  const run = machine.start(['--no-confirm', '-t'], { cwd: machine.project('waits', waits) });
  const processes = await until(() => {
    const all = processesOf(run.pid);
    return [...all.values()].some((line) => line.startsWith('sleep 1000')) ? all : undefined;
  });
  const lines = [...processes.values()];
  expect(lines.filter((line) => /REALMFS_|PATH=|LC_ALL=/.test(line))).toEqual([]);
  const [way] = [...processes].filter(([, line]) => /^(pasta|slirp4netns) /.test(line)).map(([pid]) => pid);
  expect(way, lines.join('\n')).toBeDefined();
  run.kill('SIGKILL');
  await run.ended;
  await until(() => (existsSync(`/proc/${way}`) ? undefined : true));
});

test('a process that writes without end ends with its step', async () => {
  const conf = `${bare}PRE_INSTALL_MODULES=floods\nfloods() { yes & disown; echo last words; }\n`;
  const run = await machine.run(['--no-confirm', '-t', '--progress', 'quiet'], { cwd: machine.project('floods', { 'build.conf': conf }) });
  expect(run.code, run.stderr).toBe(0);
});

test('without a program for it modules have the network of the machine, and a warning', async () => {
  const other = new Machine();
  try {
    other.shell('for name in pasta slirp4netns; do file=$(command -v "$name") || continue; mount --bind /dev/null "$file"; done');
    const project = other.project('shares', {
      'build.conf': `${bare}PRE_INSTALL_MODULES=looks\nlooks() { cut -d : -f 1 /proc/net/dev >/report; }\n`,
    });
    const run = await other.run(['--no-confirm', '-t'], { cwd: project });
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toMatch(/modules share the network of this machine, its loopback included \(.*\): install passt or slirp4netns/);
    expect(other.shell('tar -xOf "$1/realmfs/realmfs-rootfs.tar" ./report', project)).toBe(other.shell('cut -d : -f 1 /proc/net/dev'));
  } finally {
    other.close();
  }
});
