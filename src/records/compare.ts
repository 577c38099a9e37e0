import type { Manifest } from './manifest-schema.ts';
import type { FileEntry } from './mtree.ts';

/** How an entry of a tree differs from that of the same name in another tree. */
export type FileChange = 'content' | 'mode' | 'owner' | 'time' | 'type' | 'link' | 'device' | 'number of names';

/** What differs between two entries of one path; what has another type is compared no further. */
export function fileChanges(before: FileEntry, after: FileEntry): FileChange[] {
  if (before.type !== after.type) return ['type'];
  const found: FileChange[] = [];
  if (before.sha256 !== after.sha256 || before.size !== after.size) found.push('content');
  if (before.mode !== after.mode) found.push('mode');
  if (before.uid !== after.uid || before.gid !== after.gid) found.push('owner');
  if (before.link !== after.link) found.push('link');
  if (before.device !== after.device) found.push('device');
  if (before.links !== after.links) found.push('number of names');
  if (before.time !== after.time) found.push('time');
  return found;
}

/** The first path at which two trees differ, entries that are in one of them alone included; a folder's own time comes after all else. */
export function firstDifference(before: ReadonlyMap<string, FileEntry>, after: ReadonlyMap<string, FileEntry>): string | undefined {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  const differs = (path: string): FileChange[] | undefined => {
    const [one, other] = [before.get(path), after.get(path)];
    return one === undefined || other === undefined ? ['type'] : fileChanges(one, other);
  };
  // A folder is younger because of what is in it.
  const isOwn = (path: string): boolean => !(before.get(path)?.type === 'dir' && differs(path)?.join() === 'time');
  const changed = paths.filter((path) => differs(path)?.length !== 0);
  return changed.find(isOwn) ?? changed[0];
}

/** What two builds were made from differently, in words. */
export function inputChanges(before: Manifest, after: Manifest): string[] {
  const found: string[] = [];
  if (before.builder.version !== after.builder.version)
    found.push(`another version of the builder: ${before.builder.version}, now ${after.builder.version}`);
  if (before.inputs.config?.sha256 !== after.inputs.config?.sha256)
    found.push(`${before.inputs.config?.file ?? after.inputs.config?.file} has changed`);
  const named = (what: string, one: readonly Named[], other: readonly Named[]): void => {
    const [was, is] = [byName(one), byName(other)];
    for (const name of new Set([...was.keys(), ...is.keys()]))
      if (was.get(name) !== is.get(name))
        found.push(`${what}${name} ${is.has(name) ? (was.has(name) ? 'has changed' : 'is new') : 'is gone'}`);
  };
  const steps = ({ modules, binaryHooks }: Manifest['inputs']): Named[] =>
    [...modules, ...binaryHooks].map(({ step, sha256 = '' }) => [step, sha256]);
  named('', steps(before.inputs), steps(after.inputs));
  const files = ({ files: all }: Manifest['inputs']): Named[] => all.map(({ file, sha256 }) => [file, sha256]);
  named('realmfs-files/', files(before.inputs), files(after.inputs));
  named('', localOf(before), localOf(after));
  const releases = (of: Manifest): Named[] => of.inputs.releases.map(({ file, sha256 }) => [suiteOf(file), sha256]);
  named('the archive: ', releases(before), releases(after));
  const packages = (of: Manifest): Named[] => of.packages.map(({ name, version }) => [name, version]);
  named('package ', packages(before), packages(after));
  return found;
}

/** What has no digest is there all the same. */
type Named = readonly [name: string, value: string];

function byName(list: readonly Named[]): Map<string, string> {
  return new Map(list);
}

function localOf({ inputs }: Manifest): Named[] {
  return inputs.localPackages.map(({ file, sha256 }) => [file, sha256]);
}

/** The suite of a Release file, by its name in apt's lists. */
function suiteOf(file: string): string {
  return file.replace(/^.*_dists_/, '').replace(/_(?:In)?Release$/, '');
}
