import { readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeHooksCommand } from '../../../src/cli/make-hooks-command.ts';
import type { MakeHooksOptions } from '../../../src/cli/options/types.ts';
import { parseArguments } from '../../../src/cli/options.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

const files = {
  'hooks.d/base/series/disk-image': 'base/disk-image.binary\n',
  'hooks.d/extra/series/vagrant': 'depends disk-image\nextra/vagrant.binary\nprovides livecd.vagrant.box\n',
  'hooks.d/base/disk-image.binary': '',
};

function options(...words: string[]): MakeHooksOptions {
  const parsed = parseArguments(['make-hooks', ...words]);
  if (parsed.kind !== 'make-hooks') throw new Error(parsed.kind);
  return parsed.options;
}

test.each([
  ['in the folder above hooks.d', '.', []],
  ['in hooks.d', 'hooks.d', ['--hooks-dir', '../hooks']],
  ['elsewhere', '/', undefined],
])('the documented call, %s', async (_, cwd, words) => {
  const root = tempRoot(files);
  const named = words ?? ['-d', path.join(root, 'hooks'), '--hooks-d', path.join(root, 'hooks.d')];
  const { out, err } = await makeHooksCommand(options(...named, 'vagrant'), path.resolve(root, cwd));
  expect(out).toBe(
    '[HOOK] 001-disk-image.binary => base/disk-image.binary\n[HOOK] 002-vagrant.binary => extra/vagrant.binary\n[PROVIDES] livecd.vagrant.box\n',
  );
  expect(err).toBe('WARNING: there is no extra/vagrant.binary in hooks.d.\n');
  expect(readdirSync(path.join(root, 'hooks'))).toEqual(['001-disk-image.binary', '002-vagrant.binary']);
  expect(readFileSync(path.join(root, 'hooks.d/explicit_provides'), 'utf8')).toBe('livecd.vagrant.box\n');
});

test('hooks.d and the folder of links may be links to other places of the project, and to no others', async () => {
  const root = tempRoot({ ...files, 'links/README': '' });
  const cwd = tempRoot({
    'src/links/README': '',
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`src/${name}`, text])),
  });
  symlinkSync('src/hooks.d', path.join(cwd, 'hooks.d'));
  symlinkSync('src/links', path.join(cwd, 'hooks'));
  const call = (...words: string[]): Promise<{ err: string }> => makeHooksCommand(options(...words, 'disk-image'), cwd);
  expect((await call('-d', 'hooks')).err).toContain('is not empty');
  await call('-d', 'hooks');
  expect(readdirSync(path.join(cwd, 'src/links')).sort()).toEqual(['001-disk-image.binary', 'README']);

  symlinkSync(path.join(root, 'hooks.d'), path.join(cwd, 'theirs'));
  symlinkSync(path.join(root, 'links'), path.join(cwd, 'out'));
  await expect(call('--hooks-d', 'theirs')).rejects.toThrow('theirs is a link that leads out of the project folder');
  await expect(call('-d', 'out')).rejects.toThrow('out is a link that leads out of the project folder');
  await expect(call('-d', 'out/below')).rejects.toThrow('has a link on its way, out, that leads out of the project folder');
  // By its own path it is the user's word.
  await call('-d', path.join(root, 'links'));
  expect(readdirSync(path.join(root, 'links')).sort()).toEqual(['001-disk-image.binary', 'README']);
});

test('-q is a switch: it takes no word, and leaves warnings', async () => {
  const { out, err } = await makeHooksCommand(options('-q', 'disk-image', 'vagrant'), tempRoot(files));
  expect(out).toBe('');
  expect(err).toContain('WARNING');
});

test.each([
  ['no folder hooks.d', {}, 'a', /there is no folder .*hooks\.d$/],
  ['no series', files, 'nix', "Series file for image set 'nix' not found."],
  ['a folder that cannot be made', files, 'vagrant', /ENOENT|EACCES/],
])('%s: exit code 1', async (name, given, set, message) => {
  const place = name.includes('made') ? ['-d', '/proc/x'] : [];
  await expect(makeHooksCommand(options(...place, set), tempRoot(given))).rejects.toMatchObject({
    exitCode: 1,
    message: expect.stringMatching(message),
  });
});

test('a set must be named', () => {
  expect(() => options()).toThrow(/missing required argument/);
});
