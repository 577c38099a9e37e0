import { describe, expect, test } from 'vitest';
import { licenceExpression, parseLicences } from '../../../src/records/licences.ts';

const FORMAT = 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/';
const output = (name: string, ...lines: string[]): string => lines.map((line) => `/usr/share/doc/${name}/copyright\0${line}\n`).join('');
const licencesOf = (...lines: string[]): string[] | undefined => parseLicences(output('bash', ...lines)).get('bash');

describe('the licences of packages', () => {
  test('are read from machine-readable files, each once, in order', () => {
    const text =
      output('bash', FORMAT, 'License: GPL-3+', 'License: BSD-4-clause-UC', 'License:  GPL-3+ ', 'License: Latex2e') +
      output('gcc-14-base', 'License: GPL') +
      output('libstdc++6', 'License: GPL-3', FORMAT) +
      output('empty', FORMAT);
    expect(parseLicences(text)).toEqual(
      new Map([
        ['bash', ['GPL-3+', 'BSD-4-clause-UC', 'Latex2e']],
        ['libstdc++6', ['GPL-3']],
      ]),
    );
  });

  test.each([
    ['Format: http://www.debian.org/doc/packaging-manuals/copyright-format/1.0', true],
    ['Format: https://dep.debian.net/deps/dep5', true],
    ['Format: http://svn.debian.org/wsvn/dep/web/deps/dep5.mdwn?rev=174', true],
    ['Format-Specification: http://anonscm.debian.org/viewvc/dep/web/deps/dep5/copyright-format.xml?revision=200', true],
    ['Format-Specification: http://wiki.debian.org/Proposals/CopyrightFormat?action=recall&rev=196', true],
    ['Format-Specification: http://svn.debian.org/wsvn/dep/web/deps/dep5.mdwn?op=file&rev=135', true],
    ['Format: 3.0 (quilt)', false],
    ['Format:', false],
    ['Formats: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/', false],
    ['Source: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/', false],
  ])('%s', (line, isMachineReadable) => {
    expect(licencesOf(line, 'License: ISC')).toEqual(isMachineReadable ? ['ISC'] : undefined);
  });

  test('paragraphs that only give a text are left out where it shows', () => {
    const lines = [
      FORMAT,
      'License: MIT',
      'Files: *',
      'License: GPL-1+ or Artistic',
      'License: GPL-1+',
      'License: Artistic',
      'Files: a',
      'License: ISC',
    ];
    expect(licencesOf(...lines)).toEqual(['MIT', 'GPL-1+ or Artistic', 'ISC']);
    const withoutFiles = lines.filter((line) => !line.startsWith('Files'));
    expect(licencesOf(...withoutFiles)).toEqual(['MIT', 'GPL-1+ or Artistic', 'GPL-1+', 'Artistic', 'ISC']);
  });

  test('a licence without a name is none that is not there', () => {
    expect(licencesOf(FORMAT, 'License:', 'License: \t ', 'License: ISC')).toEqual(['', 'ISC']);
  });

  test.each([
    ['a tab and a bell', 'License: GPL-2+\t\u0007or ISC', ['GPL-2+ or ISC']],
    ['a nought byte', 'License: GPL-2\0License: ISC', ['GPL-2 License: ISC']],
    ['a carriage return', 'License: GPL-2\r', ['GPL-2']],
    ['what is no UTF-8', 'License: BSD-\ufffd', ['BSD-\ufffd']],
    ['no colon', 'Licensee', undefined],
    ['a thousand characters', `License:${'x'.repeat(1000)}`, ['x'.repeat(1000)]],
    ['one more', `License:${'x'.repeat(1001)}`, undefined],
  ])('a line with %s', (_, line, expected) => {
    expect(licencesOf(FORMAT, line)).toEqual(expected);
  });

  test.each([
    ['no path', `${FORMAT}\nLicense: ISC\n`],
    ['another folder', `/etc/bash/copyright\0${FORMAT}\n/etc/bash/copyright\0License: ISC\n`],
    ['a folder below', output('bash/doc', FORMAT, 'License: ISC')],
    ['a folder above', output('../bash', FORMAT, 'License: ISC')],
    ['a name that no package has', output('Bash_5', FORMAT, 'License: ISC')],
    ['a path that is too long', output('a'.repeat(300), FORMAT, 'License: ISC')],
    ['nothing', ''],
  ])('%s gives nothing', (_, text) => {
    expect(parseLicences(text).size).toBe(0);
  });

  test('of a package with too many of them nothing is said, and others are not harmed', () => {
    const many = (count: number): string[] => [FORMAT, ...Array.from({ length: count }, (_, at) => `License: x-${at}`)];
    const found = parseLicences(output('most', ...many(1000)) + output('more', ...many(20_000)) + output('other', ...many(1)));
    expect([...found.keys()]).toEqual(['most', 'other']);
  });

  test('long lines cost no more than their length', () => {
    const long = 'a.0'.repeat(3_000_000);
    expect(parseLicences(`${long}\n${output('bash', `License: ${long}`, FORMAT)}${output('sed', FORMAT, 'License: ISC')}`).size).toBe(1);
  });
});

describe('a licence expression', () => {
  test.each([
    ['GPL-2', 'GPL-2.0-only'],
    ['GPL-2+', 'GPL-2.0-or-later'],
    ['gpl-2.0+', 'GPL-2.0-or-later'],
    ['GPL-2.0-or-later', 'GPL-2.0-or-later'],
    ['GPLv3', 'GPL-3.0-only'],
    ['GPL-1+', 'GPL-1.0-or-later'],
    ['GPL-3.0.0', 'GPL-3.0-only'],
    ['LGPL-2', 'LGPL-2.0-only'],
    ['LGPL-2.1+', 'LGPL-2.1-or-later'],
    ['LGPL-3+', 'LGPL-3.0-or-later'],
    ['AGPL-3+', 'AGPL-3.0-or-later'],
    ['GFDL-1.3', 'GFDL-1.3-only'],
    ['GFDL-NIV-1.2+', 'GFDL-1.2-no-invariants-or-later'],
    ['GFDL-1.3-no-invariants-only', 'GFDL-1.3-no-invariants-only'],
    ['Expat', 'MIT'],
    ['MIT', 'MIT'],
    ['BSD-3-clause', 'BSD-3-Clause'],
    ['bsd-2-CLAUSE', 'BSD-2-Clause'],
    ['BSD-4-clause-UC', 'BSD-4-Clause-UC'],
    ['Apache-2', 'Apache-2.0'],
    ['Apache-2.0+', 'Apache-2.0+'],
    ['MPL-1.1', 'MPL-1.1'],
    ['LPPL-1.3c+', 'LPPL-1.3c+'],
    ['Artistic', 'Artistic-1.0-Perl'],
    ['Artistic-1', 'Artistic-1.0'],
    ['Artistic-2.0', 'Artistic-2.0'],
    ['CC0', 'CC0-1.0'],
    ['CC-BY-SA-3', 'CC-BY-SA-3.0'],
    ['CC-BY-NC-ND-2.5', 'CC-BY-NC-ND-2.5'],
    ['zlib', 'Zlib'],
    ['curl', 'curl'],
    ['Boost-1.0', 'BSL-1.0'],
    ['WTFPL-2', 'WTFPL'],
    ['Unicode-DFS-2016', 'Unicode-DFS-2016'],
    ['GPL-2+ with Classpath exception', 'GPL-2.0-or-later WITH Classpath-exception-2.0'],
    ['GPL-3+ with Bison-2.2 exception', 'GPL-3.0-or-later WITH Bison-exception-2.2'],
    ['GPL-2+ with LibTool Exception', 'GPL-2.0-or-later WITH Libtool-exception'],
    ['GPL-2 with Linux-syscall-note exception', 'GPL-2.0-only WITH Linux-syscall-note'],
    ['Apache-2.0 with LLVM exceptions', 'Apache-2.0 WITH LLVM-exception'],
    ['GPL-3+-WITH-BISON-EXCEPTION', 'GPL-3.0-or-later WITH Bison-exception-2.2'],
    ['GPL-3.0-or-later-WITH-Autoconf-exception-macro', 'GPL-3.0-or-later WITH Autoconf-exception-macro'],
  ])('%s is %s', (name, expression) => {
    expect(licenceExpression([name])).toEqual({ expression, references: new Map() });
  });

  test.each([
    ['a or b and c', 'LicenseRef-a OR LicenseRef-b AND LicenseRef-c'],
    ['a or b, and c', '(LicenseRef-a OR LicenseRef-b) AND LicenseRef-c'],
    ['a, and b or c', 'LicenseRef-a AND (LicenseRef-b OR LicenseRef-c)'],
    ['a and b or c and d', 'LicenseRef-a AND LicenseRef-b OR LicenseRef-c AND LicenseRef-d'],
    ['a or b, and c or d, or e', '(LicenseRef-a OR LicenseRef-b) AND (LicenseRef-c OR LicenseRef-d) OR LicenseRef-e'],
    ['a AND b Or c', 'LicenseRef-a AND LicenseRef-b OR LicenseRef-c'],
    ['a,and b', 'LicenseRef-a AND LicenseRef-b'],
    ['GPL-2+ or Artistic-2.0, and BSD-3-clause', '(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause'],
    ['GPL-2 with Linux-syscall-note exception OR BSD-3-Clause', 'GPL-2.0-only WITH Linux-syscall-note OR BSD-3-Clause'],
  ])('%s is %s', (synopsis, expression) => {
    expect(licenceExpression([synopsis]).expression).toBe(expression);
  });

  test.each([
    ['several are joined', ['GPL-2+', 'ISC or Expat'], 'GPL-2.0-or-later AND (ISC OR MIT)'],
    ['what comes twice stands once', ['GPL-2+', 'Expat', 'GPL-2.0+ and MIT', 'Expat'], 'GPL-2.0-or-later AND MIT'],
    ['in any order', ['ISC or Expat', 'Expat or ISC', 'MIT or ISC or Expat'], 'ISC OR MIT'],
    ['inside of others', ['ISC or a and Expat', 'Expat and a or ISC', 'Zlib'], '(ISC OR LicenseRef-a AND MIT) AND Zlib'],
    ['a choice of one is none', ['Expat or MIT', 'ISC'], 'MIT AND ISC'],
    ['the first comes first', ['ISC', 'Zlib', 'ISC', 'Expat', 'Zlib'], 'ISC AND Zlib AND MIT'],
    ['none say nothing', [], 'NOASSERTION'],
  ])('%s', (_, synopses, expression) => {
    expect(licenceExpression(synopses)).toMatchObject({ expression });
  });

  test.each([
    ['public-domain', 'LicenseRef-public-domain'],
    ['Public-Domain', 'LicenseRef-public-domain'],
    ['', 'LicenseRef-unnamed'],
    ['unnamed', /^LicenseRef-unnamed-[0-9a-f]{12}$/],
    ['other-0123456789ab', /^LicenseRef-other-0123456789ab-[0-9a-f]{12}$/],
    ['GPL', 'LicenseRef-gpl'],
    ['LGPL', 'LicenseRef-lgpl'],
    ['GPL-4', 'LicenseRef-gpl-4'],
    ['AGPL-NIV-3', 'LicenseRef-agpl-niv-3'],
    ['Apache', 'LicenseRef-apache'],
    ['BSD', 'LicenseRef-bsd'],
    ['Python', 'LicenseRef-python'],
    ['Unicode', 'LicenseRef-unicode'],
    ['BSD-3-clause-with-weird-numbering', 'LicenseRef-bsd-3-clause-with-weird-numbering'],
    ['Expat+', /^LicenseRef-expat-[0-9a-f]{12}$/],
    ['BSD-3-clause~Google', /^LicenseRef-bsd-3-clause-google-[0-9a-f]{12}$/],
    ['GPL-2+ with OpenSSL exception', /^LicenseRef-gpl-2-with-openssl-exception-[0-9a-f]{12}$/],
    ['GPL with Classpath exception', /^LicenseRef-gpl-with-classpath-exception-[0-9a-f]{12}$/],
    ['\ud800\u00e9\u0130', /^LicenseRef-[a-z0-9-]*[0-9a-f]{12}$/],
    ['-', 'LicenseRef--'],
    ['constructor', 'LicenseRef-constructor'],
    ['__proto__', /^LicenseRef-proto-[0-9a-f]{12}$/],
    ['a'.repeat(61), /^LicenseRef-a{60}-[0-9a-f]{12}$/],
  ])('%s has no identifier', (name, reference) => {
    const { expression, references } = licenceExpression([name]);
    expect(expression).toMatch(reference);
    expect(references).toEqual(new Map([[expression, name]]));
  });

  test.each([
    'GPL-2+ | MIT',
    '(GPL-2+ or MIT) and ISC',
    'GPL-2+ and/or ISC',
    'GPL-2+ or',
    'and ISC',
    'GPL-2+ or or ISC',
    'GPL-2+, ISC',
    'GPL-2+, ISC and Expat',
    ', and',
    'public domain',
    'GPL-2+ with',
    'with OpenSSL exception',
    'GPL-2+ with OpenSSL and Font exception',
    'MIT; ISC',
  ])('%s is no synopsis, and stands as a whole', (synopsis) => {
    const { expression, references } = licenceExpression([synopsis]);
    expect(expression).toMatch(/^LicenseRef-[a-z0-9.-]+$/);
    expect(references).toEqual(new Map([[expression, synopsis]]));
  });

  test('different names have different references', () => {
    const names = ['a+b', 'a-b', 'a~b', 'a_b', 'a b', 'a', 'a+', `${'a'.repeat(90)}b`, `${'a'.repeat(90)}c`, 'é', 'è', '', 'unnamed'];
    const { references } = licenceExpression(names);
    expect([...references.values()]).toEqual(names);
    for (const name of names)
      for (const reference of licenceExpression([name]).references.keys()) expect(references.get(reference)).toBe(name);
  });

  test.each([
    ['words', 'or '.repeat(300_000)],
    ['commas', ','.repeat(300_000)],
    ['noughts', `a${'.0'.repeat(300_000)}x`],
    ['spaces', `${' '.repeat(300_000)}x${' '.repeat(300_000)}`],
    ['exceptions', 'a with '.repeat(100_000)],
  ])('many %s cost no more than their length', (_, synopsis) => {
    expect(licenceExpression([synopsis]).expression).toMatch(/^LicenseRef-[a-z0-9.-]{1,80}$/);
  });

  test('many names stay many', () => {
    const names = Array.from({ length: 20_000 }, (_, at) => `n${at}`);
    expect(licenceExpression([names.join(' or '), names.join(' and ')]).references.size).toBe(20_000);
  });
});
