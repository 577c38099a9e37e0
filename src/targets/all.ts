import { erofs } from './erofs.ts';
import { ext4 } from './ext4.ts';
import { realmfs, realmfsXz } from './realmfs.ts';
import { rootDir } from './root-dir.ts';
import { squashfs, squashfsXz } from './squashfs.ts';
import { tarball, tarballXz, tarballZst } from './tarball.ts';
import type { Target } from './target.ts';

/** All built-in targets. */
export const targets: readonly Target[] = [realmfs, realmfsXz, ext4, squashfs, squashfsXz, erofs, tarball, tarballXz, tarballZst, rootDir];

/** Names that stand for several targets. */
export const groups: Readonly<Record<string, readonly string[]>> = {
  base: ['realmfs', 'ext4', 'squashfs', 'tarball'],
  all: targets.map(({ name }) => name),
};

/** Every name that a target or a group of them has. */
export const targetNames: readonly string[] = [...targets.map(({ name }) => name), ...Object.keys(groups)];

/** The targets that a name stands for. */
export function targetsOf(name: string): Target[] {
  return (groups[name] ?? [name]).map(findTarget);
}

/** Whether a name can be that of a target's artefact, whatever the image is called. */
export function isTargetFile(name: string): boolean {
  return targets.some((target) => {
    const [before = '', after] = target.file('\0').split('\0');
    if (after === undefined) return name === before;
    return name.length > before.length + after.length && name.startsWith(before) && name.endsWith(after);
  });
}

/** The target of a name, which has been checked before. */
export function findTarget(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found === undefined) throw new Error(`no target ${name}`);
  return found;
}
