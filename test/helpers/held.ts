import { afterAll } from 'vitest';
import { HeldFolder } from '../../src/system/held-folder.ts';
import { tempRoot } from './temp-root.ts';

const open: HeldFolder[] = [];

afterAll(async () => {
  for (const folder of open.splice(0)) await folder.close();
});

/** A folder as it is held; let go when the test file is done. */
export async function held(folder: string): Promise<HeldFolder> {
  const found = await HeldFolder.open(folder);
  open.push(found);
  return found;
}

/** An output folder of its own with some files in it, and a staging folder below it. */
export async function heldFolders(files: Readonly<Record<string, string>> = {}): Promise<{ output: HeldFolder; staging: HeldFolder }> {
  const output = await held(tempRoot(files));
  const staging = await output.makeFolder('.realmfs-', '.partial');
  open.push(staging);
  return { output, staging };
}
