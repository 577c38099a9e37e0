import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findTarget } from '../../src/targets/all.ts';
import { Machine, sha256 } from '../helpers/machine.ts';
import { listing, oddTree } from '../helpers/odd-tree.ts';

const machine = new Machine();
afterAll(() => machine.close());

const names = ['realmfs-xz', 'squashfs-xz', 'tarball-xz'];

describe('targets that xz compresses', () => {
  const project = machine.project('xz', { 'build.conf': oddTree });
  const out = path.join(project, 'realmfs');
  let whole = '';
  beforeAll(async () => {
    const run = await machine.run(['--no-confirm', '--targets', names.join(), '--keep-rootfs'], { cwd: project });
    expect(run.code, run.stderr).toBe(0);
    whole = listing(machine, out, 'tree=$out/rootfs');
  });

  test.each([
    [
      'realmfs-xz',
      'tail -c +4097 "$out/base-realmfs-xz.img" | xz -d >"$tree/x"; mount -o loop,ro,offset=4096 "$tree/x" "$tree/in"; tree=$tree/in',
    ],
    ['squashfs-xz', 'mount -t squashfs -o loop,ro "$out/base.xz.squashfs" "$tree/in"; tree=$tree/in'],
    ['tarball-xz', 'tar -xf "$out/realmfs-rootfs.tar.xz" -C "$tree/in" --numeric-owner; tree=$tree/in'],
  ])('%s holds the tree', (_, show) => {
    expect(listing(machine, out, show)).toBe(whole);
  });

  test('realmfs-xz: a block of zeros, then the data of the checksum', () => {
    const image = path.join(out, 'base-realmfs-xz.img');
    const header = readFileSync(image).subarray(0, 4096);
    expect(header[5]).toBe(4);
    const shasum = /^shasum = "([0-9a-f]+)"$/m.exec(header.toString('latin1'))?.[1];
    const script = 'tail -c +4097 "$1" | xz -d >"$2"; head -c 4096 "$2" | tr -d "\\\\0" | wc -c; tail -c +4097 "$2" | sha256sum';
    expect(machine.shell(script, image, path.join(machine.folder, 'body'))).toBe(`0\n${shasum}  -\n`);
  });

  test('the same bytes with one processor', async () => {
    const there = path.join(machine.folder, 'there');
    const run = await machine.run(['--no-confirm', '--targets', names.join(), '-d', there, path.join(project, 'build.conf')], {
      via: ['taskset', '--cpu-list', '0'],
    });
    expect(run.code, run.stderr).toBe(0);
    for (const name of names) {
      const file = findTarget(name).file('base');
      expect(`${name} ${sha256(path.join(there, file))}`).toBe(`${name} ${sha256(path.join(out, file))}`);
    }
  });
});
