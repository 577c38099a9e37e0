import path from 'node:path';
import { readForeign } from '../system/files.ts';
import { findInside, insideOf } from '../system/inside.ts';
import { namesIn } from '../system/names.ts';
import { type Findings, folderInside, isLeftOut, isPassedOver, namesInside } from './problems.ts';

/** A file for apt: its name in the image, its path below the project folder, and whether the finished image keeps it. */
interface LiveFile {
  readonly name: string;
  readonly file: string;
  readonly isKept: boolean;
}

/** Further archives of a live-build tree, each file by its name in the image. */
export interface LiveArchives {
  /** Of sources.list.d: text, and whether the finished image keeps it. */
  readonly sources: readonly { readonly name: string; readonly text: string; readonly isKept: boolean }[];
  /** Of trusted.gpg.d; `file`: below the project folder. */
  readonly keys: readonly LiveFile[];
  /** Of preferences.d. */
  readonly pins: readonly LiveFile[];
}

/** What the lists of a live-build tree are read for. */
export interface LiveSetting {
  readonly arch: string;
  readonly release: string;
  readonly components: readonly string[];
}

/** The folder of live-build's own form. */
const CONFIG = 'config';
/** What of it is taken in. */
const known: Readonly<Record<string, readonly string[] | undefined>> = {
  archives: undefined,
  hooks: ['normal', 'live'],
  'includes.chroot': undefined,
  'includes.chroot_after_packages': undefined,
  'includes.chroot_before_packages': undefined,
  'package-lists': undefined,
  packages: undefined,
  'packages.chroot': undefined,
  preseed: undefined,
};

/** Files of `config/` that have live-build's settings. */
const settings: readonly string[] = ['binary', 'bootstrap', 'build', 'chroot', 'common', 'source'];

/** Whether a project has a `config/` in the form of live-build. */
export async function isLiveTree(project: string, findings: Findings): Promise<boolean> {
  const there = await folderInside(project, CONFIG, findings);
  return there !== undefined && (await namesIn(there)).some((name) => name in known);
}

/** Names what of a live-build tree is not understood. */
export async function checkLiveTree(project: string, { warnings }: Findings): Promise<void> {
  const odd: string[] = [];
  const namesOf = async (name: string): Promise<string[]> => {
    const there = await findInside(project, name);
    return there.kind === 'there' && there.stat.isDirectory() ? namesIn(there.path) : [];
  };
  const files: string[] = (await insideOf(project, 'auto')) === undefined ? [] : ['auto'];
  for (const name of await namesOf(CONFIG)) {
    const inner = known[name];
    if (settings.includes(name)) files.push(path.join(CONFIG, name));
    else if (!(name in known)) odd.push(name);
    else if (inner !== undefined)
      odd.push(...(await namesOf(path.join(CONFIG, name))).filter((part) => !inner.includes(part)).map((part) => `${name}/${part}`));
  }
  if (files.length > 0)
    warnings.push(
      `${files.join(', ')}: live-build's settings are not read: DEBIAN_RELEASE, DEBIAN_COMPONENTS and others belong into build.conf`,
    );
  const named = odd.filter((name) => !isLeftOut(path.basename(name)));
  if (named.length > 0) warnings.push(`${CONFIG}: not understood, and not used: ${named.join(', ')} (docs/from-live-build.md)`);
}

/** The files of a folder of `config/`, by bytes; what has none of the endings is named in a warning. */
async function filesOf(
  project: string,
  folder: string,
  endings: readonly string[],
  findings: Findings,
): Promise<{ file: string; text: string }[]> {
  const there = await folderInside(project, path.join(CONFIG, folder), findings);
  if (there === undefined) return [];
  const found: { file: string; text: string }[] = [];
  const odd: string[] = [];
  const isMeant = (name: string): boolean =>
    !isPassedOver(name) && endings.some((ending) => name.endsWith(ending) && name.length > ending.length);
  for (const name of await namesInside(there, path.join(CONFIG, folder), isMeant, findings)) {
    if (isLeftOut(name)) continue;
    const file = path.join(CONFIG, folder, name);
    if (!isMeant(name)) {
      odd.push(name);
      continue;
    }
    const one = await findInside(project, file);
    const bytes = one.kind === 'there' ? await readForeign(one.path) : undefined;
    if (bytes === undefined) findings.problems.push({ file, message: one.kind === 'astray' ? one.why : 'is not a regular file' });
    else found.push({ file, text: bytes.toString('latin1') });
  }
  if (odd.length > 0) findings.warnings.push(`${CONFIG}/${folder}: not understood, and not used: ${odd.join(', ')}`);
  return found;
}

/** The packages that `config/package-lists` names for an image. */
export async function readPackageLists(project: string, setting: LiveSetting, findings: Findings): Promise<string[]> {
  const endings = ['.list', '.list.chroot', '.list.chroot_install', '.list.chroot_live'];
  const packages: string[] = [];
  for (const { file, text } of await filesOf(project, 'package-lists', endings, findings))
    packages.push(...parseList(file, text, setting, findings));
  return [...new Set(packages)];
}

/** The words that a condition of a package list may ask for; undefined: nobody knows. */
function valuesOf(key: string, { arch, release, components }: LiveSetting): readonly string[] | undefined {
  if (/^ARCHITECTURES?$/.test(key)) return [arch];
  if (/^(?:PARENT_)?DISTRIBUTION(?:_CHROOT|_BINARY)?$/.test(key)) return [release];
  return /^(?:PARENT_)?ARCHIVE_AREAS$/.test(key) ? components : undefined;
}

/**
 * A list in the form of live-build: packages, `#` comments, `#if KEY VALUE...`, `#nif`, `#endif`; `NAME [amd64 !arm64]` as in
 * a control file, and `!ARCH NAME...`: not for that architecture. Other lines with `!` are commands there: they are not run.
 */
export function parseList(file: string, text: string, setting: LiveSetting, { problems, warnings }: Findings): string[] {
  const packages: string[] = [];
  let isOn = true;
  let isInside = false;
  for (const [index, whole] of text.split(/\r?\n/).entries()) {
    const place = `${file}:${index + 1}`;
    let line = whole.trim();
    const [, condition, key = '', rest = ''] = /^#(n?if)\s+(\S+)\s*(.*)$/.exec(line) ?? [];
    if (condition !== undefined) {
      if (isInside)
        problems.push({ file, line: index + 1, message: 'a condition within a condition, which live-build does not know either' });
      isInside = true;
      const values = valuesOf(key, setting);
      if (values === undefined) warnings.push(`${place}: #${condition} ${key} is not understood: its packages are left out`);
      const asked = rest.split(/\s+/);
      const holds = (value: string): boolean => (condition === 'if' ? asked.includes(value) : asked.some((word) => word !== value));
      isOn = values?.some(holds) === true;
      continue;
    }
    if (/^#endif\b/.test(line)) [isOn, isInside] = [true, false];
    if (line === '' || line.startsWith('#') || !isOn) continue;
    line = line.replace(/\s#.*$/, '');
    const [, not, others = ''] = /^!([a-z0-9][a-z0-9-]*)\s+(.+)$/.exec(line) ?? [];
    if (not !== undefined && isArchitecture(not)) {
      if (not === setting.arch) continue;
      line = others;
    } else if (line.startsWith('!')) {
      warnings.push(`${place}: a command, which is not run: ${line}`);
      continue;
    }
    for (const [, name = '', archs] of line.matchAll(/([^\s[\]]+)(?:\s*\[([^\]]*)\])?/g)) {
      if (!/^[a-z0-9][\w.+~:=/*?^|()-]*$/i.test(name)) problems.push({ file, line: index + 1, message: `'${name}' is no package name` });
      else if (isMeant(archs, setting.arch)) packages.push(name);
    }
  }
  return packages;
}

/** Architectures as they may stand in lists. */
function isArchitecture(name: string): boolean {
  return /^(?:(?:kfreebsd|hurd|linux|any|musl-linux)-)?(?:any|amd64|i386|x32|arm64|armhf|armel|riscv64|ppc64el|ppc64|powerpc|s390x|mips64el|mipsel|mips|loong64|ia64|sparc64|alpha|hppa|m68k|sh4)$/.test(
    name,
  );
}

/** Whether `[amd64 arm64]` or `[!i386]` holds for an architecture; without a word it does. */
function isMeant(words: string | undefined, arch: string): boolean {
  const all = (words ?? '').split(/[\s,]+/).filter((word) => word !== '');
  if (all.length === 0) return true;
  return all.some((word) => word.startsWith('!'))
    ? !all.includes(`!${arch}`)
    : all.includes(arch) || all.includes('any') || all.includes('linux-any');
}

/** The debconf answers of `config/preseed`: files of the project. */
export async function readPreseeds(project: string, findings: Findings): Promise<string[]> {
  return (await filesOf(project, 'preseed', ['.cfg', '.cfg.chroot'], findings)).map(({ file }) => file);
}

/** The archives of `config/archives`. Names ending in `.chroot` are for the build alone. */
export async function readArchives(project: string, setting: LiveSetting, findings: Findings): Promise<LiveArchives> {
  const files = await filesOf(project, 'archives', ['.list', '.list.chroot', '.key', '.key.chroot', '.pref', '.pref.chroot'], findings);
  const [sources, keys, pins] = [[], [], []] as [
    LiveArchives['sources'][number][],
    LiveArchives['keys'][number][],
    LiveArchives['pins'][number][],
  ];
  const taken = new Map<string, string>();
  for (const { file, text } of files) {
    const isKept = !file.endsWith('.chroot');
    const name = path.basename(file, '.chroot');
    const refuse = (message: string, line?: number): void =>
      void findings.problems.push({ file, ...(line === undefined ? {} : { line }), message });
    if (!/^[A-Za-z0-9_.-]+$/.test(name)) refuse('apt takes no file of this name');
    if (name === 'extra.pref') refuse('is the name that EXTRA_PINS has in the image');
    if (taken.has(name)) refuse(`would have the name of ${taken.get(name)} in the image`);
    taken.set(name, file);
    if (name.endsWith('.key')) keys.push({ name: `${name.slice(0, -4)}.${text.includes('-----BEGIN PGP') ? 'asc' : 'gpg'}`, file, isKept });
    else if (name.endsWith('.pref')) pins.push({ name, file, isKept });
    else {
      const areas = setting.components.join(' ');
      const filled = text.replace(/@(?:PARENT_)?DISTRIBUTION@/g, setting.release).replace(/@(?:PARENT_)?ARCHIVE_AREAS@/g, areas);
      for (const [index, line] of filled.split('\n').entries()) {
        if (/^\s*(?:#|$)/.test(line)) continue;
        const [, options = '', address = ''] = /^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?(\S+)/.exec(line) ?? [];
        // apt reads many words as yes, and quoted ones.
        if (/trusted(?!\s*=\s*no(?:\s|$))|[%"']/i.test(options))
          refuse('trusted=yes: a key in config/archives is needed instead', index + 1);
        if (!/^https?:\/\/[^/\s]+/.test(address)) refuse(`'${address}' is no http or https URL`, index + 1);
      }
      sources.push({ name, text: filled.endsWith('\n') ? filled : `${filled}\n`, isKept });
    }
  }
  return { sources, keys, pins };
}
