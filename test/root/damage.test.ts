import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DamagedBuilds } from '../helpers/damaged-builds.ts';
import { Machine, mirror } from '../helpers/machine.ts';
import { steps } from '../helpers/steps.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());
const builds = new DamagedBuilds(machine);
beforeAll(async () => {
  await builds.fill();
  mirror.clear();
});

const store = path.join(builds.cache, 'layers');
/** The files below a folder whose paths end like this. */
const files = (folder: string, end: RegExp): string[] =>
  execFileSync('find', [folder, '-type', 'f', '-not', '-path', '*/tree/*', '-print0'], { encoding: 'utf8' })
    .split('\0')
    .filter((name) => end.test(name));
/** The layer of a step of the project of modules that was used last; no damage has set its time to the future. */
function layerOf(step: string): string {
  const usedAt = (folder: string): number => statSync(path.join(folder, 'lock')).mtimeMs;
  const isOne = (file: string): boolean => {
    const { steps: held, project } = JSON.parse(readFileSync(file, 'utf8'));
    return held.at(-1) === step && project.includes('damaged-modules');
  };
  const folders = files(store, /\/meta\.json$/)
    .filter(isOne)
    .map((file) => path.dirname(file))
    .filter((folder) => usedAt(folder) <= Date.now());
  return folders.sort((one, other) => usedAt(other) - usedAt(one))[0] ?? '';
}

// Seeds from 1000 on are those of test/long/damage.test.ts; one that has failed becomes a test here.
test.each(Array.from({ length: 12 }, (_, at) => at + 1))('random damage, seed %i: the next build is right all the same', async (seed) => {
  expect(await builds.round(seed)).toBeUndefined();
});

describe('a layer that is not what was kept is removed with a warning, and made again', () => {
  beforeAll(async () => {
    // What the damages before have left that no build has met.
    await builds.command('verify', '--repair');
    await builds.command('prune', '--max-size', '100G');
    expect(builds.fault('modules', 2, await builds.build('modules', 2))).toBeUndefined();
  });
  const rewrite = (file: string, text: string): void => {
    const { atime, mtime } = statSync(file);
    writeFileSync(file, text);
    utimesSync(file, atime, mtime);
  };
  test.each<[string, string, (layer: string) => void, string]>([
    [
      'a byte, size and times as they were',
      'post/setter',
      (at) => rewrite(`${at}/tree/opt/data.txt`, 'Original\n'),
      'tree/opt/data.txt has other content',
    ],
    ['a file is gone', 'post/setter', (at) => rmSync(`${at}/tree/opt/data.txt`), 'tree/opt/data.txt is gone'],
    ['a new file', 'post/setter', (at) => writeFileSync(`${at}/tree/opt/more`, ''), 'tree/opt/more is new'],
    ['the state is cut', 'post/setter', (at) => truncateSync(`${at}/state.sh`, 20), 'state.sh has other content'],
    ['the state is empty', 'post/setter', (at) => truncateSync(`${at}/state.sh`, 0), 'state.sh has other content'],
    ['the state is gone', 'post/setter', (at) => rmSync(`${at}/state.sh`), 'state.sh is gone'],
    ['the tree is gone', 'post/odds', (at) => rmSync(`${at}/tree`, { recursive: true }), 'tree is gone'],
    [
      'an attribute is gone',
      'post/odds',
      (at) => execFileSync('setfattr', ['-x', 'trusted.overlay.opaque', `${at}/tree/usr/share/doc`]),
      'tree/usr/share/doc has other attributes',
    ],
    ['meta.json is cut', 'post/setter', (at) => truncateSync(`${at}/meta.json`, 200), 'its meta.json is damaged'],
    [
      'meta.json is a folder',
      'post/setter',
      (at) => {
        rmSync(`${at}/meta.json`);
        mkdirSync(`${at}/meta.json`);
      },
      'its meta.json is not a file that can be read',
    ],
    ['the lock is gone', 'post/setter', (at) => rmSync(`${at}/lock`), 'its lock is missing'],
  ])('%s', async (_, step, damage, why) => {
    const layer = layerOf(step);
    damage(layer);
    const run = await builds.build('modules', 2);
    expect(builds.fault('modules', 2, run)).toBeUndefined();
    expect(run.stderr).toContain(`the layer of ${step} is damaged: ${why}; it is removed, and made again`);
    expect(run.stderr).not.toContain('share the network');
    expect(steps(run).ran).toContain(step);
    expect(existsSync(layer)).toBe(false);
    const again = await builds.build('modules', 2);
    expect([again.code, steps(again).ran, again.stderr.includes('damaged:')]).toEqual([0, [], false]);
  });

  test('unless another build uses it: then this one makes its own', async () => {
    const layer = layerOf('post/setter');
    const holder = spawn('flock', ['--shared', '--no-fork', layer, 'bash', '-c', 'echo held; exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    truncateSync(`${layer}/state.sh`, 0);
    const run = await builds.build('modules', 2);
    expect(builds.fault('modules', 2, run)).toBeUndefined();
    expect(run.stderr).toContain('state.sh has other content; another build uses it; this one makes its own');
    expect(existsSync(layer)).toBe(true);
    const ended = once(holder, 'exit');
    holder.kill('SIGKILL');
    await ended;
    const list = JSON.parse((await builds.command('verify', '--json')).stdout);
    expect(list.bad.map(({ path: name }: { path: string }) => path.join(builds.cache, name))).toContain(layer);
    expect((await builds.command('verify', '--repair')).code).toBe(0);
  });

  test('a cache that was copied is read whole once, and believed', async () => {
    const copy = new DamagedBuilds(machine, 'copied');
    // Keys of layers are made with the salt of the cache.
    execFileSync('cp', ['-a', '--reflink=auto', '--', store, path.join(builds.cache, 'salt'), copy.cache]);
    const run = await copy.build('modules', 2);
    expect([run.code, steps(run).ran]).toEqual([0, []]);
    expect(run.stderr).toContain('the layer of post/setter was copied or touched since it was made: all of it is compared with its record');
    expect((await copy.build('modules', 2)).stderr).not.toContain('copied or touched');
  });
});

test('what is no layer in the store is listed with its size, counts, and is removed', async () => {
  const old = path.join(store, 'e'.repeat(64), 'f'.repeat(32));
  mkdirSync(path.join(old, 'tree'), { recursive: true });
  writeFileSync(path.join(old, 'meta.json'), '{"format":1,"id":"x"}');
  writeFileSync(path.join(old, 'tree/large'), Buffer.alloc(4 * 1024 ** 2));
  writeFileSync(path.join(store, 'stray'), 'x');
  mkdirSync(path.join(store, 'd'.repeat(64)));
  writeFileSync(path.join(store, 'keys', 'c'.repeat(64)), '');
  mkdirSync(path.join(store, 'new', 'b'.repeat(32)));
  execFileSync('ln', ['-s', '/etc', path.join(store, 'new', 'a'.repeat(32))]);
  const list = await builds.command('list');
  expect(list.stdout).toMatch(/^f{12} +4\.0 MiB .* unreadable +another version of the builder has made it$/m);
  expect(list.stdout).toMatch(/^stray .* it does not belong to a store of layers$/m);
  const json = JSON.parse((await builds.command('list', '--json')).stdout);
  expect(json.unreadable.map(({ path: name }: { path: string }) => path.relative(store, name)).sort()).toEqual([
    path.relative(store, old),
    'stray',
  ]);
  expect((await builds.command('du')).stdout).toContain('unreadable: 2 entries');
  const pruned = await builds.command('prune', '--max-size', '100G');
  expect(pruned.stdout).toContain('and 2 entries that could not be read');
  expect(['stray', 'd'.repeat(64), 'e'.repeat(64)].filter((name) => existsSync(path.join(store, name)))).toEqual([]);
  expect(['keys', 'new', 'trash'].flatMap((name) => readdirSync(path.join(store, name)))).toEqual([]);
  expect(existsSync('/etc/passwd')).toBe(true);
});

test('a time in the future counts as old: the archive is asked', async () => {
  const future = Date.now() / 1000 + 300 * 24 * 3600;
  for (const file of files(store, /\/(?:meta\.json|lock)$/)) lutimesSync(file, future, future);
  for (const file of files(path.join(builds.cache, 'apt/asked'), /./)) lutimesSync(file, future, future);
  mirror.clear();
  const run = await builds.build('modules', 0);
  expect(builds.fault('modules', 0, run)).toBeUndefined();
  expect(mirror.requests.some((name) => name.endsWith('InRelease'))).toBe(true);
  mirror.clear();
  expect((await builds.build('packages', 2, '--refresh')).code).toBe(0);
  expect(mirror.requests.filter((name) => name.endsWith('InRelease')).length).toBeGreaterThan(1);
  expect((await builds.command('prune', '--older-than', '30d')).stdout).toMatch(/^\d+ layers removed/);
});

test("apt's lists in the cache that were damaged are fetched again, whatever their times say; the mirror is not blamed", async () => {
  const [list = ''] = files(path.join(builds.cache, 'apt/lists'), /trixie_main_binary-\w+_Packages$/);
  const { atime, mtime } = statSync(list);
  const text = readFileSync(list, 'latin1');
  const at = text.indexOf('SHA256: ', text.indexOf('Package: fixture-plain\n')) + 8;
  writeFileSync(list, text.slice(0, at) + (text[at] === '0' ? '1' : '0') + text.slice(at + 1), 'latin1');
  utimesSync(list, atime, mtime);
  const run = await builds.build('packages', 2, '--rebuild-from', 'packages');
  expect(builds.fault('packages', 2, run)).toBeUndefined();
  expect(run.stderr).toContain(`apt's lists in the package cache are damaged or outdated, and fetched again: ${path.basename(list)}`);
  expect(readFileSync(list, 'latin1')).toBe(text);
});

test('several that prune at the same time, beside a build', async () => {
  const running = builds.build('modules', 1, '--no-cache');
  const pruning = ['clear', 'prune', 'clear', 'prune', 'clear'].map((action) => builds.command(action));
  for (const { code, stderr } of await Promise.all(pruning)) expect([code, stderr]).toEqual([0, '']);
  const run = await running;
  expect(builds.fault('modules', 1, run)).toBeUndefined();
  expect(run.stderr).not.toMatch(/warning|could not be removed/);
  expect(readdirSync(path.join(store, 'trash'))).toEqual([]);
});

test('cache verify names what does not hold; --repair removes it', async () => {
  for (const project of ['modules', 'packages'] as const) expect(builds.fault(project, 2, await builds.build(project, 2))).toBeUndefined();
  const good = await builds.command('verify');
  expect([good.code, good.stdout]).toEqual([
    0,
    expect.stringMatching(/^\d+ layers, \d+ packages.*, \d+ lists, \d+ notes: all of it holds\n$/),
  ]);
  const layer = layerOf('post/setter');
  writeFileSync(`${layer}/tree/opt/data.txt`, 'Original\n');
  const [deb = ''] = files(path.join(builds.cache, 'apt/archives'), /\/fixture-plain_[^/]*\.deb$/);
  truncateSync(deb, 100);
  const [list = ''] = files(path.join(builds.cache, 'apt/lists'), /non-free-firmware\w*_\S*Packages$/);
  writeFileSync(list, 'x', { flag: 'a' });
  const [note = ''] = files(path.join(store, 'last'), /./);
  truncateSync(note, 20);
  const found = await builds.command('verify', '--json');
  expect(found.code).toBe(1);
  const bad: { path: string; removed: boolean }[] = JSON.parse(found.stdout).bad;
  const names = bad.map(({ path: name }) => path.join(builds.cache, name));
  expect(names).toEqual(expect.arrayContaining([layer, deb, list, note]));
  expect(bad.every(({ removed }) => !removed)).toBe(true);
  const repaired = await builds.command('verify', '--repair');
  expect([repaired.code, repaired.stdout]).toEqual([
    0,
    expect.stringContaining(`layer of post/setter: tree/opt/data.txt has other content: removed\n`),
  ]);
  for (const file of [layer, deb, list, note]) expect(existsSync(file), file).toBe(false);
  // What lay on a layer that is gone can be used by nobody.
  await builds.command('prune');
  expect((await builds.command('verify')).code).toBe(0);
  for (const project of ['modules', 'packages'] as const) expect(builds.fault(project, 2, await builds.build(project, 2))).toBeUndefined();
});

test('a folder of the cache that is none is an error that names it', async () => {
  const folder = path.join(builds.cache, 'apt/lists/partial');
  rmSync(folder, { recursive: true });
  writeFileSync(folder, '');
  const run = await builds.build('modules', 0);
  expect([run.code, run.lastLine]).toEqual([
    3,
    expect.stringContaining('apt/lists/partial in it is not a folder; remove it, and build again'),
  ]);
  rmSync(folder);
  expect(builds.fault('modules', 0, await builds.build('modules', 0))).toBeUndefined();
});
