import { BuilderError } from '../errors.ts';
import type { IndexEntry } from './index-file.ts';

/** The packages that a simulated upgrade brings up to date, from apt's `Inst NAME [OLD] (NEW ...`. */
export function parseNewer(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const [, name, old, now] = /^Inst (\S+) \[([^\]]+)\] \((\S+) /.exec(line) ?? [];
    return name === undefined ? [] : [`${name} ${old} -> ${now}`];
  });
}

/** The files that apt wants, from what `apt-get --print-uris` prints: `'URI' NAME SIZE SHA256:HEX`. */
export function parseUris(text: string): Map<string, IndexEntry> {
  const wanted = new Map<string, IndexEntry>();
  for (const line of text.split('\n')) {
    // A package of the project is not fetched.
    if (!line.startsWith("'") || line.startsWith("'file:/dev/realmfs/lib/packages/")) continue;
    const match = /^'[^']*' ([A-Za-z0-9][A-Za-z0-9+.~%_-]*\.deb) (\d+)(?: SHA256:([0-9a-f]{64}))?\b/.exec(line);
    // Names become paths.
    if (match?.[1] === undefined) throw new BuilderError(`apt names a file that is no package: ${line.slice(0, 200)}`);
    // A line that says no SHA-256 is a file that nobody vouches for.
    wanted.set(match[1], match[3] === undefined ? { size: -1, sha256: '' } : { size: Number(match[2]), sha256: match[3] });
  }
  return wanted;
}
