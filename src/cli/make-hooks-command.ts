import path from 'node:path';
import { makeHooks } from '../customize/make-hooks.ts';
import { setNames } from '../customize/series.ts';
import { BuilderError } from '../errors.ts';
import { isFolder } from '../system/files.ts';
import { findInside } from '../system/inside.ts';
import type { MakeHooksOptions } from './options/types.ts';

/** Makes the links. Returns the lines of standard output and of standard error. */
export async function makeHooksCommand(options: MakeHooksOptions, cwd: string): Promise<{ out: string; err: string }> {
  const hooksD = await findHooksD(options.hooksD, cwd);
  const hooksDir = options.hooksDir === undefined ? undefined : path.resolve(cwd, options.hooksDir);
  try {
    const isBelow = hooksD !== cwd && hooksD.startsWith(path.join(cwd, '/'));
    const { lines, warnings } = await makeHooks(setNames(options.sets), { hooksD, hooksDir, ...(isBelow ? { project: cwd } : {}) });
    return { out: options.quiet ? '' : lines.map((line) => `${line}\n`).join(''), err: warnings.map((line) => `${line}\n`).join('') };
  } catch (error) {
    if (error instanceof BuilderError) throw error;
    // A folder that cannot be written, a name that is too long: no bug of ours.
    throw new BuilderError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** hooks.d: as named; else the current folder if it looks like one, else `hooks.d` in it. */
async function findHooksD(named: string | undefined, cwd: string): Promise<string> {
  const isOne = named === undefined && ((await isFolder(path.join(cwd, 'base'))) || (await isFolder(path.join(cwd, 'extra'))));
  const folder = path.resolve(cwd, named ?? (isOne ? '.' : 'hooks.d'));
  // What lies below the current folder is the project's, which is not trusted; another place is the user's word.
  const name = path.relative(cwd, folder);
  const found = name === '' || name.split('/')[0] === '..' ? undefined : await findInside(cwd, name);
  if (found?.kind === 'astray') throw new BuilderError(`${folder} ${found.why}`);
  if (found?.kind === 'there') return found.path;
  if (!(await isFolder(folder))) throw new BuilderError(`there is no folder ${folder}`, { hint: '--hooks-d names it' });
  return folder;
}
