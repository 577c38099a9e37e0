/** What a list of apt says of a package. */
export interface Contradiction {
  /** The package that one word takes away, `NAME-`. */
  readonly name: string;
  /** The word that installs it. */
  readonly word: string;
}

/** Packages that lists say two things of: `NAME-` takes away what `NAME`, `NAME+`, `NAME=VERSION` or `NAME/SUITE` installs. */
export function contradictions(words: readonly string[]): Contradiction[] {
  const removed = new Set(words.filter((word) => word.endsWith('-')).map((word) => word.slice(0, -1)));
  return words.flatMap((word) => {
    const [name = ''] = word.split(/[=/]/);
    const found = [name, ...(name.endsWith('+') ? [name.slice(0, -1)] : [])].find((one) => removed.has(one));
    return word.endsWith('-') || found === undefined ? [] : [{ name: found, word }];
  });
}
