import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { InstalledPackage } from '../../../src/records/packages.ts';
import { type SpdxDocument, type SpdxInput, spdxDocument } from '../../../src/records/spdx.ts';

/* What SPDX 2.3 asks of the parts of a document that we write, and nothing else may be in it. */

const element = z.string().regex(/^SPDXRef-[A-Za-z0-9.-]+$/);
const line = z.string().regex(/^[^\n]+$/);
const time = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const unsaid = z.literal('NOASSERTION');
const licenceReference = /^LicenseRef-[A-Za-z0-9.-]+$/;

const documentSchema = z.strictObject({
  spdxVersion: z.literal('SPDX-2.3'),
  dataLicense: z.literal('CC0-1.0'),
  SPDXID: z.literal('SPDXRef-DOCUMENT'),
  name: line,
  documentNamespace: z.string().regex(/^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  creationInfo: z.strictObject({ created: time, creators: z.array(z.string().regex(/^Tool: \S+-\S+$/)).min(1) }),
  packages: z.array(
    z.strictObject({
      SPDXID: element,
      name: line,
      versionInfo: line.optional(),
      primaryPackagePurpose: z.enum(['OPERATING_SYSTEM', 'SOURCE']).optional(),
      supplier: unsaid,
      downloadLocation: unsaid,
      filesAnalyzed: z.literal(false),
      sourceInfo: z.string().optional(),
      licenseConcluded: unsaid,
      licenseDeclared: line,
      copyrightText: unsaid,
      externalRefs: z
        .array(
          z.strictObject({
            referenceCategory: z.literal('PACKAGE-MANAGER'),
            referenceType: z.literal('purl'),
            referenceLocator: z
              .string()
              .regex(
                /^pkg:deb\/debian\/[a-z0-9.\-_~%A-F]+(@[A-Za-z0-9.\-_~%:]+)?(\?[a-z]+=[A-Za-z0-9.\-_~%:]+(&[a-z]+=[A-Za-z0-9.\-_~%:]+)*)?$/,
              ),
          }),
        )
        .optional(),
    }),
  ),
  relationships: z.array(
    z.strictObject({
      spdxElementId: element,
      relationshipType: z.enum(['DESCRIBES', 'CONTAINS', 'GENERATED_FROM']),
      relatedSpdxElement: element,
    }),
  ),
  hasExtractedLicensingInfos: z.array(
    z.strictObject({ licenseId: z.string().regex(licenceReference), name: line, extractedText: z.string().min(1) }),
  ),
});

/** One licence, one of SPDX with an exception, or several of them; parentheses need not be told from each other to find a broken one. */
function licencesOf(expression: string): string[] {
  const one = '[A-Za-z0-9.-]+\\+?(?: WITH [A-Za-z0-9.-]+)?';
  const all = `${one}(?: (?:AND|OR) ${one})*`;
  let open = expression;
  while (open.includes('(')) {
    const inner = open.replace(new RegExp(`\\((${all})\\)`), '$1');
    expect(inner, `${expression} is no expression`).not.toBe(open);
    open = inner;
  }
  expect(open).toMatch(new RegExp(`^${all}$`));
  return open.split(/ (?:AND|OR|WITH) /);
}

/** Checks what a schema cannot say: that everything leads somewhere, and has one name. */
function checked(input: SpdxInput): SpdxDocument {
  const document = spdxDocument(input);
  expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  documentSchema.parse(document);
  const { packages, relationships, hasExtractedLicensingInfos } = document;
  const ids = [document.SPDXID, ...packages.map(({ SPDXID }) => SPDXID)];
  expect(new Set(ids).size).toBe(ids.length);
  expect(new Set(relationships.flatMap(({ spdxElementId, relatedSpdxElement }) => [spdxElementId, relatedSpdxElement]))).toEqual(
    new Set(ids),
  );
  const used = packages
    .flatMap(({ licenseDeclared }) => licencesOf(licenseDeclared))
    .filter((licence) => licence.startsWith('LicenseRef-'));
  expect(hasExtractedLicensingInfos.map(({ licenseId }) => licenseId)).toEqual([...new Set(used)].sort());
  return document;
}

const pack = (
  name: string,
  version: string,
  arch: string,
  source = name.replace(/:.*/, ''),
  sourceVersion = version,
): InstalledPackage => ({
  name,
  version,
  arch,
  source,
  sourceVersion,
  installedSize: 0,
});

const input: SpdxInput = {
  name: 'citadel-realmfs',
  release: 'trixie',
  builder: { name: 'realmfs-builder', version: '0.1.0' },
  created: 1_700_000_000,
  packages: [
    pack('zlib1g:amd64', '1:1.3.dfsg+really1.3.1-1+b1', 'amd64', 'zlib', '1:1.3.dfsg+really1.3.1-1'),
    pack('libstdc++6:amd64', '14.2.0-19', 'amd64', 'gcc-14'),
    pack('gcc-14-base:amd64', '14.2.0-19', 'amd64', 'gcc-14'),
    pack('adduser', '3.152', 'all'),
  ],
  licences: new Map([
    ['adduser', ['GPL-2+', 'public-domain']],
    ['zlib1g', ['Zlib']],
    ['libstdc++6', ['GPL-3+ with GCC-Runtime-3.1 exception', 'ISC or Expat', 'Public-Domain', '']],
  ]),
  identity: 'ab'.repeat(32),
};
const document = checked(input);
const [image, ...others] = document.packages;
const find = (name: string, purpose?: string) => others.find((one) => one.name === name && one.primaryPackagePurpose === purpose);
const purl = (one: ReturnType<typeof find>): string | undefined => one?.externalRefs?.[0]?.referenceLocator;

describe('the document of an image', () => {
  test('says when it was made, and by what', () => {
    expect(document.name).toBe('citadel-realmfs');
    expect(document.creationInfo).toEqual({ created: '2023-11-14T22:13:20Z', creators: ['Tool: realmfs-builder-0.1.0'] });
    expect(checked({ ...input, created: 0 }).creationInfo.created).toBe('1970-01-01T00:00:00Z');
    expect(checked({ ...input, created: 1.9 }).creationInfo.created).toBe('1970-01-01T00:00:01Z');
  });

  test('describes the image, which contains the packages', () => {
    expect(image).toMatchObject({ name: 'citadel-realmfs', versionInfo: 'trixie', primaryPackagePurpose: 'OPERATING_SYSTEM' });
    expect(document.relationships.filter(({ relationshipType }) => relationshipType === 'DESCRIBES')).toEqual([
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: 'SPDXRef-Image' },
    ]);
    const contained = document.relationships.filter(({ relationshipType }) => relationshipType === 'CONTAINS');
    expect(contained.map(({ spdxElementId }) => spdxElementId)).toEqual(Array(4).fill('SPDXRef-Image'));
    expect(contained.map(({ relatedSpdxElement }) => relatedSpdxElement)).toEqual([
      'SPDXRef-Package-adduser',
      'SPDXRef-Package-gcc-14-base-amd64',
      'SPDXRef-Package-libstdc--6-amd64',
      'SPDXRef-Package-zlib1g-amd64',
    ]);
  });

  test('has a package as dpkg knows it', () => {
    expect(find('zlib1g')).toEqual({
      SPDXID: 'SPDXRef-Package-zlib1g-amd64',
      name: 'zlib1g',
      versionInfo: '1:1.3.dfsg+really1.3.1-1+b1',
      supplier: 'NOASSERTION',
      downloadLocation: 'NOASSERTION',
      filesAnalyzed: false,
      sourceInfo: 'built package from: zlib 1:1.3.dfsg+really1.3.1-1',
      licenseConcluded: 'NOASSERTION',
      licenseDeclared: 'Zlib',
      copyrightText: 'NOASSERTION',
      externalRefs: [
        {
          referenceCategory: 'PACKAGE-MANAGER',
          referenceType: 'purl',
          referenceLocator: 'pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=trixie',
        },
      ],
    });
    expect(purl(find('adduser'))).toBe('pkg:deb/debian/adduser@3.152?arch=all&distro=trixie');
    expect(purl(find('libstdc++6'))).toBe('pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=trixie');
  });

  test('has each source once, and what was built from it', () => {
    expect(others.filter(({ primaryPackagePurpose }) => primaryPackagePurpose === 'SOURCE').map(({ name }) => name)).toEqual([
      'adduser',
      'gcc-14',
      'zlib',
    ]);
    expect(find('gcc-14', 'SOURCE')).toMatchObject({
      SPDXID: 'SPDXRef-Source-gcc-14-14.2.0-19',
      versionInfo: '14.2.0-19',
      licenseDeclared: 'NOASSERTION',
    });
    expect(purl(find('zlib', 'SOURCE'))).toBe('pkg:deb/debian/zlib@1:1.3.dfsg%2Breally1.3.1-1?arch=source&distro=trixie');
    const built = document.relationships.filter(({ relatedSpdxElement }) => relatedSpdxElement === 'SPDXRef-Source-gcc-14-14.2.0-19');
    expect(built.map(({ spdxElementId, relationshipType }) => `${spdxElementId} ${relationshipType}`)).toEqual([
      'SPDXRef-Package-gcc-14-base-amd64 GENERATED_FROM',
      'SPDXRef-Package-libstdc--6-amd64 GENERATED_FROM',
    ]);
  });

  test('has the licences that packages declare', () => {
    expect(find('adduser')?.licenseDeclared).toBe('GPL-2.0-or-later AND LicenseRef-public-domain');
    expect(find('gcc-14-base')?.licenseDeclared).toBe('NOASSERTION');
    expect(find('libstdc++6')?.licenseDeclared).toBe(
      'GPL-3.0-or-later WITH GCC-exception-3.1 AND (ISC OR MIT) AND LicenseRef-public-domain AND LicenseRef-unnamed',
    );
  });

  test('says where the texts of other licences stand', () => {
    expect(document.hasExtractedLicensingInfos).toEqual([
      {
        licenseId: 'LicenseRef-public-domain',
        name: 'public-domain',
        extractedText:
          'The text is not in this document. These files of the image name a licence “public-domain”, and have its text or say where it is: ' +
          '/usr/share/doc/adduser/copyright, /usr/share/doc/libstdc++6/copyright',
      },
      {
        licenseId: 'LicenseRef-unnamed',
        name: 'unnamed',
        extractedText:
          'The text is not in this document. These files of the image have a licence without a name, and have its text or say where it is: ' +
          '/usr/share/doc/libstdc++6/copyright',
      },
    ]);
  });

  test('is the same for the same input, in whatever order', () => {
    const turned = { ...input, packages: [...input.packages].reverse(), licences: new Map([...input.licences].reverse()) };
    expect(JSON.stringify(spdxDocument(turned))).toBe(JSON.stringify(document));
  });

  test.each<[string, Partial<SpdxInput>]>([
    ['name', { name: 'other' }],
    ['release', { release: 'bookworm' }],
    ['builder', { builder: { name: 'realmfs-builder', version: '0.1.1' } }],
    ['time', { created: 1_700_000_001 }],
    ['list', { packages: input.packages.slice(1) }],
    ['licence', { licences: new Map() }],
    ['identity', { identity: 'cd' }],
  ])('another %s makes another namespace', (_, change) => {
    expect(checked({ ...input, ...change }).documentNamespace).not.toBe(document.documentNamespace);
  });
});

describe('odd packages', () => {
  test('of two architectures, and two versions of a source', () => {
    const packages = [
      pack('libc6:i386', '2.41-12', 'i386', 'glibc'),
      pack('libc6:amd64', '2.41-12+b1', 'amd64', 'glibc', '2.41-12'),
      pack('libc-bin', '2.41-13', 'amd64', 'glibc'),
    ];
    const odd = checked({ ...input, packages, licences: new Map([['libc6', ['weird']]]) });
    expect(odd.packages.map(({ SPDXID }) => SPDXID)).toEqual([
      'SPDXRef-Image',
      'SPDXRef-Package-libc-bin',
      'SPDXRef-Package-libc6-amd64',
      'SPDXRef-Package-libc6-i386',
      'SPDXRef-Source-glibc-2.41-12',
      'SPDXRef-Source-glibc-2.41-13',
    ]);
    expect(odd.packages[3]?.externalRefs?.[0]?.referenceLocator).toBe('pkg:deb/debian/libc6@2.41-12?arch=i386&distro=trixie');
    expect(odd.hasExtractedLicensingInfos[0]?.extractedText.match(/copyright/g)).toHaveLength(1);
  });

  test('with names that look alike as identifiers', () => {
    const names = ['a-b', 'a+b', 'a:b', 'a-b-2', 'a+b-2'];
    const ids = checked({ ...input, packages: names.map((name) => pack(name, '1', 'all')) }).packages.map(({ SPDXID }) => SPDXID);
    expect(ids).toHaveLength(1 + 2 * names.length);
  });

  test.each([
    ['a tilde and a caret', '1~rc1^2', '1~rc1%5E2'],
    ['an epoch', '2:1.0', '2:1.0'],
    ['separators of URLs', '1/2?3#4&5=6@7%8 9', '1%2F2%3F3%234%265%3D6%407%258%209'],
    ['other characters', 'é\u{1f600}', '%C3%A9%F0%9F%98%80'],
    ['half a character', '\ud800', '%EF%BF%BD'],
  ])('a version with %s', (_, version, encoded) => {
    const [, one] = checked({ ...input, packages: [pack('x', version, 'all')] }).packages;
    expect(one?.externalRefs?.[0]?.referenceLocator).toBe(`pkg:deb/debian/x@${encoded}?arch=all&distro=trixie`);
  });

  test('without a source, and without any package', () => {
    const [, one, ...rest] = checked({ ...input, packages: [pack('x', '1', 'all', '', '')] }).packages;
    expect(one).not.toHaveProperty('sourceInfo');
    expect(rest).toEqual([]);
    expect(checked({ ...input, packages: [], licences: new Map() }).packages).toHaveLength(1);
  });

  test('with names of what every object has', () => {
    const packages = ['constructor', '__proto__', 'toString'].map((name) => pack(name, '1', 'all'));
    expect(checked({ ...input, packages }).packages).toHaveLength(7);
  });

  test('with licences of any text', () => {
    const synopses = ['(GPL-2 or MIT) and X', 'a/b', 'é', '"', 'A WITH B', 'x with y exception', 'NONE', 'NOASSERTION', 'LicenseRef-x', ''];
    const odd = checked({
      ...input,
      packages: synopses.map((_, at) => pack(`p${at}`, '1', 'all')),
      licences: new Map(synopses.map((text, at) => [`p${at}`, [text]])),
    });
    expect(odd.hasExtractedLicensingInfos).toHaveLength(synopses.length);
  });
});
