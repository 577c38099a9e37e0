/** What a tree says that it is, by os-release(5); empty: it does not say. */
export interface OsRelease {
  /** `debian` */
  readonly id: string;
  /** `Debian GNU/Linux 13 (trixie)` */
  readonly name: string;
  /** `13` */
  readonly version: string;
  /** `trixie` */
  readonly codename: string;
}

/** Reads os-release; lines that are no assignments are left out. */
export function parseOsRelease(text: string): OsRelease {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^([A-Z_][A-Z_0-9]*)=(.*)$/.exec(line.trim()) ?? [];
    if (key !== undefined && value !== undefined) values.set(key, unquoted(value));
  }
  const value = (key: string): string => values.get(key) ?? '';
  return {
    id: value('ID'),
    name: value('PRETTY_NAME') || value('NAME'),
    version: value('VERSION_ID'),
    codename: value('VERSION_CODENAME') || value('DEBIAN_CODENAME') || value('UBUNTU_CODENAME'),
  };
}

/** A value as the shell would read it: in quotes of either kind, or bare. */
function unquoted(text: string): string {
  const [, double, single] = /^(?:"(.*)"|'(.*)')$/.exec(text) ?? [];
  return single ?? (double ?? text).replace(/\\(["$`\\])/g, '$1');
}
