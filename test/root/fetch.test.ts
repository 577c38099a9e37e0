import { execFileSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Fault, ReleaseChange } from '../helpers/fixture-mirror.ts';
import { bare, Machine, mirror, type Run, sha256, testCache } from '../helpers/machine.ts';

// The real debootstrap, the fixture archive: no outside network but for making that archive once.
const machine = new Machine({ realDebootstrap: true });
// Where debootstrap is not what is looked at: the recorded tree of the same archive.
const quick = new Machine();
const keyring = mirror.writeKeyring(path.join(machine.folder, 'fixture.gpg'));
const cache = path.join(machine.folder, 'cache');
afterAll(() => {
  machine.close();
  quick.close();
});
beforeEach(() => mirror.clear());

const conf = `${bare}DEBIAN_MIRROR=http://mirror.example/debian\nDEBIAN_SECURITY_MIRROR=http://mirror.example/debian-security\n`;

/** Builds from the fixture archive; what differs is in `args` and `env`. */
function build(
  name: string,
  args: readonly string[] = [],
  more: { conf?: string; env?: Record<string, string>; files?: Record<string, string> } = {},
) {
  const project = machine.project(name.replaceAll(/\W+/g, '-'), { 'build.conf': conf + (more.conf ?? ''), ...more.files });
  return machine.run(['--no-confirm', '-t', '--keyring', keyring, '--proxy', mirror.proxy, ...args], {
    cwd: project,
    env: { REALMFS_CACHE_DIR: cache, FETCH_TIMEOUT: '2', ...more.env },
  });
}

/** The same with the recorded tree. */
function buildQuick(name: string, args: readonly string[] = [], conf = ''): Promise<Run> {
  const project = quick.project(name.replaceAll(/\W+/g, '-'), { 'build.conf': bare + conf });
  return quick.run(['--no-confirm', '-t', ...args], { cwd: project, env: { FETCH_TIMEOUT: '2' } });
}

/** The manifest of a build with the recorded tree. */
function manifestOf(name: string) {
  return JSON.parse(readFileSync(path.join(quick.folder, name, 'realmfs/manifest.json'), 'utf8'));
}

/** A build that must end with 4 before anything of the archive is used. */
function expectRefused(run: Run, cause: string | RegExp): void {
  const match = /^realmfs-builder: error: (.*?); log: \S+$/.exec(run.lastLine);
  expect(match?.[1], run.stderr).toMatch(cause);
  expect(run.code).toBe(4);
  expect(run.stderr).not.toContain('Unpacking');
}

const release = 'bootstrap: http://mirror.example/debian/dists/trixie/InRelease ';
const past = new Date(Date.now() - 86_400_000);
const future = new Date(Date.now() + 86_400_000);

describe('the Release file', () => {
  test.each<[string, ReleaseChange, string | RegExp]>([
    ['changed after it was signed', { forged: true }, `${release}was changed after it was signed`],
    ['an unknown key', { signedBy: ['unknown'] }, `${release}is signed by a key that is not in the keyring`],
    ['an expired key', { signedBy: ['expired'] }, `${release}is signed by a key that has expired`],
    ['a revoked key', { signedBy: ['revoked'] }, `${release}is signed by a key that was revoked`],
    ['an expired and a revoked key', { signedBy: ['expired', 'revoked'] }, `${release}is signed by a key that`],
    ['no signature at all', { signedBy: [] }, `${release}cannot be fetched: ERROR 404: Not Found`],
    ['Valid-Until past', { validUntil: past }, `${release}has expired: it was valid until`],
    ['Date in the future', { date: future }, `${release}is dated in the future`],
    ['another suite', { suite: 'oldstable', codename: 'bookworm' }, `${release}is the Release file of bookworm, not of trixie`],
  ])('%s: refused', async (name, change, cause) => {
    mirror.release(change);
    const run = await build(`release-${name}`);
    expectRefused(run, cause);
    expect(mirror.requests.filter((file) => !file.endsWith('InRelease'))).toEqual([]);
  });

  test.each<[string, Fault, string | RegExp]>([
    ['404', { kind: 'status', code: 404 }, `${release}cannot be fetched: ERROR 404: Not Found`],
    ['500', { kind: 'status', code: 500 }, `${release}cannot be fetched: ERROR 500`],
    ['no answer', { kind: 'reset' }, new RegExp(`^${release}cannot be fetched: .*No data received`)],
    ['hangs at byte 100', { kind: 'hang', at: 100 }, new RegExp(`^${release}cannot be fetched: .*timed out`)],
    ['cut at byte 100', { kind: 'cut', at: 100 }, new RegExp(`^${release}cannot be fetched: `)],
    ['other bytes of the same length', { kind: 'wrong' }, `${release}is not signed`],
    [
      'a redirect loop',
      { kind: 'redirect', to: 'http://mirror.example/debian/dists/trixie/InRelease' },
      `${release}cannot be fetched: 10 redirections exceeded`,
    ],
  ])('%s: refused, after three tries at most', async (name, fault, cause) => {
    mirror.fault(/InRelease/, fault);
    expectRefused(await build(`fault-${name}`), cause);
    if (fault.kind !== 'redirect') expect(mirror.requests.length).toBeLessThanOrEqual(3);
  });

  test('nobody listens: the machine that refuses is named, without the password', async () => {
    const run = await build('refused', ['--proxy', 'http://someone:s3cret@127.0.0.1:9']);
    expectRefused(run, `${release}cannot be fetched: `);
    const log = readFileSync(path.join(machine.folder, 'refused/realmfs/realmfs-build.log'), 'utf8');
    expect(run.stderr + run.stdout + log).not.toContain('s3cret');
    expect(log).toContain('refused');
  });
});

describe('a build from the fixture archive', () => {
  test('the first fetches, the second only asks; an expired signature beside a good one, a redirect and a slow answer do no harm', async () => {
    mirror.release({ signedBy: ['expired', 'good'], validUntil: future });
    mirror.fault(/^.debian.dists.trixie.InRelease$/, { kind: 'redirect', to: 'http://mirror.example/moved/debian/dists/trixie/InRelease' });
    mirror.fault(/InRelease$/, { kind: 'slow', rate: 4000 });
    const first = await build('good');
    expect(first.code, first.stderr).toBe(0);
    expect(mirror.requests.length).toBeGreaterThan(80);
    const manifest = JSON.parse(readFileSync(path.join(machine.folder, 'good/realmfs/manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({ checkDates: true, sourceDateEpoch: mirror.archive.made, releaseDate: mirror.archive.made });
    mirror.clear();
    const again = await build('good');
    expect(again.code, again.stderr).toBe(0);
    expect(mirror.requests).toEqual(['/debian/dists/trixie/InRelease']);
    // The proxy is not in the image; the key of the archive is.
    const tree = machine.shell(
      'cd "$1/realmfs"; tar -tf realmfs-rootfs.tar; tar -xOf realmfs-rootfs.tar ./etc/apt/sources.list',
      path.join(machine.folder, 'good'),
    );
    expect(tree).toContain('./etc/apt/keyrings/fixture.gpg\n');
    expect(tree).toContain('deb [signed-by=/etc/apt/keyrings/fixture.gpg] http://mirror.example/debian trixie main non-free-firmware\n');
    expect(tree).not.toContain('127.0.0.1');
  });

  test('an older state than one that was seen is not used', async () => {
    expect((await buildQuick('rollback', ['--progress', 'plain'])).code).toBe(0);
    mirror.release({ date: new Date((mirror.archive.made - 86_400) * 1000) });
    const run = await buildQuick('rollback', ['--progress', 'plain']);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain('the mirror has an older state of trixie');
    expect(manifestOf('rollback').releaseDate).toBe(mirror.archive.made);
  });

  test('CHECK_DATES=off takes an archive that has expired, and the manifest says so', async () => {
    mirror.release({ validUntil: past });
    const run = await buildQuick(
      'expired',
      ['--set', 'CHECK_DATES=off', '--proxy', mirror.proxy],
      'unset -f install-packages\nPACKAGES=fixture-plain\n',
    );
    expect(run.code, run.stderr).toBe(0);
    const manifest = manifestOf('expired');
    expect(manifest).toMatchObject({ checkDates: false, inputs: { settings: { CHECK_DATES: 'off' } } });
    expect(manifest.packages.map((entry: { name: string }) => entry.name)).toContain('fixture-plain');
    // What steers the fetch alone is no input.
    expect(Object.keys(manifest.inputs.settings)).not.toContain('APT_PROXY');
  });
});

const archives = path.join(cache, 'apt/archives');

function cached(name: string): string {
  return path.join(archives, readdirSync(archives).find((file) => file.startsWith(`${name}_`)) ?? 'none');
}

/** What is wrong, how it is made so, a package that debootstrap installs, and one that apt does. */
const damages: readonly [name: string, damage: (file: string) => void, base: string, more: string][] = [
  ['forged, of the same size', (file) => writeFileSync(file, Buffer.alloc(statSync(file).size, 7)), 'hostname', 'fixture-plain'],
  ['truncated', (file) => writeFileSync(file, readFileSync(file).subarray(0, 100)), 'sed', 'tree'],
  ['longer', (file) => appendFileSync(file, 'more'), 'grep', 'fixture-conffile'],
  ['empty', (file) => writeFileSync(file, ''), 'gzip', 'fixture-setcap'],
  ['a folder', (file) => replaceBy(file, 'mkdir "$1"'), 'findutils', 'less'],
  ['a link to a file of the host', (file) => replaceBy(file, 'ln -s /etc/passwd "$1"'), 'diffutils', 'fixture-daemon'],
  ['a pipe', (file) => replaceBy(file, 'mkfifo "$1"'), 'debianutils', 'fixture-prompts'],
];

function replaceBy(file: string, script: string): void {
  rmSync(file);
  execFileSync('bash', ['-c', script, 'replace', file]);
}

describe('a package file in the cache', () => {
  const conf = { conf: `unset -f install-packages\nPACKAGES="${damages.map(([, , , more]) => more).join(' ')}"\n` };
  const sums = new Map<string, string>();
  let fetched: (string | undefined)[] = [];
  const files = damages.flatMap(([, , base, more]) => [base, more]);
  beforeAll(async () => {
    mirror.clear();
    const passwd = sha256('/etc/passwd');
    const first = await build('cached packages', [], conf);
    expect(first.code, first.stderr).toBe(0);
    for (const name of files) sums.set(name, sha256(cached(name)));
    for (const [, damage, base, more] of damages) for (const name of [base, more]) damage(cached(name));
    mirror.clear();
    const run = await build('cached packages', ['--progress', 'plain'], conf);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain('damaged in the cache, fetched again: ');
    expect(sha256('/etc/passwd')).toBe(passwd);
    fetched = mirror.requests.filter((file) => file.endsWith('.deb')).map((file) => path.basename(file).split('_')[0]);
  });

  test.each(damages)('%s: never installed, fetched again', (_, damage, base, more) => {
    expect(damage).toBeTypeOf('function');
    for (const name of [base, more]) {
      expect(fetched).toContain(name);
      expect(sha256(cached(name))).toBe(sums.get(name));
    }
  });

  test('nothing else is fetched', () => {
    expect(fetched.sort()).toEqual([...files].sort());
  });
});

describe('packages that the mirror cannot give', () => {
  test.each<[string, RegExp, Fault, string | RegExp]>([
    ['404', /hostname_/, { kind: 'status', code: 404 }, /^bootstrap: Couldn't download package hostname/],
    ['hangs', /hostname_/, { kind: 'hang', at: 10 }, /^bootstrap: Couldn't download package hostname/],
    ['wrong bytes', /hostname_/, { kind: 'wrong' }, /^bootstrap: Retrying failed download of .*hostname_/],
  ])('debootstrap: %s', async (name, pattern, fault, cause) => {
    rmSync(cached('hostname'), { force: true });
    mirror.fault(pattern, fault);
    expectRefused(await build(`gone-${name}`), cause);
    expect(mirror.requests.filter((file) => pattern.test(file)).length).toBeLessThanOrEqual(3);
  });

  const plain = 'unset -f install-packages\nPACKAGES=fixture-plain\n';
  test.each<[string, RegExp, Fault, string, string | RegExp]>([
    ['404', /fixture-plain_/, { kind: 'status', code: 404 }, plain, /^packages: Failed to fetch .*fixture-plain_.* 404/],
    ['wrong bytes', /fixture-plain_/, { kind: 'wrong' }, plain, /^packages: Failed to fetch .*fixture-plain_/],
    ['hangs', /fixture-plain_/, { kind: 'hang', at: 10 }, plain, /^packages: Failed to fetch .*fixture-plain_/],
    [
      'updates',
      /trixie-security.*InRelease/,
      { kind: 'status', code: 500 },
      `${plain}PRE_INSTALL_MODULES=write-apt-sources\n`,
      /^packages: /,
    ],
  ])('apt: %s', async (name, pattern, fault, conf, cause) => {
    for (const file of readdirSync(path.join(testCache, 'apt/archives')))
      if (file.startsWith('fixture-plain_')) rmSync(path.join(testCache, 'apt/archives', file));
    mirror.fault(pattern, fault);
    const run = await buildQuick(`gone-${name}`, [], conf);
    expect(/^realmfs-builder: error: (.*?); log: \S+$/.exec(run.lastLine)?.[1], run.stderr).toMatch(cause);
    expect(run.code).toBe(4);
    expect(mirror.requests.filter((file) => pattern.test(file)).length).toBeLessThanOrEqual(5);
  });
});

describe('further repositories and pins', () => {
  const source = (signedBy: string): string =>
    `Types: deb\nURIs: ${mirror.proxy}/moved/debian\nSuites: trixie\nComponents: main\nSigned-By: ${signedBy}\n`;

  test('a key of the project, a pin from a file: both stay in the image', async () => {
    const run = await build('extra', ['--proxy', 'DIRECT'], {
      conf: `unset -f install-packages\nPACKAGES="tree"\nDEBIAN_MIRROR=${mirror.url}\nEXTRA_SOURCES=apt/extra.sources\nEXTRA_PINS=apt/pins\n`,
      files: {
        'apt/extra.sources': source('apt/other.gpg').replace('Components', '# ours\nComponents'),
        'apt/pins': 'Package: less\nPin: release *\nPin-Priority: -1\n',
        'apt/other.gpg': '',
      },
    });
    // An empty key signs nothing.
    expect(run.code).toBe(4);
    expect(run.lastLine).toMatch(/error: packages: /);
    mirror.writeKeyring(path.join(machine.folder, 'extra/apt/other.gpg'));
    const good = await machine.run(['--no-confirm', '-t', '--keyring', keyring], {
      cwd: path.join(machine.folder, 'extra'),
      env: { REALMFS_CACHE_DIR: cache },
    });
    expect(good.code, good.stderr).toBe(0);
    const text = machine.shell(
      'cd "$1/realmfs"; tar -xOf realmfs-rootfs.tar ./etc/apt/sources.list.d/extra.sources ./etc/apt/preferences.d/extra.pref; tar -tf realmfs-rootfs.tar ./etc/apt/keyrings',
      path.join(machine.folder, 'extra'),
    );
    expect(text).toContain('Signed-By: /etc/apt/keyrings/other.gpg\n');
    expect(text).toContain('Package: less\n');
    expect(text).toContain('./etc/apt/keyrings/other.gpg\n');
  });

  test.each([
    ['no key', 'Types: deb\nURIs: http://mirror.example/x\nSuites: trixie\nComponents: main\n', 'repository 1 has no Signed-By'],
    [
      'Trusted',
      'Types: deb\nURIs: http://mirror.example/x\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\nTrusted: yes\n',
      'repository 1 says Trusted: yes',
    ],
  ])('%s is a configuration error', async (name, text, cause) => {
    const run = await build(`extra-${name}`, [], { conf: `EXTRA_SOURCES="${text}"\n` });
    expect(run.lastLine).toContain(`realmfs-builder: error: config: build.conf:7: EXTRA_SOURCES: ${cause}`);
    expect(run.code).toBe(2);
  });
});

test('auto-apt-proxy, where it is installed, is asked for the proxy', async () => {
  quick.shell('printf "#!/bin/sh\\necho %s\\n" "$1" >"$2/auto-apt-proxy"; chmod 755 "$2/auto-apt-proxy"', mirror.proxy, quick.folder);
  quick.shell(
    'mount -t tmpfs bin /usr/local/bin; [ -e /usr/bin/auto-apt-proxy ] || touch /usr/bin/auto-apt-proxy; mount --bind "$1/auto-apt-proxy" /usr/bin/auto-apt-proxy',
    quick.folder,
  );
  try {
    const project = quick.project('auto-proxy', { 'build.conf': bare });
    const run = await quick.run(['--no-confirm', '-t'], { cwd: project, env: { http_proxy: '' } });
    expect(run.code, run.stderr).toBe(0);
    expect(mirror.requests).toContain('/debian/dists/trixie/InRelease');
  } finally {
    quick.shell('umount /usr/bin/auto-apt-proxy /usr/local/bin; [ -s /usr/bin/auto-apt-proxy ] || rm /usr/bin/auto-apt-proxy');
  }
});

test('--offline names the packages of the bootstrap that are not in the cache', async () => {
  expect((await build('offline warm')).code).toBe(0);
  const archives = path.join(cache, 'apt/archives');
  const gone = readdirSync(archives).filter((name) => /^(?:bash|locales)_/.test(name));
  expect(gone).toHaveLength(2);
  for (const name of gone) rmSync(path.join(archives, name));
  mirror.clear();
  const run = await build('offline', ['--offline']);
  expect(run.code, run.stderr).toBe(4);
  expect([...run.stderr.matchAll(/^ *missing: (.*)$/gm)].map(([, name]) => name)).toEqual(gone.sort());
  expect(mirror.requests).toEqual([]);
});
