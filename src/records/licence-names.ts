/*
 * From the names that copyright files of Debian use (machine-readable copyright format 1.0) to identifiers of SPDX. A name that is
 * not sure to mean one licence has none: texts of the same name differ, and a wrong identifier is worse than none.
 */

/** Identifiers of SPDX whose name means the same in a copyright file; case and noughts at a version's end do not count. */
const IDENTIFIERS = `
  0BSD AFL-1.1 AFL-1.2 AFL-2.0 AFL-2.1 AFL-3.0 Apache-1.0 Apache-1.1 Apache-2.0 APSL-1.0 APSL-1.1 APSL-1.2 APSL-2.0
  Artistic-1.0 Artistic-1.0-cl8 Artistic-1.0-Perl Artistic-2.0 Beerware Bitstream-Vera blessing
  BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-2-Clause-Views BSD-3-Clause BSD-3-Clause-Attribution BSD-3-Clause-Clear
  BSD-3-Clause-LBNL BSD-4-Clause BSD-4-Clause-UC BSD-Source-Code BSL-1.0 bzip2-1.0.6
  CC0-1.0 CDDL-1.0 CDDL-1.1 CECILL-1.0 CECILL-1.1 CECILL-2.0 CECILL-2.1 CECILL-B CECILL-C ClArtistic CNRI-Python CPL-1.0 curl
  ECL-1.0 ECL-2.0 EFL-1.0 EFL-2.0 EPL-1.0 EPL-2.0 EUPL-1.0 EUPL-1.1 EUPL-1.2 FSFAP FSFUL FSFULLR FSFULLRWD FTL
  HPND HPND-sell-variant ICU IJG ImageMagick Info-ZIP IPL-1.0 ISC JSON Latex2e Libpng libpng-2.0 libtiff Linux-man-pages-copyleft
  LPPL-1.0 LPPL-1.1 LPPL-1.2 LPPL-1.3a LPPL-1.3c MirOS MIT MIT-0 MIT-CMU MIT-feh MIT-Modern-Variant MIT-open-group
  MPL-1.0 MPL-1.1 MPL-2.0 MPL-2.0-no-copyleft-exception MS-PL MS-RL NCSA NPL-1.0 NPL-1.1 NTP ODbL-1.0 OFL-1.0 OFL-1.1
  OGL-UK-3.0 OLDAP-2.7 OLDAP-2.8 OpenSSL OSL-1.0 OSL-2.0 OSL-2.1 OSL-3.0 PDDL-1.0 PHP-3.0 PHP-3.01 PostgreSQL PSF-2.0
  Python-2.0 Python-2.0.1 QPL-1.0 RSA-MD Ruby Sendmail SGI-B-1.0 SGI-B-1.1 SGI-B-2.0 SISSL Sleepycat SMLNJ Spencer-86 Spencer-94
  Spencer-99 SSLeay-standalone SunPro SWL TCL TCP-wrappers Ubuntu-font-1.0 Unicode-3.0 Unicode-DFS-2015 Unicode-DFS-2016
  Unicode-TOU Unlicense UPL-1.0 Vim W3C W3C-19980720 W3C-20150513 WTFPL X11 XFree86-1.1 Xnet Zend-2.0 Zlib ZPL-1.1 ZPL-2.0 ZPL-2.1
  ${['BY', 'BY-SA', 'BY-ND', 'BY-NC', 'BY-NC-SA', 'BY-NC-ND'].flatMap((kind) => ['1.0', '2.0', '2.5', '3.0', '4.0'].map((version) => `CC-${kind}-${version}`)).join(' ')}`;

/**
 * Names that SPDX writes otherwise. What Debian has as `Artistic`, in /usr/share/common-licenses, is word for word Perl's version of
 * it, not the one of the Open Source Initiative; `Artistic-1.0` is an identifier of SPDX, and taken as one.
 */
const OTHERS: readonly (readonly [string, string])[] = [
  ['Artistic', 'Artistic-1.0-Perl'],
  ['Boost-1.0', 'BSL-1.0'],
  ['CC0', 'CC0-1.0'],
  ['Expat', 'MIT'],
  ['OpenLDAP-2.8', 'OLDAP-2.8'],
  ['Python-CNRI', 'CNRI-Python'],
  ['SIL-1.1', 'OFL-1.1'],
  ['SIL-OFL-1.1', 'OFL-1.1'],
  ['WTFPL-2.0', 'WTFPL'],
  ['Zope-1.1', 'ZPL-1.1'],
  ['Zope-2.0', 'ZPL-2.0'],
  ['Zope-2.1', 'ZPL-2.1'],
];

/** Versions of the licences of GNU. */
const GNU: Readonly<Record<string, readonly string[]>> = {
  GPL: ['1.0', '2.0', '3.0'],
  LGPL: ['2.0', '2.1', '3.0'],
  AGPL: ['1.0', '3.0'],
  GFDL: ['1.1', '1.2', '1.3'],
};

/** Exceptions of SPDX that copyright files name so: `GPL-2+ with Classpath exception`. */
const EXCEPTIONS = `
  Autoconf-exception-2.0 Autoconf-exception-3.0 Autoconf-exception-macro Bison-exception-1.24 Bison-exception-2.2 Bootloader-exception
  Classpath-exception-2.0 cryptsetup-OpenSSL-exception eCos-exception-2.0 FLTK-exception Font-exception-2.0 GCC-exception-2.0
  GCC-exception-3.1 GStreamer-exception-2005 GStreamer-exception-2008 Libtool-exception Linux-syscall-note LLVM-exception
  OCaml-LGPL-linking-exception OpenJDK-assembly-exception-1.0 openvpn-openssl-exception Qt-GPL-exception-1.0 Qt-LGPL-exception-1.1
  stunnel-exception Swift-exception Texinfo-exception u-boot-exception-2.0 Universal-FOSS-exception-1.0 vsftpd-openssl-exception
  WxWindows-exception-3.1 x11vnc-openssl-exception`;

/**
 * Exceptions without their version. Those of Autoconf and OpenSSL are not among them: packages have several texts by those names, and
 * SPDX has an identifier for each, or none.
 */
const OTHER_EXCEPTIONS: readonly (readonly [string, string])[] = [
  ['Bison', 'Bison-exception-2.2'],
  ['Classpath', 'Classpath-exception-2.0'],
  ['Font', 'Font-exception-2.0'],
  ['GCC-Runtime-3.1', 'GCC-exception-3.1'],
  ['GCC-Runtime-Library-3.1', 'GCC-exception-3.1'],
];

const words = (text: string): string[] => text.trim().split(/\s+/);
const withoutNoughts = (name: string): string => name.toLowerCase().replace(/(?:\.0)+$/, '');
const exceptionKey = (name: string): string => withoutNoughts(name.replaceAll(' ', '-')).replace('-exception', '');

const licences = new Map([...words(IDENTIFIERS).map((id) => [id, id] as const), ...OTHERS].map(([name, id]) => [withoutNoughts(name), id]));
const exceptions = new Map(
  [...words(EXCEPTIONS).map((id) => [id, id] as const), ...OTHER_EXCEPTIONS].map(([name, id]) => [exceptionKey(name), id]),
);

/**
 * The identifier of a licence. `GPL` without a version has none: by the rules of copyright files it is version 1 alone, but packages
 * that write so mean another one. `+` stands for later versions.
 */
export function spdxLicence(name: string): string | undefined {
  const gnu = /^(A?GPL|LGPL|GFDL)(-NIV)?-?v?(\d(?:\.\d+)*)(-no-invariants)?(\+|-only|-or-later)?$/i.exec(name);
  if (gnu !== null) return gnuLicence(gnu);
  const known = licences.get(withoutNoughts(name));
  if (known !== undefined || !name.endsWith('+')) return known;
  const earliest = licences.get(withoutNoughts(name.slice(0, -1)));
  return earliest !== undefined && /-\d+\.\d+[a-z]?$/.test(earliest) ? `${earliest}+` : undefined;
}

function gnuLicence(found: RegExpExecArray): string | undefined {
  const family = found[1]?.toUpperCase() ?? '';
  const version = GNU[family]?.find((one) => withoutNoughts(one) === withoutNoughts(found[3] ?? ''));
  const noInvariants = found[2] ?? found[4];
  if (version === undefined || (noInvariants !== undefined && family !== 'GFDL')) return undefined;
  const grant = found[5] === '+' || found[5]?.toLowerCase() === '-or-later' ? '-or-later' : '-only';
  return `${family}-${version}${noInvariants === undefined ? '' : '-no-invariants'}${grant}`;
}

/** The identifier of an exception, by what stands between `with` and `exception`. */
export function spdxException(keywords: string): string | undefined {
  return exceptions.get(exceptionKey(keywords));
}
