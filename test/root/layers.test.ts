import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { sleep } from '../helpers/kills.ts';
import { bare, Machine, mirror, type Run, sha256 } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());
afterEach(() => mirror.clear());

const cache = path.join(machine.folder, 'cache');
const layers = path.join(cache, 'layers');
const plain = machine.makeCache('cache-plain');

/** Builds a project; `conf` replaces its build.conf. */
async function build(project: string, conf?: string, ...args: string[]): Promise<Run> {
  if (conf !== undefined) writeFileSync(path.join(project, 'build.conf'), conf);
  return machine.run(['--no-confirm', '-t', '--progress', 'plain', ...args], { cwd: project });
}

/** The file of the tarball of a project. */
const tarball = (project: string): string => path.join(project, 'realmfs/realmfs-rootfs.tar');
const inTree = (project: string, file: string): string => machine.shell('tar -xOf "$1" "./$2"', tarball(project), file);

/** Builds without any layer but the bootstrap, in another cache; returns the digest of the tarball. */
async function without(project: string): Promise<string> {
  const out = path.join(machine.folder, 'without');
  const run = await machine.run(['--no-confirm', '-t', '-d', out, '--rebuild-from', 'packages'], {
    cwd: project,
    env: { REALMFS_CACHE_DIR: plain },
  });
  expect(run.code, run.stderr).toBe(0);
  return sha256(path.join(out, 'realmfs-rootfs.tar'));
}

const three = `${bare}V=1
POST_INSTALL_MODULES="one two three"
helper() { echo "helped $1" >>/helped; }
one() { echo "one $V" >/one; COUNT=1; }
two() { helper two; COUNT=$((COUNT + 1)); }
three() { echo "three $COUNT" >/three; }
`;

describe('what is taken from layers', () => {
  test('nothing changed: nothing runs, no result is touched', async () => {
    const project = machine.project('same', { 'build.conf': three });
    expect(steps(await build(project)).ran).toEqual(['bootstrap', 'packages', 'post/one', 'post/two', 'post/three']);
    const files = ['realmfs-rootfs.tar', ...records, 'SHA256SUMS', 'manifest.json'];
    const state = (): string[] =>
      files.map((name) => JSON.stringify(statSync(path.join(project, 'realmfs', name), { bigint: true }), (_, value) => String(value)));
    const before = state();
    const again = await build(project);
    expect([again.code, steps(again).ran]).toEqual([0, []]);
    expect(again.stderr).not.toMatch(/target\/tarball|finalize/);
    expect(again.stderr).toContain('up to date');
    expect(again.stdout.trimEnd().split('\n')).toEqual(files.map((name) => path.join(project, 'realmfs', name)));
    expect(state()).toEqual(before);
    // A result that somebody has touched, or taken away, is made again.
    writeFileSync(tarball(project), 'x');
    expect((await build(project)).stderr).toContain('target/tarball');
    rmSync(path.join(project, 'realmfs/SHA256SUMS'));
    expect((await build(project)).stderr).toContain('target/tarball');
    expect(machine.shell('cd "$1/realmfs" && sha256sum --check SHA256SUMS', project)).toMatch(/^realmfs-rootfs\.tar: OK\n/);
  });

  const start = ['bootstrap', 'packages', 'post/one', 'post/two', 'post/three'];
  test.each([
    ['a comment', (text: string) => `# new\n${text}`, 5, ''],
    [
      'the last module',
      (text: string) => text.replace('three $COUNT', 'drei $COUNT'),
      4,
      'post/three runs again: function three has changed',
    ],
    ['a helper', (text: string) => text.replace('helped', 'geholfen'), 3, 'post/two runs again: function helper has changed'],
    ['a variable', (text: string) => text.replace('V=1', 'V=2'), 1, 'variable V was "1", is "2"'],
    ['a module more', (text: string) => `${text}POST_INSTALL_MODULES+=" four"\nfour() { echo 4 >/four; }\n`, 4, ''],
    ['the order', (text: string) => text.replace('one two', 'two one'), 2, ''],
    ['a command at the top level', (text: string) => `${text}echo >/dev/null\n`, 1, 'commands at the top level of build.conf are new'],
    ['a function that nobody calls', (text: string) => `${text}unused() { :; }\n`, 5, ''],
    ['a setting that steps see', (text: string) => `${text}REALMFS_HOSTNAME=other\n`, 1, 'REALMFS_HOSTNAME'],
    ['a setting of targets', (text: string) => `${text}IMAGE_FREE_SPACE=1M\n`, 5, ''],
  ])('%s', async (name, edit, cached, why) => {
    const project = machine.project(`edit ${name}`, { 'build.conf': three });
    await build(project);
    const run = await build(project, edit(three));
    expect(run.code, run.stderr).toBe(0);
    expect(steps(run).cached.length, run.stderr).toBe(cached);
    expect(steps(run).cached).toEqual(start.slice(0, Math.min(cached, 2)).concat(steps(run).cached.slice(2)));
    expect(run.stderr).toContain(why);
    expect(sha256(tarball(project))).toBe(await without(project));
  });

  test('the order of modules before the packages, which share a layer', async () => {
    const conf = `${bare}PRE_INSTALL_MODULES="one two"\none() { echo 1 >>/order; }\ntwo() { echo 2 >>/order; }\n`;
    const project = machine.project('order', { 'build.conf': conf });
    await build(project);
    const run = await build(project, conf.replace('one two', 'two one'));
    expect(run.stderr).toContain('packages runs again: the order of the steps has changed');
    expect(sha256(tarball(project))).toBe(await without(project));
  });

  test('eval: any function counts', async () => {
    const conf = three.replace('helper two;', 'eval "hel""per two";');
    const project = machine.project('eval', { 'build.conf': conf });
    await build(project);
    const run = await build(project, conf.replace('helped', 'changed'));
    expect(steps(run).ran).toEqual(['post/two', 'post/three']);
    expect(inTree(project, 'helped')).toBe('changed two\n');
  });

  test('files: what install_file took, and a look-up that missed and now hits', async () => {
    const file = 'etc/systemd/user.conf.d/50-display-env.conf';
    const conf = `${bare}POST_INSTALL_MODULES="taker other"\ntaker() { install_file 0644 own.txt /opt; install_file 0644 /${file}; }\nother() { :; }\n`;
    const project = machine.project('files', { 'build.conf': conf, 'realmfs-files/own.txt': 'one\n', 'realmfs-files/unused': 'x' });
    await build(project);
    machine.project('files', { 'realmfs-files/unused': 'y' });
    expect(steps(await build(project)).ran).toEqual([]);
    machine.project('files', { 'realmfs-files/own.txt': 'two\n' });
    const changed = await build(project);
    expect(steps(changed).ran).toEqual(['post/taker', 'post/other']);
    expect(changed.stderr).toContain('post/taker runs again: file own.txt has changed');
    machine.project('files', { [`realmfs-files/${file}`]: 'mine\n' });
    expect(steps(await build(project)).ran).toEqual(['post/taker', 'post/other']);
    expect(inTree(project, file)).toBe('mine\n');
    rmSync(path.join(project, 'realmfs-files', file));
    const back = await build(project);
    expect(inTree(project, file)).not.toBe('mine\n');
    expect(sha256(tarball(project))).toBe(await without(project));
    expect(steps(back).cached).toContain('post/taker');
  });

  test('a module that reads the project by itself depends on all of it', async () => {
    const conf = `${bare}POST_INSTALL_MODULES="reader"\nreader() { if [[ -e $REALMFS_PROJECT/data ]]; then cat "$REALMFS_PROJECT/data" >/data; fi; }\n`;
    const project = machine.project('reader', { 'build.conf': conf });
    await build(project);
    machine.project('reader', { data: 'here\n' });
    expect(steps(await build(project)).ran).toEqual(['post/reader']);
    expect(inTree(project, 'data')).toBe('here\n');
  });

  test('build.conf itself reads a file of the project, which the evaluation does not see', async () => {
    const conf = `${bare}MOTD=$(cat realmfs-files/motd 2>/dev/null)\nPOST_INSTALL_MODULES=writes\nwrites() { echo "$MOTD" >/motd; }\n`;
    const project = machine.project('conf reads', { 'build.conf': conf, 'realmfs-files/motd': 'one\n' });
    expect((await build(project)).code).toBe(0);
    machine.project('conf reads', { 'realmfs-files/motd': 'two\n' });
    await build(project);
    expect(inTree(project, 'motd')).toBe('two\n');
  });

  test('build.conf lists the files of a folder', async () => {
    const conf = `${bare}FILES=(realmfs-files/*)\nPOST_INSTALL_MODULES=writes\nwrites() { printf '%s\\n' "\${FILES[@]}" >/names; }\n`;
    const project = machine.project('conf globs', { 'build.conf': conf, 'realmfs-files/a': '' });
    expect((await build(project)).code).toBe(0);
    machine.project('conf globs', { 'realmfs-files/b': '' });
    await build(project);
    expect(inTree(project, 'names')).toBe('realmfs-files/a\nrealmfs-files/b\n');
  });

  test('a module that is called by its name reads the project, and says that it runs each time', async () => {
    const conf = `${bare}POST_INSTALL_MODULES="calls after"\ncalls() { module sub; }\nafter() { :; }\n`;
    const sub = 'cp "$REALMFS_PROJECT/data" /data; echo "${IMAGE_TARGETS-}" >/targets\n';
    const project = machine.project('called', { 'build.conf': conf, 'realmfs-modules/sub': sub, data: 'one\n' });
    expect((await build(project)).code).toBe(0);
    expect(steps(await build(project)).ran).toEqual([]);
    machine.project('called', { data: 'two\n' });
    expect(steps(await build(project)).ran).toContain('post/calls');
    expect(inTree(project, 'data')).toBe('two\n');
    machine.project('called', { 'realmfs-modules/sub': `# cache: no\n${sub}` });
    await build(project);
    expect(steps(await build(project)).ran).toEqual(['post/calls', 'post/after']);
  });

  test("apt's lists that a module changes are there for the modules after it", async () => {
    const conf = `${bare}POST_INSTALL_MODULES="adds looks"\nadds() { echo x >/var/lib/apt/lists/mine_Packages; }\nlooks() { ls /var/lib/apt/lists | grep -c mine >/seen; }\n`;
    const project = machine.project('lists', { 'build.conf': conf });
    expect((await build(project)).code).toBe(0);
    const run = await build(project, conf.replace('>/seen', '>/seen2'));
    expect(run.code, run.stderr).toBe(0);
    expect(steps(run).ran).toEqual(['post/looks']);
    expect(inTree(project, 'seen2')).toBe('1\n');
  });

  test('a folder with linked files is renamed, then one of them is written; the root keeps its mode', async () => {
    const make = 'mkdir -p /m/d; echo x >/m/d/a; ln /m/d/a /m/d/b; ln /m/d/a /m/c; chmod 0711 /etc/..';
    const conf = `${bare}POST_INSTALL_MODULES="make move write look"\nmake() { ${make}; }\nmove() { mv /m/d /m/e; }\nwrite() { echo more >>/m/e/a; rm /m/e/a; }\nlook() { stat -c '%n %h' /m/c /m/e/* >/seen; cat /m/e/b >>/seen; stat -c %a /etc/.. >>/seen; }\n`;
    const project = machine.project('renamed', { 'build.conf': conf });
    const made = await build(project);
    expect(made.code, made.stderr).toBe(0);
    const changed = await build(project, conf.replace('>>/seen; }', '>>/seen; :; }'));
    expect(steps(changed).ran).toEqual(['post/look']);
    expect(inTree(project, 'seen')).toBe('/m/c 2\n/m/e/b 2\nx\nmore\n711\n');
    expect(machine.shell('tar -tvf "$1" --no-recursion ./', tarball(project))).toMatch(/^drwx--x--x /);
    expect(sha256(tarball(project))).toBe(await without(project));
  });

  test.each([
    [
      'all names of a file are gone, and one of them is linked anew',
      'mkdir /k; for n in a x; do echo 1 >/k/$n; ln /k/$n /k/$n$n; done',
      ['rm /k/a /k/aa; echo 2 >/k/aa; ln /k/aa /k/c', 'echo more >>/k/x', 'echo 3 >>/k/c'],
      '/k/aa 2\n/k/c 2\n/k/x 2\n/k/xx 2\n2\n3\n2\n3\n1\nmore\n1\nmore\n',
    ],
    [
      'a folder with a linked file is renamed, and another file put in its place',
      'mkdir -p /k/d; echo 1 >/k/d/a; ln /k/d/a /k/b',
      ['mv /k/d /k/e; echo >/k/n; ln /k/n /k/nn', 'mkdir /k/d; touch /k/d/a', 'echo more >>/k/e/a; rm /k/e/a'],
      '/k/b 1\n/k/d/a 1\n/k/n 2\n/k/nn 2\n1\nmore\n\n\n',
    ],
  ])('hard links in several layers: %s', async (name, make, changes, seen) => {
    const steps = ['first', ...changes.map((_, at) => `change${at}`), 'look'];
    const bodies = [make, ...changes, 'find /k -type f | sort | xargs stat -c "%n %h" >/seen; find /k -type f | sort | xargs cat >>/seen'];
    const conf = `${bare}POST_INSTALL_MODULES="${steps.join(' ')}"\n${steps.map((step, at) => `${step}() { ${bodies[at]}; }\n`).join('')}`;
    const project = machine.project(`links ${name.length}`, { 'build.conf': conf });
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(inTree(project, 'seen')).toBe(seen);
    expect(sha256(tarball(project))).toBe(await without(project));
  });

  test('one of two hard links is unlinked, another written: the frozen tree is the live tree', async () => {
    const make = 'mkdir /links; echo a >/links/a; ln /links/a /links/b; ln /links/a /links/c; ln -s a /links/s; ln /links/s /links/t';
    const conf = `${bare}POST_INSTALL_MODULES="make touch look"\nmake() { ${make}; }\ntouch() { rm /links/a; echo more >>/links/b; chown -h 1:1 /links/t; }\nlook() { stat -c '%n %h %F %u' /links/* >/seen; cat /links/c >>/seen; }\n`;
    const project = machine.project('links', { 'build.conf': conf });
    const seen = '/links/b 2 regular file 0\n/links/c 2 regular file 0\n/links/s 2 symbolic link 1\n/links/t 2 symbolic link 1\na\nmore\n';
    const made = await build(project);
    expect(made.code, made.stderr).toBe(0);
    expect(inTree(project, 'seen')).toBe(seen);
    const first = sha256(tarball(project));
    const run = await build(project, conf.replace('look()', 'look() { :; }\nlook()'));
    expect(run.code).toBe(0);
    // From layers alone: the last module is run on what lies in the store.
    const changed = await build(project, conf.replace('>>/seen; }', '>>/seen; :; }'));
    expect(steps(changed).ran).toEqual(['post/look']);
    expect(inTree(project, 'seen')).toBe(seen);
    expect(sha256(tarball(project))).toBe(first);
  });

  test('a warning of a step is told again', async () => {
    const project = machine.project('warning', { 'build.conf': `${bare}POST_INSTALL_MODULES="lax"\nlax() { set +e; }\n` });
    const warning = 'lax leaves set +e behind';
    expect((await build(project)).stderr).toContain(warning);
    expect((await build(project)).stderr).toContain(warning);
  });
});

describe('what runs all the same', () => {
  test.each([
    ['# cache: no', three.replace('two() {', 'two() {\n# cache: no\n'), [] as string[]],
    ['NOCACHE_STEPS', `${three}NOCACHE_STEPS="post/two"\n`, []],
    ['--rebuild-from', three, ['--rebuild-from', 'two']],
    ['a background job', three.replace('two() {', 'two() { sleep 1000 &'), []],
    ['an open file', three.replace('two() {', 'two() { exec 7</etc/passwd;'), []],
  ])('%s: this step and what follows', async (name, conf, args) => {
    // A comment in a function does not come through: a file has it.
    const text = name === '# cache: no' ? three.replace(/^two\(\).*$/m, '') : conf;
    const files = name === '# cache: no' ? { 'realmfs-modules/two': '# cache: no\nhelper two\nCOUNT=$((COUNT + 1))\n' } : {};
    const project = machine.project(`again ${name.replaceAll(/\W/g, '')}`, { 'build.conf': text, ...files });
    expect((await build(project)).code).toBe(0);
    const run = await build(project, text, ...args);
    expect(run.code, run.stderr).toBe(0);
    expect(steps(run).ran).toEqual(['post/two', 'post/three']);
  });

  test('--no-cache: all of it', async () => {
    const project = machine.project('no cache', { 'build.conf': three });
    await build(project);
    expect(steps(await build(project, three, '--no-cache')).cached).toEqual([]);
  });

  test('--rebuild-from of a step that is not there', async () => {
    const project = machine.project('no step', { 'build.conf': three });
    const run = await build(project, three, '--rebuild-from', 'nowhere');
    expect([run.code, run.lastLine]).toEqual([2, expect.stringContaining('there is no step nowhere')]);
  });
});

test('after a failure it goes on at the step that failed', async () => {
  const right = three.replace('V=1', 'V=resume');
  const conf = right.replace('two() {', 'two() { false;');
  const project = machine.project('resume', { 'build.conf': conf });
  expect((await build(project)).code).toBe(1);
  const again = await build(project);
  expect([again.code, steps(again)]).toEqual([1, { ran: ['post/two'], cached: ['bootstrap', 'packages', 'post/one'] }]);
  expect(again.stderr).toContain('3 steps are taken from layers; it goes on at post/two');
  const mended = await build(project, right);
  expect(steps(mended).ran).toEqual(['post/two', 'post/three']);
  expect(sha256(tarball(project))).toBe(await without(project));
});

describe('the store', () => {
  test('is for root alone; cache lists, prunes and clears it', async () => {
    const own = { REALMFS_CACHE_DIR: machine.makeCache('pruned') };
    const project = machine.project('store', { 'build.conf': three });
    await machine.run(['--no-confirm', '-t'], { cwd: project, env: own });
    const command = (...args: string[]): Promise<Run> => machine.run(['cache', ...args], { env: own });
    expect(statSync(own.REALMFS_CACHE_DIR).mode & 0o777).toBe(0o700);
    const list = await command('list');
    expect(list.stdout.split('\n').filter((line) => line.includes(project)).length).toBe(5);
    for (const name of ['bootstrap', 'packages', 'post/one', 'post/two', 'post/three']) expect(list.stdout).toContain(` ${name} `);
    const { size, layers: rows } = JSON.parse((await command('list', '--json')).stdout);
    expect(rows.length).toBe(5);
    expect((await command('du')).stdout).toContain(path.join(project, 'build.conf'));
    // What goes first is what lies on top.
    const bootstrap = rows.find(({ step }: { step: string }) => step === 'bootstrap').size;
    const pruned = await command('prune', '--max-size', String(bootstrap));
    expect(pruned.stdout).toMatch(/^4 layers removed, /);
    expect(JSON.parse((await command('list', '--json')).stdout).layers.map(({ step }: { step: string }) => step)).toEqual(['bootstrap']);
    expect((await command('prune', '--older-than', '1h')).stdout).toMatch(/^0 layers removed/);
    expect((await command('clear')).stdout).toMatch(/^1 layers removed, /);
    expect(readdirSync(path.join(own.REALMFS_CACHE_DIR, 'layers/trash'))).toEqual([]);
    expect(size).toBeGreaterThan(bootstrap);
    expect((await machine.run(['--no-confirm', '-t'], { cwd: project, env: own })).code).toBe(0);
  });

  test('pruning during a build takes nothing that it uses', async () => {
    const project = machine.project('in use', { 'build.conf': three.replace('two() {', 'two() { sleep 5;') });
    await build(project);
    const running = machine.start(['--no-confirm', '-t', '--progress', 'plain', '--rebuild-from', 'two'], { cwd: project });
    await running.step('post/two');
    const cleared = await machine.run(['cache', 'clear']);
    expect(cleared.stdout, cleared.stderr).toMatch(/are in use and stay/);
    expect((await running.ended).code).toBe(0);
  });

  test('eight builds at once make each layer once', async () => {
    const own = { REALMFS_CACHE_DIR: machine.makeCache('eight') };
    const conf = three.replace('one() {', 'one() { sleep 1;');
    const projects = Array.from({ length: 8 }, (_, at) => machine.project(`eight-${at}`, { 'build.conf': conf }));
    const pruning = machine.run(['cache', 'prune', '--older-than', '1h'], { env: own });
    const runs = await Promise.all(projects.map((cwd) => machine.run(['--no-confirm', '-t', '--progress', 'plain'], { cwd, env: own })));
    await pruning;
    for (const { code, stderr } of runs) expect(code, stderr).toBe(0);
    for (const step of ['bootstrap', 'packages', 'post/one', 'post/two', 'post/three']) {
      expect(runs.filter((run) => steps(run).ran.includes(step)).length, step).toBe(1);
    }
    expect(new Set(projects.map((project) => sha256(tarball(project)))).size).toBe(1);
  });

  test('what is killed while it keeps a layer leaves none, and the next run works', async () => {
    const own = { REALMFS_CACHE_DIR: machine.makeCache('killed') };
    const project = machine.project('killed while keeping', { 'build.conf': three });
    for (let round = 0; round < 6; round += 1) {
      const running = machine.start(['--no-confirm', '-t', '--progress', 'plain'], { cwd: project, env: own });
      const part = path.join(own.REALMFS_CACHE_DIR, 'layers/new');
      for (let wait = 0; wait < 400 && !(existsSync(part) && readdirSync(part).length > 0); wait += 1) await sleep(10);
      await sleep(round * 25);
      running.kill('SIGKILL');
      await running.ended;
    }
    const run = await machine.run(['--no-confirm', '-t'], { cwd: project, env: own });
    expect(run.code, run.stderr).toBe(0);
    expect(readdirSync(path.join(own.REALMFS_CACHE_DIR, 'layers/new'))).toEqual([]);
    expect(sha256(tarball(project))).toBe(await without(project));
  });

  test('a damaged layer is none', async () => {
    const project = machine.project('damaged', { 'build.conf': three.replace('V=1', 'V=damaged') });
    await build(project);
    const metas = machine.shell('grep -l V=.*damaged "$1"/*/*/meta.json', layers).trimEnd().split('\n');
    for (const file of metas) writeFileSync(file, readFileSync(file).subarray(0, 100));
    const run = await build(project);
    expect(run.code, run.stderr).toBe(0);
    expect(steps(run).cached).toEqual(['bootstrap']);
  });
});
