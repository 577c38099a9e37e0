import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { CommandError } from '../errors.ts';
import { readInPieces } from '../system/files.ts';
import type { Runner } from '../system/runner.ts';

/** What a signed index says of a package file. */
export interface IndexEntry {
  readonly size: number;
  readonly sha256: string;
}

/** A Release file whose signature was checked. */
export interface SignedRelease {
  /** Name of the InRelease file below apt's lists. */
  readonly file: string;
  /** The signed text. */
  readonly text: string;
  /** Index path (`main/binary-amd64/Packages`) to its entry. */
  readonly indices: ReadonlyMap<string, IndexEntry>;
}

/** A Release file that was found to be signed, or why it is not. */
export type SignatureCheck = { readonly release: SignedRelease } | { readonly fault: string };

/** Lines by which gpgv says what is wrong with a signature (doc/DETAILS of GnuPG), in words. */
const faults: readonly [keyword: string, words: string][] = [
  ['BADSIG', 'was changed after it was signed'],
  ['REVKEYSIG', 'is signed by a key that was revoked'],
  ['EXPKEYSIG', 'is signed by a key that has expired'],
  ['EXPSIG', 'has a signature that has expired'],
  ['NO_PUBKEY', 'is signed by a key that is not in the keyring'],
  ['ERRSIG', 'has a signature that cannot be checked'],
];

/**
 * Checks the signature of an InRelease file: at least one good signature by a key of the keyring
 * that has neither expired nor been revoked. Others may stand beside it.
 */
export async function checkSignature(file: string, keyring: string, runner: Runner): Promise<SignatureCheck> {
  // Several messages in one file: what is signed and what is read would not be the same.
  const whole = await readFile(file, 'latin1');
  if (!/^-----BEGIN PGP SIGNED MESSAGE-----\r?\n/.test(whole)) return { fault: 'is not signed' };
  if (whole.split(/^-----BEGIN PGP SIGNED MESSAGE-----/m).length !== 2 || !/^-----END PGP SIGNATURE-----\s*$/m.test(whole.slice(-40))) {
    return { fault: 'holds more than one signed text' };
  }
  const status: string[] = [];
  const signed: Buffer[] = [];
  const command = {
    label: 'gpgv',
    file: 'gpgv',
    args: ['--quiet', '--status-fd', '3', '--keyring', keyring, '--output', '-', '--', file],
    onStatus: (line: string) => status.push(line),
    // It stands for a further signature by a key that the keyring does not have, too.
    okExitCodes: [2],
  };
  const isGood = await runner
    .stream(command, (piece) => signed.push(piece))
    .then(
      () => true,
      (error: unknown) => {
        if (error instanceof CommandError) return false;
        throw error;
      },
    );
  const said = (keyword: string): string | undefined => status.find((line) => line.startsWith(`[GNUPG:] ${keyword} `));
  if (isGood && said('GOODSIG') !== undefined && said('BADSIG') === undefined) {
    const text = Buffer.concat(signed).toString('utf8');
    return { release: { file: path.basename(file), text, indices: parseRelease(text) } };
  }
  for (const [keyword, words] of faults) {
    const key = said(keyword)?.split(' ')[2];
    if (key !== undefined) return { fault: `${words} (${key})` };
  }
  return { fault: 'is not signed' };
}

/** Whether a fault says that the file is not what somebody has signed, whoever that was. */
export function isDamaged(fault: string): boolean {
  return /^(?:was changed|is not signed|holds more|has a signature that cannot)/.test(fault);
}

/** The signed Release file, or undefined if no good signature is on it. */
export async function readSigned(file: string, keyring: string, runner: Runner): Promise<SignedRelease | undefined> {
  const check = await checkSignature(file, keyring, runner);
  return 'release' in check ? check.release : undefined;
}

/** The SHA256 section of a Release file. */
export function parseRelease(text: string): Map<string, IndexEntry> {
  const indices = new Map<string, IndexEntry>();
  let inside = false;
  for (const line of text.split('\n')) {
    if (!line.startsWith(' ')) inside = line.startsWith('SHA256:');
    else if (inside) {
      const [sha256, size, name] = line.trim().split(/\s+/);
      if (sha256 !== undefined && size !== undefined && name !== undefined) indices.set(name, { sha256, size: Number(size) });
    }
  }
  return indices;
}

/** A field of a Release file. */
export function releaseField(text: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1]?.trim();
}

/** The names under which apt keeps the files of some packages, with what a Packages file says of them. */
export function parsePackages(bytes: Buffer, wanted: ReadonlySet<string>): Map<string, IndexEntry> {
  const entries = new Map<string, IndexEntry>();
  const text = bytes.toString('latin1');
  const next = (from: number): number => {
    const found = text.indexOf('\nPackage: ', from);
    return found < 0 ? -1 : found + 1;
  };
  const lineAt = (at: number): string => {
    const end = text.indexOf('\n', at);
    return text.slice(at, end < 0 ? undefined : end);
  };
  for (let at = text.startsWith('Package: ') ? 0 : next(0); at >= 0; at = next(at)) {
    if (!wanted.has(lineAt(at).slice('Package: '.length))) continue;
    const [start, end] = [text.lastIndexOf('\n\n', at), text.indexOf('\n\n', at)];
    // A string of its own: a slice would keep the whole file in memory.
    const stanza = `\n${bytes.toString('latin1', start < 0 ? 0 : start + 2, end < 0 ? undefined : end)}\n`;
    const field = (name: string): string | undefined => {
      const from = stanza.indexOf(`\n${name}: `);
      return from < 0 ? undefined : stanza.slice(from + name.length + 3, stanza.indexOf('\n', from + 1));
    };
    const [name, version, arch, size, sha256] = [field('Package'), field('Version'), field('Architecture'), field('Size'), field('SHA256')];
    if (name !== undefined && version !== undefined && arch !== undefined && size !== undefined && sha256 !== undefined) {
      entries.set(archiveName(name, version, arch), { size: Number(size), sha256 });
    }
  }
  return entries;
}

/** The name that apt gives a package file in its cache: the epoch's colon is written `%3a`. */
export function archiveName(name: string, version: string, arch: string): string {
  return `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`;
}

/** The index files of a signed release that lie in apt's lists, with what was signed of each; whether they are that is not known. */
export async function indicesOf(lists: string, release: SignedRelease): Promise<{ file: string; signed: IndexEntry }[]> {
  const prefix = release.file.slice(0, -'InRelease'.length);
  const byName = new Map([...release.indices].map(([name, entry]) => [name.replaceAll('/', '_'), entry]));
  const found: { file: string; signed: IndexEntry }[] = [];
  for (const file of await readdir(lists)) {
    const signed = file.startsWith(prefix) ? byName.get(file.slice(prefix.length)) : undefined;
    // In the upper folder of an overlay a device stands for a file that was removed.
    if (signed !== undefined && (await lstat(path.join(lists, file))).isFile()) found.push({ file, signed });
  }
  return found;
}

/** What a Packages file says of some packages, as parsePackages has it: nothing, if it is not the one that was signed. Read in pieces, since it is large. */
export async function readPackages(file: string, signed: IndexEntry, wanted: ReadonlySet<string>): Promise<Map<string, IndexEntry>> {
  const none = new Map<string, IndexEntry>();
  const entries = new Map<string, IndexEntry>();
  const hash = createHash('sha256');
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size !== signed.size) return none;
    const take = (bytes: Buffer): void => {
      for (const [name, entry] of parsePackages(bytes, wanted)) entries.set(name, entry);
    };
    let rest = Buffer.alloc(0);
    await readInPieces(handle, 0, (piece) => {
      hash.update(piece);
      const bytes = Buffer.concat([rest, piece]);
      // Whole stanzas only; the last one may go on in the next piece.
      const end = bytes.lastIndexOf('\n\n') + 1;
      take(bytes.subarray(0, end));
      rest = bytes.subarray(end);
    });
    take(rest);
  } finally {
    await handle.close();
  }
  return hash.digest('hex') === signed.sha256 ? entries : none;
}
