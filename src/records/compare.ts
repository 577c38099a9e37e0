import type { Manifest } from './manifest-schema.ts';
import type { FileEntry } from './mtree.ts';

/** What of an entry can differ. */
export const aspects = ['type', 'content', 'size', 'mode', 'owner', 'link', 'device', 'hard links', 'time'] as const;
export type Aspect = (typeof aspects)[number];

/** In what two entries of one path differ. */
export function aspectsOf(a: FileEntry, b: FileEntry): Aspect[] {
  if (a.type !== b.type) return ['type'];
  const differs: Readonly<Record<Aspect, boolean>> = {
    type: false,
    // Where one digest is not known, the size must do.
    content: a.sha256 !== undefined && b.sha256 !== undefined && a.sha256 !== b.sha256,
    size: a.size !== b.size,
    // A link has no permissions of its own.
    mode: a.type !== 'link' && a.mode !== b.mode,
    owner: a.uid !== b.uid || a.gid !== b.gid,
    link: a.link !== b.link,
    device: a.device !== b.device,
    'hard links': (a.links ?? 1) !== (b.links ?? 1),
    // That of the root is set by the program that writes an image.
    time: a.path !== '.' && !isSameTime(a.time, b.time),
  };
  return aspects.filter((aspect) => differs[aspect]);
}

/** Parts of a second count where both sides know them: many formats hold none. */
function isSameTime(a: string, b: string): boolean {
  const [[seconds = '', part = ''], [others = '', otherPart = '']] = [a.split('.'), b.split('.')];
  const isWhole = [part, otherPart].some((digits) => /^0*$/.test(digits));
  return seconds === others && (isWhole || part === otherPart);
}

/** The first path at which two trees differ, entries that are in one of them alone included; a folder's own time comes after all else. */
export function firstDifference(before: ReadonlyMap<string, FileEntry>, after: ReadonlyMap<string, FileEntry>): string | undefined {
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  const differs = (path: string): Aspect[] => {
    const [one, other] = [before.get(path), after.get(path)];
    return one === undefined || other === undefined ? ['type'] : aspectsOf(one, other);
  };
  // A folder is younger because of what is in it.
  const isOwn = (path: string): boolean => !(before.get(path)?.type === 'dir' && differs(path).join() === 'time');
  const changed = paths.filter((path) => differs(path).length > 0);
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
  // Whether it was set or found out makes no difference.
  const settings = (of: Manifest): Named[] => Object.entries(of.inputs.settings).filter(([key]) => key !== 'SOURCE_DATE_EPOCH');
  named('setting ', settings(before), settings(after));
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
