import { ext4 } from './ext4.ts';
import { tarball, tarballXz } from './tarball.ts';
import type { Target } from './target.ts';

/** All built-in targets. */
export const targets: readonly Target[] = [tarball, tarballXz, ext4];

/** The target of a name, which has been checked before. */
export function findTarget(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found === undefined) throw new Error(`no target ${name}`);
  return found;
}
