import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chooseMirrors, hostRepositories } from '../../src/host/mirrors.ts';
import { realRunner } from './runners.ts';
import { makeSigningKey, newKey, type SigningKey, type StoredKey } from './signing.ts';

/** What lies in the archive; raised when it changes. */
const VERSION = 5;
const PACKAGES = ['systemd-sysv', 'locales', 'less', 'tree', 'ca-certificates'];

export const keyNames = ['good', 'expired', 'revoked', 'unknown'] as const;
export type KeyName = (typeof keyNames)[number];

/** A small Debian archive: the suite trixie, made of real packages and of small ones for the tests. */
export interface FixtureArchive {
  readonly folder: string;
  readonly arch: string;
  /** Good, expired and revoked keys are in the keyring, the unknown one is not. */
  readonly keys: Readonly<Record<KeyName, SigningKey>>;
  readonly keyring: Buffer;
  /** When it was made, seconds since 1970. */
  readonly made: number;
}

/** Maintainer scripts and files of the small packages. */
const small: Readonly<
  Record<string, { readonly files?: Readonly<Record<string, string>>; readonly postinst?: string; readonly more?: string }>
> = {
  'fixture-plain': { files: { 'usr/share/fixture-plain': 'plain\n' } },
  'fixture-fails': { postinst: 'echo "this one always fails" >&2; exit 7' },
  'fixture-prompts': { postinst: 'read -r answer </dev/tty || read -r answer || true; echo "answer: [$answer]" >/prompted' },
  'fixture-sleeps': { postinst: 'trap "" TERM INT HUP; sleep 1000' },
  'fixture-daemon': {
    files: {
      'usr/sbin/fixture-daemon': '#!/bin/sh\nexec sleep 1000\n',
      'etc/init.d/fixture-daemon': '#!/bin/sh\n# kinit\n/usr/sbin/fixture-daemon &\n',
    },
    postinst:
      'start-stop-daemon --start --background --make-pidfile --pidfile /run/fixture.pid --exec /usr/sbin/fixture-daemon; invoke-rc.d fixture-daemon start || true; (setsid /usr/sbin/fixture-daemon >/dev/null 2>&1 &) ; exit 0',
  },
  'fixture-conffile': { files: { 'etc/fixture.conf': 'from the package\n' }, more: 'conffile' },
  'fixture-setcap': {
    files: { 'usr/bin/fixture-setcap': '#!/bin/sh\n' },
    postinst:
      'perl -e \'my ($f, $n, $v) = ("/usr/bin/fixture-setcap", "security.capability", pack("V5", 0x02000001, 0x2000, 0, 0, 0)); syscall(188, $f, $n, $v, 20, 0) == 0 or die $!\'',
  },
  'fixture-mknod': { postinst: 'mknod /fixture-device c 1 3' },
  'fixture-big': { more: 'big' },
};

/** The archive; made once, then kept beside the tests' package cache: in it, the program would take the cache for no cache. */
export async function fixtureArchive(cache: string): Promise<FixtureArchive> {
  const folder = `${cache}-fixture-${VERSION}`;
  if (!existsSync(folder)) {
    const part = mkdtempSync(`${folder}-part-`);
    await makeArchive(part);
    try {
      renameSync(part, folder);
    } catch (error) {
      rmSync(part, { recursive: true });
      // Another run was faster.
      if (!existsSync(folder)) throw error;
    }
  }
  const { made, arch, stored } = JSON.parse(readFileSync(path.join(folder, 'fixture.json'), 'utf8'));
  const keys = signingKeys(stored);
  return { folder, arch, made, keys, keyring: keyringOf(keys) };
}

function signingKeys(stored: Readonly<Record<KeyName, StoredKey>>): Record<KeyName, SigningKey> {
  return {
    good: makeSigningKey('good', { stored: stored.good }),
    expired: makeSigningKey('expired', { stored: stored.expired, expired: true }),
    revoked: makeSigningKey('revoked', { stored: stored.revoked, revoked: true }),
    unknown: makeSigningKey('unknown', { stored: stored.unknown }),
  };
}

function keyringOf(keys: Readonly<Record<KeyName, SigningKey>>): Buffer {
  return Buffer.concat([keys.good.keyring, keys.expired.keyring, keys.revoked.keyring]);
}

async function makeArchive(folder: string): Promise<void> {
  chmodSync(folder, 0o755);
  const stored = { good: newKey(), expired: newKey(true), revoked: newKey(), unknown: newKey() };
  const arch = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim();
  const pool = path.join(folder, 'debian/pool');
  mkdirSync(pool, { recursive: true });
  await fetchPackages(folder, pool);
  for (const name of Object.keys(small)) makePackage(folder, pool, name, '1', small[name] ?? {});
  // Images trust the archive through this package, as they trust Debian.
  const keyring = keyringOf(signingKeys(stored));
  const places = { 'usr/share/keyrings/debian-archive-keyring.gpg': keyring, 'etc/apt/trusted.gpg.d/debian-archive.gpg': keyring };
  execFileSync('find', [pool, '-name', 'debian-archive-keyring_*', '-delete']);
  makePackage(folder, pool, 'debian-archive-keyring', '9999', {}, places);
  const run = (file: string, ...args: string[]): string =>
    execFileSync(file, args, { encoding: 'utf8', cwd: path.join(folder, 'debian'), maxBuffer: 1 << 28 });
  // A security update, for tests that ask for it.
  mkdirSync(path.join(folder, 'security/pool'), { recursive: true });
  makePackage(folder, path.join(folder, 'security/pool'), 'fixture-plain', '2', { files: { 'usr/share/fixture-plain': 'mended\n' } });
  writeFileSync(
    path.join(folder, 'security-Packages'),
    execFileSync('apt-ftparchive', ['packages', 'pool'], { cwd: path.join(folder, 'security') }),
  );
  writeFileSync(path.join(folder, 'Packages'), run('apt-ftparchive', 'packages', 'pool'));
  execFileSync('xz', ['--keep', path.join(folder, 'Packages')]);
  writeFileSync(path.join(folder, 'fixture.json'), JSON.stringify({ made: Math.floor(Date.now() / 1000) - 60, arch, stored }));
}

/** Lets debootstrap fetch the packages of a base system, and no more. */
async function fetchPackages(folder: string, pool: string): Promise<void> {
  const { main } = chooseMirrors({ main: '', security: '' }, await hostRepositories(realRunner()));
  const tarball = path.join(folder, 'base.tgz');
  const work = path.join(folder, 'work');
  execFileSync(
    'debootstrap',
    [`--make-tarball=${tarball}`, '--variant=minbase', `--include=${PACKAGES.join(',')}`, 'trixie', work, ...(main === '' ? [] : [main])],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  execFileSync('tar', ['-xzf', tarball, '-C', pool, '--strip-components=4', '--wildcards', 'var/cache/apt/archives/*.deb']);
}

function makePackage(
  folder: string,
  pool: string,
  name: string,
  version: string,
  { files = {}, postinst, more }: (typeof small)[string] = {},
  binary: Readonly<Record<string, Buffer>> = {},
): void {
  const tree = path.join(folder, 'packages', name);
  const write = (file: string, content: string | Buffer, mode: number): void => {
    mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
    writeFileSync(path.join(tree, file), content, { mode });
  };
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: Test <test@mirror.example>\nDescription: for tests\n${name === 'debian-archive-keyring' ? 'Priority: important\n' : ''}`;
  write('DEBIAN/control', control, 0o644);
  for (const [file, content] of Object.entries({ ...files, ...binary }))
    write(file, content, file.includes('bin/') || file.includes('init.d') ? 0o755 : 0o644);
  if (postinst !== undefined) write('DEBIAN/postinst', `#!/bin/sh\nset -e\n${postinst}\n`, 0o755);
  if (more === 'conffile')
    write(
      'DEBIAN/conffiles',
      Object.keys(files)
        .map((file) => `/${file}\n`)
        .join(''),
      0o644,
    );
  if (more === 'big') write('usr/share/fixture-big', Buffer.alloc(200 * 1024 ** 2), 0o644);
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zxz', '-z1', '--build', tree, path.join(pool, `${name}_${version}_all.deb`)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
