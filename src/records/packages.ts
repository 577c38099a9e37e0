/** A package that is installed in the tree. */
export interface InstalledPackage {
  /** As dpkg names it: with its architecture where packages of several may be installed beside each other (`libc6:amd64`). */
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  /** The source package that it was built from, and its version. */
  readonly source: string;
  readonly sourceVersion: string;
  /** Bytes, as the package says it. */
  readonly installedSize: number;
}

/** Bytes of the unit in which packages give their size. */
const KIBI = 1024;

/** Reads what finalize.sh asks dpkg-query for; what was removed, or is not installed whole, is left out. */
export function parsePackageList(text: string): InstalledPackage[] {
  return text.split('\n').flatMap((line) => {
    const [status, name, version, arch, source = '', sourceVersion = '', size = ''] = line.split('\t');
    if (status !== 'installed' || !name || !version || !arch) return [];
    return [{ name, version, arch, source, sourceVersion, installedSize: /^\d+$/.test(size) ? Number(size) * KIBI : 0 }];
  });
}

/** The list as `dpkg-query --show` prints it, and livecd-rootfs keeps it: `NAME`, a tab, `VERSION`. */
export function packageLines(packages: readonly InstalledPackage[]): string {
  return packages.map(({ name, version }) => `${name}\t${version}\n`).join('');
}
