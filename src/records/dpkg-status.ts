import type { InstalledPackage } from './packages.ts';

/** Bytes of the unit in which packages give their size. */
const KIBI = 1024;

/**
 * Reads dpkg's own list of packages, `var/lib/dpkg/status`; what was removed, or is not installed whole, is left out. In
 * the order of their names, as dpkg-query lists them.
 */
export function parseDpkgStatus(text: string): InstalledPackage[] {
  const stanzas = text.split(/\n{2,}/).map(fieldsOf);
  const installed = stanzas.filter((fields) => fields.get('status')?.split(' ')[2] === 'installed');
  const native = installed.find((fields) => fields.get('package') === 'dpkg')?.get('architecture') ?? '';
  return installed.flatMap((fields) => packageOf(fields, native) ?? []).sort(byName);
}

/** The architecture counts where the name is the same. */
function byName(one: InstalledPackage, other: InstalledPackage): number {
  const [a, b] = [one, other].map(({ name, arch }) => `${name.replace(/:.*$/, '')}\0${arch}`);
  return (a ?? '') < (b ?? '') ? -1 : 1;
}

function packageOf(fields: ReadonlyMap<string, string>, native: string): InstalledPackage | undefined {
  const [name, version, arch] = ['package', 'version', 'architecture'].map((key) => fields.get(key));
  if (!name || !version || !arch) return undefined;
  const [, source, sourceVersion] = /^(\S+)(?: \((\S+)\))?$/.exec(fields.get('source') ?? '') ?? [];
  const size = fields.get('installed-size') ?? '';
  const isForeign = native !== '' && arch !== native && arch !== 'all';
  return {
    name: fields.get('multi-arch') === 'same' || isForeign ? `${name}:${arch}` : name,
    version,
    arch,
    source: source ?? name,
    sourceVersion: sourceVersion ?? version,
    installedSize: /^\d{1,12}$/.test(size) ? Number(size) * KIBI : 0,
  };
}

/** The fields of a stanza, by their names in small letters; what follows on further lines is no part of what is read here. */
function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of stanza.split('\n')) {
    const [, key, value] = /^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*?)[ \t\r]*$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) fields.set(key.toLowerCase(), value);
  }
  return fields;
}
