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

/** The list as `dpkg-query --show` prints it, and livecd-rootfs keeps it: `NAME`, a tab, `VERSION`. */
export function packageLines(packages: readonly InstalledPackage[]): string {
  return packages.map(({ name, version }) => `${name}\t${version}\n`).join('');
}
