import { derivedUuid } from '../system/uuid.ts';
import { type LicenceExpression, licenceExpression } from './licences.ts';
import type { InstalledPackage } from './packages.ts';
import { debianPurl } from './purl.ts';

/*
 * What is in an image, as a document of SPDX 2.3 in JSON: the image, the packages in it, and the source packages that those were built
 * from. The same input gives the same document.
 */

/** What a document says, and of what. */
export interface SpdxInput {
  /** The name of the image. */
  readonly name: string;
  /** The codename of the Debian release. */
  readonly release: string;
  readonly builder: { readonly name: string; readonly version: string };
  /** Seconds since 1970. */
  readonly created: number;
  readonly packages: readonly InstalledPackage[];
  /** As parseLicences has read them. */
  readonly licences: ReadonlyMap<string, readonly string[]>;
  /** What tells the image from all others. */
  readonly identity: string;
}

/** A package of a document; `NOASSERTION` says that nothing is said. */
interface SpdxPackage {
  readonly SPDXID: string;
  readonly name: string;
  readonly versionInfo?: string;
  readonly primaryPackagePurpose?: 'OPERATING_SYSTEM' | 'SOURCE';
  readonly supplier: 'NOASSERTION';
  readonly downloadLocation: 'NOASSERTION';
  readonly filesAnalyzed: false;
  readonly sourceInfo?: string;
  readonly licenseConcluded: 'NOASSERTION';
  readonly licenseDeclared: string;
  readonly copyrightText: 'NOASSERTION';
  readonly externalRefs?: readonly ExternalReference[];
}

interface ExternalReference {
  readonly referenceCategory: 'PACKAGE-MANAGER';
  readonly referenceType: 'purl';
  readonly referenceLocator: string;
}

interface SpdxRelationship {
  readonly spdxElementId: string;
  readonly relationshipType: 'DESCRIBES' | 'CONTAINS' | 'GENERATED_FROM';
  readonly relatedSpdxElement: string;
}

/** The text of a licence that SPDX does not know, or where it stands. */
interface SpdxLicence {
  readonly licenseId: string;
  readonly name: string;
  readonly extractedText: string;
}

/** A document. */
export interface SpdxDocument {
  readonly spdxVersion: 'SPDX-2.3';
  readonly dataLicense: 'CC0-1.0';
  readonly SPDXID: 'SPDXRef-DOCUMENT';
  readonly name: string;
  readonly documentNamespace: string;
  readonly creationInfo: { readonly created: string; readonly creators: readonly string[] };
  readonly packages: readonly SpdxPackage[];
  readonly relationships: readonly SpdxRelationship[];
  readonly hasExtractedLicensingInfos: readonly SpdxLicence[];
}

const DOCUMENT = 'SPDXRef-DOCUMENT';
const IMAGE = 'SPDXRef-Image';
const UNSAID = {
  supplier: 'NOASSERTION',
  downloadLocation: 'NOASSERTION',
  filesAnalyzed: false,
  licenseConcluded: 'NOASSERTION',
  licenseDeclared: 'NOASSERTION',
  copyrightText: 'NOASSERTION',
} as const;

/** The document of an image. */
export function spdxDocument(input: SpdxInput): SpdxDocument {
  const { name, release, builder } = input;
  const packages = inOrder(input.packages, ({ name, arch, version }) => [name, arch, version]);
  const licences = new Map(packages.map((item) => [item, licenceExpression(input.licences.get(bareName(item)) ?? [])]));
  const identifier = identifiers();
  const image: SpdxPackage = { SPDXID: IMAGE, name, versionInfo: release, primaryPackagePurpose: 'OPERATING_SYSTEM', ...UNSAID };
  const sources = sourcePackages(packages, release, identifier);
  const installed: SpdxPackage[] = [];
  const relationships: SpdxRelationship[] = [relationship(DOCUMENT, 'DESCRIBES', IMAGE)];
  for (const item of packages) {
    const source = sources.get(sourceKey(item));
    const element: SpdxPackage = {
      SPDXID: identifier('Package', item.name),
      name: bareName(item),
      versionInfo: item.version,
      ...(source === undefined ? {} : { sourceInfo: `built package from: ${item.source} ${item.sourceVersion}` }),
      ...UNSAID,
      licenseDeclared: licences.get(item)?.expression ?? UNSAID.licenseDeclared,
      externalRefs: [purlReference(bareName(item), item.version, item.arch, release)],
    };
    installed.push(element);
    relationships.push(relationship(IMAGE, 'CONTAINS', element.SPDXID));
    if (source !== undefined) relationships.push(relationship(element.SPDXID, 'GENERATED_FROM', source.SPDXID));
  }
  const content = {
    name,
    creationInfo: { created: timeText(input.created), creators: [`Tool: ${builder.name}-${builder.version}`] },
    packages: [image, ...installed, ...sources.values()],
    relationships,
    hasExtractedLicensingInfos: unknownLicences(licences),
  };
  const documentNamespace = `urn:uuid:${derivedUuid(JSON.stringify([input.identity, content]))}`;
  return { spdxVersion: 'SPDX-2.3', dataLicense: 'CC0-1.0', SPDXID: DOCUMENT, documentNamespace, ...content };
}

/** A package of each source and version, by sourceKey. */
function sourcePackages(packages: readonly InstalledPackage[], release: string, identifier: Identifier): Map<string, SpdxPackage> {
  const found = new Map<string, SpdxPackage>();
  for (const item of inOrder(packages, ({ source, sourceVersion }) => [source, sourceVersion])) {
    const { source, sourceVersion } = item;
    if (source === '' || found.has(sourceKey(item))) continue;
    found.set(sourceKey(item), {
      SPDXID: identifier('Source', `${source}-${sourceVersion}`),
      name: source,
      versionInfo: sourceVersion,
      primaryPackagePurpose: 'SOURCE',
      ...UNSAID,
      externalRefs: [purlReference(source, sourceVersion, 'source', release)],
    });
  }
  return found;
}

const sourceKey = ({ source, sourceVersion }: InstalledPackage): string => `${source}\n${sourceVersion}`;

/** Licences that SPDX has no identifier for, in order: their texts stay where they are. */
function unknownLicences(licences: ReadonlyMap<InstalledPackage, LicenceExpression>): SpdxLicence[] {
  const names = new Map<string, string>();
  const files = new Map<string, Set<string>>();
  for (const [item, { references }] of licences) {
    for (const [reference, name] of references) {
      if (!names.has(reference)) names.set(reference, name);
      files.set(reference, (files.get(reference) ?? new Set()).add(`/usr/share/doc/${bareName(item)}/copyright`));
    }
  }
  return inOrder([...names], ([reference]) => [reference]).map(([licenseId, name]) => ({
    licenseId,
    name: name === '' ? 'unnamed' : name,
    extractedText: textPlace(name, [...(files.get(licenseId) ?? [])]),
  }));
}

function textPlace(name: string, files: readonly string[]): string {
  const named = name === '' ? 'have a licence without a name' : `name a licence \u201c${name}\u201d`;
  return `The text is not in this document. These files of the image ${named}, and have its text or say where it is: ${files.join(', ')}`;
}

const relationship = (
  spdxElementId: string,
  relationshipType: SpdxRelationship['relationshipType'],
  relatedSpdxElement: string,
): SpdxRelationship => ({ spdxElementId, relationshipType, relatedSpdxElement });

const purlReference = (name: string, version: string, arch: string, release: string): ExternalReference => ({
  referenceCategory: 'PACKAGE-MANAGER',
  referenceType: 'purl',
  referenceLocator: debianPurl({ name, version, arch, release }),
});

/** As its folder in /usr/share/doc is called: without the architecture that dpkg puts behind a colon. */
function bareName({ name }: InstalledPackage): string {
  return name.replace(/:.*$/s, '');
}

/** UTC, without fractions of a second. */
function timeText(seconds: number): string {
  return `${new Date(Math.floor(seconds) * 1000).toISOString().slice(0, -'.000Z'.length)}Z`;
}

/** The same whatever the machine's language is. */
function inOrder<T>(items: readonly T[], wordsOf: (item: T) => readonly string[]): T[] {
  const keyed = items.map((item) => ({ item, key: wordsOf(item).join('\0') }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ item }) => item);
}

type Identifier = (kind: string, text: string) => string;

/** Makes identifiers of letters, digits, `.` and `-`, of which none comes twice. */
function identifiers(): Identifier {
  const taken = new Map<string, number>();
  return (kind, text) => {
    const wanted = `SPDXRef-${kind}-${text.replace(/[^A-Za-z0-9.-]/g, '-')}`;
    let identifier = wanted;
    for (let count = taken.get(wanted) ?? 1; taken.has(identifier); count += 1) {
      identifier = `${wanted}-${count + 1}`;
      taken.set(wanted, count + 1);
    }
    taken.set(identifier, 1);
    return identifier;
  };
}
