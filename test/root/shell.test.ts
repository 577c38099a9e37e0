import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sleep } from '../helpers/kills.ts';
import { bare, Machine, type Run, type RunningBuild } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const conf = `${bare}WORDS=(a "b c")
POST_INSTALL_MODULES="one two"
one() { grep Cap /proc/self/status >/caps; echo one >/one; WORDS+=(d); umask 027; cd /usr; made() { echo "made \${WORDS[*]}"; }; }
two() { echo two >/two; }
`;

/** Starts the command on a terminal of its own, which script(1) makes: 33 rows, 111 columns. */
function onTerminal(project: string, args: readonly string[]): RunningBuild {
  const script = 'exec script --quiet --return --command "stty rows 33 cols 111; exec $(printf "%q " "$@")" /dev/null';
  return machine.start(args, { cwd: project, via: ['bash', '--norc', '-c', script, 'bash'], hasInput: true });
}

test('one command in the tree after a step: its state, its exit code, and nothing is kept', async () => {
  const project = machine.project('command', { 'build.conf': conf });
  const shell = (...args: string[]): Promise<Run> => machine.run(['shell', ...args], { cwd: project });
  const early = await shell('one', '-c', 'true');
  expect([early.code, early.lastLine]).toEqual([3, expect.stringContaining('there is no layer of bootstrap')]);
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  const before = machine.snapshot();
  const seen = await shell('post/one', '-c', 'cat /one; ls /two 2>&1; echo "$PWD $(umask)"; made; touch /changed; exit 7');
  expect(seen.stdout.split('\n')).toEqual(['one', "ls: cannot access '/two': No such file or directory", '/usr 0027', 'made a b c d', '']);
  expect(seen.code).toBe(7);
  expect((await shell('one', '-c', 'grep Cap /proc/self/status | cmp - /caps && env | cut -d= -f1 | sort')).stdout.split('\n')).toContain(
    'SOURCE_DATE_EPOCH',
  );
  expect((await shell('one', '-c', 'ls /changed')).code).toBe(2);
  expect((await shell('-c', 'cat /two; test -e /usr/sbin/policy-rc.d')).stdout).toBe('two\n');
  expect((await shell('nowhere', '-c', 'true')).lastLine).toContain(
    'there is no layer after nowhere (bootstrap, packages, post/one, post/two)',
  );
  expect(await machine.settled(before)).toEqual(before);
  expect(readdirSync(path.join(machine.folder, 'cache')).filter((name) => name.startsWith('shell-'))).toEqual([]);
  // A shell does not stand in the way of a build.
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).stderr).toContain('up to date');
});

test('what shells that were killed have left goes with the next command that works on the cache; what one uses stays', async () => {
  const project = machine.project('killed', { 'build.conf': conf });
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  const cache = path.join(machine.folder, 'cache');
  const left = (): string[] => readdirSync(cache).filter((name) => name.startsWith('shell-'));
  const opened = async (): Promise<RunningBuild> => {
    const running = machine.start(['shell', '--no-tmpfs', 'packages', '-c', 'echo x >/big; echo there; sleep 600'], { cwd: project });
    await running.sees('there');
    return running;
  };
  const used = await opened();
  for (const args of [
    ['cache', 'prune'],
    ['cache', 'clear'],
    ['--no-confirm', '-t'],
    ['shell', 'packages', '-c', 'true'],
  ]) {
    const before = left();
    const running = await opened();
    running.kill('SIGKILL');
    await running.ended;
    expect(left()).toHaveLength(before.length + 1);
    // The lock lasts until the sandbox has gone.
    for (let tries = 0; tries < 50 && left().length > 1; tries += 1) expect((await machine.run(args, { cwd: project })).code).toBe(0);
    expect(left()).toEqual(before);
  }
  used.kill('SIGTERM');
  await used.ended;
  expect(left()).toEqual([]);
});

test('what is never kept cannot be opened, and is named', async () => {
  const project = machine.project('never kept', { 'build.conf': `${conf}NOCACHE_STEPS=two\n` });
  const shell = (...args: string[]): Promise<Run> => machine.run(['shell', ...args], { cwd: project });
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  for (const step of [[], ['two']]) {
    const run = await shell(...step, '-c', 'true');
    expect([run.code, run.lastLine]).toEqual([3, 'realmfs-builder: error: post/two: post/two runs in every build, and is never kept']);
  }
  expect((await shell('one', '-c', 'cat /one')).stdout).toBe('one\n');
  const without = await shell('--set', 'LAYERS_MAX_SIZE=0', 'one', '-c', 'true');
  expect([without.code, without.lastLine]).toEqual([3, expect.stringContaining('no layers are kept (LAYERS_MAX_SIZE=0')]);
});

test('a shell on a terminal of its own: its size, its name, job control, Ctrl-C', async () => {
  const project = machine.project('terminal', { 'build.conf': conf });
  expect((await machine.run(['--no-confirm', '-t'], { cwd: project })).code).toBe(0);
  const shell = onTerminal(project, ['shell', 'one']);
  await shell.sees('realmfs post/one');
  shell.say('tty; stty size; echo $((6 * 7)) $TERM');
  for (const text of ['/dev/pts/0', '33 111', '42 xterm']) await shell.sees(text);
  shell.say('echo begun-"here"; sleep 1000');
  await shell.sees('begun-here');
  await sleep(500);
  shell.say('\u0003');
  shell.say('echo still-"here"');
  await shell.sees('still-here');
  shell.say('exit 5');
  expect((await shell.ended).code).toBe(5);
});

test('--shell-on-failure: what has failed and where, the tree as the step has left it; exit gives up', async () => {
  const failing = conf.replace('two() {', 'two() { touch /half-done; ls /nowhere;');
  const project = machine.project('fails', { 'build.conf': failing });
  const before = machine.snapshot();
  const build = onTerminal(project, ['--no-confirm', '-t', '--progress', 'plain', '--shell-on-failure']);
  for (const text of ['post/two has failed', 'build.conf:8', 'retry: run the step once more', 'realmfs post/two']) await build.sees(text);
  build.say('ls /half-done; echo $PWD "${WORDS[*]}"');
  for (const text of ['/half-done\r', '/usr a b c d']) await build.sees(text);
  build.say('exit');
  const run = await build.ended;
  expect(run.code, run.stdout).toBe(1);
  expect(run.stdout).toContain('realmfs-builder: error: post/two: build.conf:8: exit code 2 from: ls /nowhere; log: ');
  expect(await machine.settled(before)).toEqual(before);
});

test('--shell-on-failure: retry runs the step again from the layer below', async () => {
  const late = Math.floor(Date.now() / 1000) + 9;
  const failing = conf.replace('two() {', `two() { echo x >>/tries; (( $(date +%s) > ${late} ));`);
  const project = machine.project('retries', { 'build.conf': failing });
  const build = onTerminal(project, ['--no-confirm', '-t', '--progress', 'plain', '--shell-on-failure']);
  await build.sees('realmfs post/two');
  build.say(`touch /left-by-hand; while (($(date +%s) <= ${late})); do sleep 1; done; retry`);
  const run = await build.ended;
  expect(run.code, run.stdout).toBe(0);
  const tarball = path.join(project, 'realmfs/realmfs-rootfs.tar');
  expect(machine.shell('tar -xOf "$1" ./tries', tarball)).toBe('x\n');
  expect(machine.shell('tar -tf "$1" | grep -c -e left-by-hand -e half-done || true', tarball)).toBe('0\n');
});

test('--shell-on-failure: retry begins with the state that the first try has begun with', async () => {
  const late = Math.floor(Date.now() / 1000) + 9;
  const text = conf
    .replace(
      'POST_INSTALL_MODULES',
      `PRE_INSTALL_MODULES="counts fails"\ncounts() { COUNT=$((COUNT + 1)); }\nfails() { (( $(date +%s) > ${late} )); }\nCOUNT=0\nPOST_INSTALL_MODULES`,
    )
    .replace('two() {', 'two() { echo "$COUNT" >/count;');
  const project = machine.project('retries before', { 'build.conf': text });
  const build = onTerminal(project, ['--no-confirm', '-t', '--progress', 'plain', '--shell-on-failure']);
  await build.sees('realmfs pre/fails');
  build.say(`while (($(date +%s) <= ${late})); do sleep 1; done; retry`);
  const run = await build.ended;
  expect(run.code, run.stdout).toBe(0);
  expect(machine.shell('tar -xOf "$1" ./count', path.join(project, 'realmfs/realmfs-rootfs.tar'))).toBe('1\n');
});

test('without a terminal --shell-on-failure reads standard input, and its end gives up', async () => {
  const project = machine.project('piped', { 'build.conf': conf.replace('two() {', 'two() { false;') });
  const run = await machine.run(['--no-confirm', '-t', '--progress', 'plain', '--shell-on-failure'], {
    cwd: project,
    via: ['bash', '--norc', '-c', 'echo "cat /one" | "$@"', 'bash'],
  });
  expect(run.code).toBe(1);
  expect(run.stdout).toContain('one\n');
});
