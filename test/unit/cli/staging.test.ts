import { chownSync, mkdirSync, readdirSync, renameSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { leftStaging, makeStaging, removeIfEmpty } from '../../../src/cli/staging.ts';
import { held } from '../../helpers/held.ts';
import { tempRoot, writeFiles } from '../../helpers/temp-root.ts';

const isRoot = process.getuid?.() === 0;

test.runIf(isRoot)('staging folders left behind are found: those of root with their mark, and empty ones; no others', async () => {
  const output = await held(
    tempRoot({
      '.realmfs-a.partial/build/root/x': '',
      '.realmfs-mine.partial/secret': '',
      '.realmfs-file.partial': '',
      '.realmfs-theirs.partial/build/x': '',
      '.realmfs-c/build/x': '',
      'realmfs-d.partial/build/x': '',
    }),
  );
  mkdirSync(output.shown('.realmfs-empty.partial'));
  symlinkSync('realmfs-d.partial', output.shown('.realmfs-link.partial'));
  chownSync(output.shown('.realmfs-theirs.partial'), 65534, 65534);
  const left = await leftStaging(output);
  expect(left.map((folder) => path.basename(folder.path)).sort()).toEqual(['.realmfs-a.partial', '.realmfs-empty.partial']);
  for (const folder of left) await folder.close();
});

test('a staging folder is removed by whatever name it has; one that is not empty stays', async () => {
  const output = await held(tempRoot());
  const [one, two] = [await makeStaging(output), await makeStaging(output)];
  renameSync(one.path, output.shown('away'));
  mkdirSync(one.path);
  writeFiles(two.path, { 'build/root/x': '' });
  expect([await removeIfEmpty(one, output), await removeIfEmpty(two, output)]).toEqual([true, false]);
  expect(readdirSync(output.path).sort()).toEqual([one.path, two.path].map((name) => path.basename(name)).sort());
  await one.close();
  await two.close();
});
