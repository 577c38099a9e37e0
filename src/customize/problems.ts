import type { Problem } from '../errors.ts';
import { findInside } from '../system/inside.ts';
import { isWild, namesIn } from '../system/names.ts';

/** What is found while the customisation of a project is read: faults all at once, and what its user should know. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** Names of editor backups and of version control, which are left out of what is copied onto the root. */
export function isLeftOut(name: string): boolean {
  return name.startsWith('.git') || name.endsWith('~') || name.startsWith('.#') || /^#.*#$/.test(name) || /^\..*\.sw[a-p]$/.test(name);
}

/**
 * Names that stand for nothing in a folder of hooks, lists or packages: hidden files, as the `._NAME` of macOS and the
 * globs of live-build have it, and backups.
 */
export function isPassedOver(name: string): boolean {
  return name.startsWith('.') || isLeftOut(name);
}

/**
 * A folder of the project, every link on the way resolved within it. Undefined: there is none; one that is a link out of
 * the project is a problem.
 */
export async function folderInside(project: string, name: string, { problems }: Findings): Promise<string | undefined> {
  const found = await findInside(project, name);
  if (found.kind === 'astray') problems.push({ file: name, message: found.why });
  return found.kind === 'there' && found.stat.isDirectory() ? found.path : undefined;
}

/**
 * The names in a folder that files are taken from by their names, by bytes. One that `isMeant` and is not UTF-8 is a problem, and
 * left out: names of steps and arguments of programs are text.
 */
export async function namesInside(
  there: string,
  shown: string,
  isMeant: (name: string) => boolean,
  { problems }: Findings,
): Promise<string[]> {
  const names = await namesIn(there);
  const unfit = names.filter((name) => isWild(name) && isMeant(name));
  for (const name of unfit) problems.push({ file: `${shown}/${name}`, message: NOT_TEXT });
  return names.filter((name) => !unfit.includes(name));
}

/** What is wrong with a name that is not UTF-8, where one must be. */
export const NOT_TEXT = 'its name is not UTF-8: give it another one';
