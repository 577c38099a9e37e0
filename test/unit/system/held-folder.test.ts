import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { HeldFolder, isPlainName } from '../../../src/system/held-folder.ts';
import { held } from '../../helpers/held.ts';
import { tempRoot } from '../../helpers/temp-root.ts';

describe('a folder that is held', () => {
  test('stays the same one whatever is put in its place, in the place of one above it, or of what lies in it', async () => {
    const root = tempRoot({ 'above/out/a': 'a', 'theirs/out/a': 'precious', 'theirs/out/b': 'precious' });
    const out = await held(path.join(root, 'above/out'));
    const before = readdirSync(path.join(root, 'theirs/out'));
    for (const swap of ['above/out', 'above']) {
      renameSync(path.join(root, swap), path.join(root, `${path.basename(swap)}-moved`));
      symlinkSync(path.join(root, swap === 'above' ? 'theirs' : 'theirs/out'), path.join(root, swap));
      expect((await out.read('a'))?.toString()).toBe('a');
      await out.write('b', 'new');
      await out.rename('b', out, 'c');
      await (await out.create('d', 0o600)).close();
      await out.remove('d');
      if (process.getuid?.() === 0) await out.giveTo('c', { uid: 65534, gid: 65534 });
      await out.sync();
      expect((await out.list()).sort()).toEqual(['a', 'c']);
      expect(await out.isInPlace()).toBe(false);
      expect(await out.place()).not.toContain('above/out');
      if (swap === 'above/out') {
        // Put back, for the folder above.
        writeFileSync(path.join(root, 'note'), '');
        const { unlinkSync } = await import('node:fs');
        unlinkSync(path.join(root, swap));
        renameSync(path.join(root, 'out-moved'), path.join(root, swap));
        expect(await out.isInPlace()).toBe(true);
      }
    }
    expect(readdirSync(path.join(root, 'theirs/out'))).toEqual(before);
    for (const name of before) {
      const file = path.join(root, 'theirs/out', name);
      expect([readFileSync(file, 'utf8'), statSync(file).uid]).toEqual(['precious', statSync(root).uid]);
    }
  });

  test('follows no link', async () => {
    const root = tempRoot({ victim: 'precious', 'folder/x': '' });
    for (const [name, target] of [
      ['file', 'victim'],
      ['way', 'folder'],
    ] as const)
      symlinkSync(target, path.join(root, name));
    const out = await held(root);
    expect(await out.read('file')).toBeUndefined();
    await expect(out.folder('way')).rejects.toMatchObject({ code: expect.stringMatching(/^(ELOOP|ENOTDIR)$/) });
    await expect(HeldFolder.open(path.join(root, 'way'))).rejects.toThrow();
    await expect(out.create('file', 0o600)).rejects.toThrow('EEXIST');
    await out.write('file', 'new');
    expect([readFileSync(path.join(root, 'victim'), 'utf8'), readFileSync(path.join(root, 'file'), 'utf8')]).toEqual(['precious', 'new']);
  });

  test.each(['', '.', '..', 'a/b', '/etc/passwd', '../x', 'a\0b'])('%j is not the name of an entry', async (name) => {
    expect(isPlainName(name)).toBe(false);
    const out = await held(tempRoot());
    expect(() => out.at(name)).toThrow('is not the name of a file');
  });

  test('errors name its path, not the descriptor', async () => {
    const out = await held(tempRoot({ 'folder/x': '' }));
    await expect(out.rename('none', out, 'new')).rejects.toThrow(
      `ENOENT: no such file or directory, rename '${out.path}/none' -> '${out.path}/new'`,
    );
    await expect(out.write('folder', '')).rejects.toThrow(new RegExp(`^EISDIR.*'${out.path}/folder'$`));
  });

  test.runIf(process.getuid?.() === 0)('a folder that was made, and that somebody has replaced, is not taken', async () => {
    const root = tempRoot({ 'theirs/x': '' });
    const out = await held(root);
    const made = await out.makeFolder('a-', '-z');
    expect([statSync(made.path).mode & 0o777, statSync(made.path).uid]).toEqual([0o700, 0]);
    await made.close();
    chownSync(path.join(root, 'theirs'), 65534, 65534);
    await expect(out.makeNamed('theirs', 0o700)).rejects.toThrow('EEXIST');
  });

  test('removes a folder that it holds, and no other of its name', async () => {
    const out = await held(tempRoot());
    const made = await out.makeFolder('', '');
    renameSync(made.path, out.shown('away'));
    mkdirSync(made.path);
    expect(await out.removeFolder(made)).toBe(true);
    expect([existsSync(out.shown('away')), existsSync(made.path)]).toEqual([false, true]);
    await made.close();
  });
});
