/** A package of Debian; `source` is the architecture of source packages. */
export interface DebianPackage {
  /** Without an architecture. */
  readonly name: string;
  readonly version: string;
  readonly arch: string;
  /** The codename of the release. */
  readonly release: string;
}

/**
 * The package URL, of type `deb`. Names have no upper case. Letters, digits, `.`, `-`, `_` and `~` stand for themselves, and so does the
 * colon of an epoch: the specification says so.
 */
export function debianPurl({ name, version, arch, release }: DebianPackage): string {
  const qualifiers = Object.entries({ arch, distro: release }).filter(([, value]) => value !== '');
  const query = qualifiers.map(([key, value]) => `${key}=${encode(value)}`).join('&');
  return `pkg:deb/debian/${encode(name.toLowerCase())}${version === '' ? '' : `@${encode(version)}`}${query === '' ? '' : `?${query}`}`;
}

function encode(text: string): string {
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  return bytes.replace(/[^A-Za-z0-9.\-_~:]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
