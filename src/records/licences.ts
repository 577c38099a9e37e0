import { createHash } from 'node:crypto';
import { spdxException, spdxLicence } from './licence-names.ts';

/*
 * What packages declare of their licences: from their copyright files, where those are machine-readable (copyright format 1.0, once
 * DEP 5), to licence expressions of SPDX. The files come from a tree that nobody vouches for.
 */

/** Characters of a field's first line, and licences of a package; of a package with more than this nothing is said at all. */
const LONGEST = 1000;
const MOST = 1000;
/** Lines of a copyright file by which its licences are known. */
export const LICENCE_FIELD = /^(?:Format|Format-Specification|Files|License):/;
/** Characters of the longest path of a copyright file. */
const LONGEST_PATH = 300;
/** Characters of the longest name that is looked up, and of what is shown of a name in a reference. */
const LONGEST_NAME = 100;
const SHOWN = 60;

/** What is known of a copyright file so far. */
interface CopyrightFile {
  readonly licences: Set<string>;
  machineReadable: boolean;
  tooMuch: boolean;
  /** A paragraph on files has been seen, and: its licence is not seen yet. */
  hasFiles: boolean;
  inFiles: boolean;
}

/**
 * The licences that packages declare, by the name of the package: the first lines of `License`, each once, in order. From lines
 * `PATH`, a nought byte, `FIELD: VALUE`, of the fields of LICENCE_FIELD. A licence without a name is ''. If the lines have `Files` too,
 * paragraphs that only give the text of a licence are told from those that declare one, and left out.
 */
export function parseLicences(text: string): Map<string, string[]> {
  const files = new Map<string, CopyrightFile>();
  for (const line of text.split('\n')) {
    const end = line.indexOf('\0');
    const name =
      end < 0 || end > LONGEST_PATH ? undefined : /^\/usr\/share\/doc\/([a-z0-9][a-z0-9+.-]+)\/copyright$/.exec(line.slice(0, end))?.[1];
    if (name === undefined) continue;
    const file = files.get(name) ?? { licences: new Set(), machineReadable: false, tooMuch: false, hasFiles: false, inFiles: false };
    files.set(name, file);
    takeField(file, line.slice(end + 1));
  }
  const known = [...files].filter(([, { machineReadable, tooMuch, licences }]) => machineReadable && !tooMuch && licences.size > 0);
  return new Map(known.map(([name, { licences }]) => [name, [...licences]]));
}

function takeField(file: CopyrightFile, line: string): void {
  const colon = line.indexOf(':');
  if (colon < 0) return;
  const value = line.slice(colon + 1);
  switch (line.slice(0, colon)) {
    case 'Format':
    case 'Format-Specification':
      file.machineReadable ||= /copyright-?format|dep-?5/i.test(value.slice(0, LONGEST));
      break;
    case 'Files':
      file.hasFiles = true;
      file.inFiles = true;
      break;
    case 'License':
      if (value.length > LONGEST || file.licences.size === MOST) file.tooMuch = true;
      // The licence of the whole package stands before all files.
      else if (!file.hasFiles || file.inFiles) file.licences.add(value.replace(/[\s\p{Cc}]+/gu, ' ').trim());
      file.inFiles = false;
  }
}

/** A licence, or what `and` and `or` make of several. */
type Terms = string | { readonly operator: 'AND' | 'OR'; readonly operands: readonly Terms[] };

/** What separates the parts of a synopsis, from the loosest to the tightest: a comma makes the word behind it loose. */
const SEPARATORS = [
  { words: [',', 'or'], operator: 'OR' },
  { words: [',', 'and'], operator: 'AND' },
  { words: ['or'], operator: 'OR' },
  { words: ['and'], operator: 'AND' },
] as const;

/** A licence expression, and the licences in it that SPDX does not know: what refers to them, and their names. */
export interface LicenceExpression {
  readonly expression: string;
  readonly references: Map<string, string>;
}

/** The expression for all of the licences; those of SPDX by their identifiers, and what says nothing to us as a whole by a reference. */
export function licenceExpression(synopses: readonly string[]): LicenceExpression {
  if (synopses.length === 0) return { expression: 'NOASSERTION', references: new Map() };
  const references = new Map<string, string>();
  const { text } = render({ operator: 'AND', operands: synopses.map(termsOf) }, references);
  return { expression: text, references };
}

function termsOf(synopsis: string): Terms {
  const words = synopsis
    .replaceAll(',', ' , ')
    .split(/\s+/)
    .filter((word) => word !== '');
  return parse(words, 0) ?? words.join(' ').replaceAll(' ,', ',');
}

/** Undefined if the words are no synopsis. */
function parse(words: readonly string[], level: number): Terms | undefined {
  const separator = SEPARATORS[level];
  if (separator === undefined) return isLicence(words) ? words.join(' ') : undefined;
  const operands = splitAt(words, separator.words).map((part) => parse(part, level + 1));
  const known = operands.filter((part) => part !== undefined);
  if (known.length < operands.length) return undefined;
  return known.length === 1 ? known[0] : { operator: separator.operator, operands: known };
}

/** A name, or `NAME with KEYWORDS exception`. */
function isLicence(words: readonly string[]): boolean {
  if (words.some((word) => /[,()|;&]/.test(word))) return false;
  return words.length === 1 || (words.length > 2 && words[1]?.toLowerCase() === 'with');
}

function splitAt(words: readonly string[], separator: readonly string[]): string[][] {
  const parts: string[][] = [[]];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (separator.every((wanted, offset) => words[at + offset]?.toLowerCase() === wanted)) {
      parts.push([]);
      at += separator.length - 1;
    } else parts.at(-1)?.push(word);
  }
  return parts;
}

/** The text of an expression; what is the same in another order has the same key. */
interface Rendered {
  readonly text: string;
  readonly key: string;
  readonly isChoice: boolean;
}

function render(terms: Terms, references: Map<string, string>): Rendered {
  if (typeof terms === 'string') {
    const text = licenceTerm(terms, references);
    return { text, key: text, isChoice: false };
  }
  const { operator } = terms;
  const byKey = new Map<string, Rendered>();
  for (const operand of flat(terms, operator)) {
    const part = render(operand, references);
    if (!byKey.has(part.key)) byKey.set(part.key, part);
  }
  const parts = [...byKey.values()];
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const join = (texts: readonly string[]): string => texts.join(` ${operator} `);
  return {
    text: join(parts.map(({ text, isChoice }) => (operator === 'AND' && isChoice ? `(${text})` : text))),
    key: `(${join(parts.map(({ key }) => key).sort())})`,
    isChoice: operator === 'OR',
  };
}

function flat(terms: Terms, operator: 'AND' | 'OR'): readonly Terms[] {
  return typeof terms !== 'string' && terms.operator === operator ? terms.operands.flatMap((part) => flat(part, operator)) : [terms];
}

/** `GPL-2+`, `GPL-2+ with Classpath exception`, `GPL-2+-with-classpath-exception`. */
function licenceTerm(name: string, references: Map<string, string>): string {
  if (name.length <= LONGEST_NAME) {
    const [, base = name, keywords] = /^(.+?)[ -]with[ -](.+?)(?:[ -]exceptions?)?$/i.exec(name) ?? [];
    const licence = spdxLicence(base);
    const exception = keywords === undefined ? undefined : spdxException(keywords);
    if (licence !== undefined && keywords === undefined) return licence;
    if (licence !== undefined && exception !== undefined) return `${licence} WITH ${exception}`;
  }
  const reference = licenceReference(name);
  if (!references.has(reference)) references.set(reference, name);
  return reference;
}

/** Case does not count in names and references; a digest stands for what a reference cannot show. */
function licenceReference(name: string): string {
  if (name === '') return 'LicenseRef-unnamed';
  const lower = name.toLowerCase();
  if (/^[a-z0-9.-]+$/.test(lower) && lower.length <= SHOWN && !/^unnamed$|-[0-9a-f]{12}$/.test(lower)) return `LicenseRef-${lower}`;
  const shown = lower
    .slice(0, SHOWN)
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^-|-$/g, '');
  const digest = createHash('sha256').update(lower).digest('hex').slice(0, 12);
  return `LicenseRef-${shown}${shown === '' ? '' : '-'}${digest}`;
}
