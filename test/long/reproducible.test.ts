import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { targets } from '../../src/targets/all.ts';
import { buildElsewhere } from '../helpers/elsewhere.ts';
import { Machine, sha256 } from '../helpers/machine.ts';
import { records } from '../helpers/records.ts';

// The real debootstrap, each time: nothing of the first build but package files is used by the second.
const machine = new Machine({ realDebootstrap: true });
afterAll(() => machine.close());

const all = targets.filter(({ isFolder }) => !isFolder);
/** xz takes a minute for each on a large tree. */
const quick = all.filter(({ name }) => !name.endsWith('-xz'));

describe.each([
  ['trixie', 'minimal', all],
  ['trixie', 'citadel', quick],
  ['bookworm', 'minimal', all],
  ['bookworm', 'citadel', quick],
])('%s, %s', (release, profile, chosen) => {
  const out = path.join(machine.folder, `${release}-${profile}`);
  const settings = ['--set', `DEBIAN_RELEASE=${release}`, '--set', `REALMFS_PROFILE=${profile}`];
  const names = [...chosen.map(({ name }) => name), 'root-dir'].join();
  const results = [...chosen.map((target) => target.file('base')), ...records];

  test('every target is made', async () => {
    const run = await machine.run(['--no-confirm', '--targets', names, '-d', out, ...settings]);
    expect(run.code, run.stderr).toBe(0);
    const shown = './etc/apt/sources.list.d/debian.sources ./usr/lib/os-release ./etc/passwd';
    const sources = machine.shell(`tar -xOf "$1/realmfs-rootfs.tar" ${shown}`, out);
    for (const line of [
      `Suites: ${release} ${release}-updates`,
      `Suites: ${release}-security`,
      `VERSION_CODENAME=${release}`,
      '\nuser:x:1000:1000:',
    ])
      expect(sources).toContain(line);
  });

  test('the same bytes under another host name, umask, time zone, language, home, folder and number of processors', () => {
    const there = `${out}-there`;
    buildElsewhere(machine, there, '--targets', names, ...settings);
    // The cache has all packages: nothing but the Release file is fetched.
    const log = readFileSync(path.join(there, 'realmfs-build.log'), 'utf8');
    expect(log).toContain(`dists/${release}/InRelease`);
    expect(log).not.toMatch(/I: Retrieving|Get:\d+ .*(?:Packages|amd64) /);
    for (const name of results) expect(`${name} ${sha256(path.join(there, name))}`).toBe(`${name} ${sha256(path.join(out, name))}`);
    // Its place is wanted for the next one.
    machine.shell('find "$1" -xdev -delete', there);
  });

  test('verify --rebuild says so, without any cache', async () => {
    const run = await machine.run(['verify', '--rebuild', out]);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toBe(results.map((name) => `${name}: the same\n`).join(''));
  });

  test('its RealmFS image by programs that are not ours, signed', async () => {
    const image = path.join(out, 'base-realmfs.img');
    const key = path.join(out, 'key');
    expect((await machine.run(['keygen', key])).code).toBe(0);
    // With a key every RealmFS image of the folder must have its signature.
    const images = results.filter((name) => name.endsWith('.img')).map((name) => path.join(out, name));
    for (const each of images) expect((await machine.run(['sign', '--key', key, each])).code).toBe(0);
    const { stdout } = await machine.run(['verify', '--key', `${key}.pub`, out]);
    expect(stdout.match(/ good, signed by the key$/gm)).toHaveLength(images.length);
    const header = readFileSync(image).subarray(0, 4096);
    const length = header.readUInt16BE(6);
    const metainfo = header.subarray(8, 8 + length).toString();
    const field = (name: string): string => new RegExp(`^${name} = "?([^"\\n]*)"?$`, 'm').exec(metainfo)?.[1] ?? '';
    const script = `
      dd if="$1" bs=1 skip=8 count="$5" of="$2.metainfo" status=none
      dd if="$1" bs=1 skip=$((8 + $5)) count=64 of="$2.signature" status=none
      openssl pkeyutl -verify -rawin -pubin -inkey "$6" -sigfile "$2.signature" -in "$2.metainfo"
      dd if="$1" bs=4096 skip=1 of="$2" status=none
      veritysetup verify --hash-offset=$(($3 * 4096)) "$2" "$2" "$4"
      head -c $(($3 * 4096)) "$2" | sha256sum
      e2fsck -fn "$2" >/dev/null 2>&1 && echo clean
      rm "$2"`;
    const body = path.join(machine.folder, 'body');
    const said = machine.shell(script, image, body, field('nblocks'), field('verity-root'), String(length), `${key}.pub`);
    expect(said).toBe(`Signature Verified Successfully\n${field('shasum')}  -\nclean\n`);
  });
});
