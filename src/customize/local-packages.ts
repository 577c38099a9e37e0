import { chmod, copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CommandError } from '../errors.ts';
import { makeFolders, sha256File } from '../system/files.ts';
import { findInside, insideOf } from '../system/inside.ts';
import type { Runner } from '../system/runner.ts';
import { type Findings, folderInside, isLeftOut, isPassedOver, namesInside } from './problems.ts';

/** A package file of the project. */
export interface LocalPackage {
  /** Below the project folder. */
  readonly file: string;
  readonly name: string;
  readonly version: string;
  /** `all`, or that of the image. */
  readonly arch: string;
  readonly sha256: string;
  /** Maintainer scripts that it brings along: preinst, postinst and so on. */
  readonly scripts: readonly string[];
  /** A file or script in it names the project folder: it may read anything there while it is installed. */
  readonly namesProject: boolean;
}

/** The origin and label of the local repository: pins name it by them. */
export const LOCAL_REPOSITORY = 'realmfs-local-packages';

/** As dpkg takes them (pkg_name_is_illegal and parseversion of its library); it knows names in small letters only. */
const NAME = /^[a-z0-9][a-z0-9+._-]*$/;
const VERSION = /^(?:\d+:)?[A-Za-z0-9.+~:-]+$/;
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm', 'config'];

/** Reads every package file of folders of the project; tells `findings` which ones cannot be installed, and why. */
export async function readLocalPackages(
  project: string,
  folders: readonly string[],
  arch: string,
  findings: Findings,
  runner: Runner,
): Promise<LocalPackage[]> {
  const found: LocalPackage[] = [];
  for (const folder of folders) {
    const there = await folderInside(project, folder, findings);
    if (there === undefined) continue;
    const odd: string[] = [];
    const isMeant = (name: string): boolean => name.endsWith('.deb') && !isPassedOver(name);
    for (const name of await namesInside(there, folder, isMeant, findings)) {
      if (!isMeant(name)) {
        if (!isLeftOut(name)) odd.push(name);
        continue;
      }
      const one = await readPackage(project, path.join(folder, name), runner).catch((error: unknown) =>
        String(error instanceof Error ? error.message : error),
      );
      const refuse = (message: string): void => void findings.problems.push({ file: path.join(folder, name), message });
      if (typeof one === 'string') {
        refuse(one);
        continue;
      }
      const same = found.find((other) => other.name === one.name);
      if (one.arch !== 'all' && one.arch !== arch) refuse(`is for ${one.arch}, and the image is for ${arch}`);
      else if (same !== undefined) refuse(`is the package ${one.name}, and so is ${same.file}`);
      else found.push(one);
    }
    if (odd.length > 0) findings.warnings.push(`${folder}: no packages, and not used: ${odd.join(', ')}`);
  }
  return found;
}

/** Reads one package file; a text says what is wrong with it. */
async function readPackage(project: string, file: string, runner: Runner): Promise<LocalPackage | string> {
  const found = await findInside(project, file);
  if (found.kind === 'astray') return found.why;
  if (found.kind === 'missing' || !found.stat.isFile()) return 'is not a regular file';
  const real = found.path;
  const format = '--showformat=${Package}\\n${Version}\\n${Architecture}\\n';
  let fields = '';
  let why = '';
  try {
    fields = await runner.capture({ label: 'dpkg-deb', file: 'dpkg-deb', args: [format, '--show', '--', real] });
  } catch (error) {
    if (runner.isStopped() || !(error instanceof CommandError)) throw error;
    why = `: ${error.outputTail.at(-1)?.trim().replaceAll(real, file) ?? 'dpkg-deb cannot read it'}`;
  }
  // Unpacks all of it: what is cut off, or was changed, is found here.
  const members = await listMembers(real, '--fsys-tarfile', runner);
  const control = await listMembers(real, '--ctrl-tarfile', runner);
  if (why !== '' || members === undefined || control === undefined) return `is damaged, or no Debian package at all${why}`;
  const [name = '', version = '', arch = ''] = fields.split('\n');
  if (!NAME.test(name)) return `has the package name '${name}'; dpkg takes letters, digits and . + - _, and a letter or digit in front`;
  if (!VERSION.test(version)) return `has the version '${version}'; dpkg takes letters, digits and . + ~ : -, and no other characters`;
  if (!/^[a-z0-9-]+$/.test(arch)) return `has the architecture '${arch}', which is none that dpkg knows`;
  const leading = [...members, ...control].find((member) => member.split('/').includes('..'));
  if (leading !== undefined) return `has a member that leads out of the root: ${leading}`;
  const scripts = SCRIPTS.filter((script) => control.some((member) => member.replace(/^\.\//, '') === script));
  return { file, name, version, arch, sha256: await sha256File(real), scripts, namesProject: await namesProject(real, runner) };
}

/** Whether the project folder is named anywhere in a package file. */
async function namesProject(file: string, runner: Runner): Promise<boolean> {
  const script =
    '{ dpkg-deb --ctrl-tarfile "$1"; dpkg-deb --fsys-tarfile "$1"; } | grep --text --count -e REALMFS_PROJECT -e realmfs/project || [[ $? == 1 ]]';
  return Number(await runner.capture({ label: 'dpkg-deb', file: 'bash', args: ['-c', script, 'bash', file] })) > 0;
}

/** The names in a tar archive of a package file; undefined if it cannot be read to its end. */
async function listMembers(file: string, option: string, runner: Runner): Promise<string[] | undefined> {
  const script = 'dpkg-deb "$1" -- "$2" | tar --list --quoting-style=literal --show-transformed-names --absolute-names --file=-';
  try {
    const text = await runner.capture({ label: 'dpkg-deb', file: 'bash', args: ['-o', 'pipefail', '-c', script, 'bash', option, file] });
    return text.split('\n').slice(0, -1);
  } catch (error) {
    if (runner.isStopped()) throw error;
    return undefined;
  }
}

/** Makes a repository of package files: the packages, Packages, and Release with its hashes. */
export async function makeRepository(packages: readonly LocalPackage[], project: string, target: string, runner: Runner): Promise<void> {
  await makeFolders(target, 0o755);
  for (const { name, arch, file } of packages) {
    const to = path.join(target, `${name}_${arch}.deb`);
    await copyFile((await insideOf(project, file)) ?? '', to);
    // apt reads them as somebody else.
    await chmod(to, 0o644);
  }
  const ask = (...args: string[]): Promise<string> =>
    runner.capture({ label: 'apt-ftparchive', file: 'apt-ftparchive', args, cwd: target });
  // dpkg installs Foo as foo: apt must call it so.
  const index = (await ask('packages', '.')).replace(/^Package: .*$/gm, (line) => line.toLowerCase().replace('package', 'Package'));
  await writeFile(path.join(target, 'Packages'), index);
  const fields = ['Origin', 'Label'].flatMap((field) => ['-o', `APT::FTPArchive::Release::${field}=${LOCAL_REPOSITORY}`]);
  await writeFile(path.join(target, 'Release'), await ask(...fields, 'release', '.'));
}
