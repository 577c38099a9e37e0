import { readInside } from '../system/inside.ts';

/** Files above this are no scripts; in bytes. */
export const LARGEST_SCRIPT = 4 * 1024 ** 2;

/** A line that reads another script. */
const SOURCES = /(?:^|[\s;&|({!])(?:source|\.)\s/;

/** A script whose name stands in a variable: `. "./$file"`, but not `source "$REALMFS_PROJECT/lib.sh"`. */
const VARIABLE = /(?:source|\.)\s+[^;&|]*\$\{?(?!REALMFS_PROJECT\b|BASH_SOURCE\b)\w/;

/** build.conf and what it names of the files beside it, and so on. */
export interface NamedFiles {
  readonly names: ReadonlySet<string>;
  /** Without lines that are comments. */
  readonly texts: readonly string[];
}

/** Finds which of the files beside build.conf stand by their names in its text, in the texts of these files, and so on. */
export async function namedFiles(folder: string, configName: string, beside: readonly string[]): Promise<NamedFiles> {
  const names = new Set([configName]);
  const texts: string[] = [];
  // A set is walked in the order in which it grows.
  for (const name of names) {
    const text = ((await readInside(folder, name, LARGEST_SCRIPT))?.toString('latin1') ?? '').replace(/^\s*#.*$/gm, '');
    texts.push(text);
    for (const other of beside) if (!names.has(other) && namesFile(text, other)) names.add(other);
  }
  return { names, texts };
}

/** Whether a line that reads a script has the name of a file, or a variable that may have it. */
export function sourcesFile({ texts }: NamedFiles, file: string): boolean {
  const name = file.slice(file.lastIndexOf('/') + 1);
  if (!texts.some((text) => namesFile(text, name))) return false;
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => SOURCES.test(line));
  return lines.some((line) => namesFile(line, name) || VARIABLE.test(line));
}

/** True if the name stands in a text by itself: not as a part of a longer one. */
function namesFile(text: string, name: string): boolean {
  const part = /[\w.-]/;
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!part.test(text[at - 1] ?? ' ') && !part.test(text[at + name.length] ?? ' ')) return true;
  return false;
}
