import { isUtf8 } from 'node:buffer';
import { createPrivateKey } from 'node:crypto';

/*
 * Files that make one machine differ from all others: private keys, secrets and random identifiers. Packages draw them when they are installed; an
 * image that holds one gives it to every machine.
 */

/** Bytes of the largest file that is judged. */
export const LARGEST_IDENTITY = 64 * 1024;

/** How a random part is drawn again: so many bytes or characters, or a UUID. */
export type Draw = { readonly kind: 'uuid' } | { readonly kind: 'hex' | 'base64' | 'alphanumeric' | 'bytes'; readonly count: number };

/** What a file holds that belongs to one machine. */
export interface Identity {
  readonly what: 'a private key' | 'a secret' | 'a random identifier';
  /** False: it stands among other things, which an image may need. */
  readonly isWhole: boolean;
  /** What stands before and behind the random part, and how that is drawn; undefined: it takes more than that, as a key does. */
  readonly template?: { readonly before: string; readonly after: string; readonly draw: Draw };
}

/** In PEM and the form of ssh; of DNSSEC, PuTTY, OpenVPN, age, GnuPG and Tor. */
const PRIVATE_KEY =
  /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|-----BEGIN OpenVPN Static key|^Private-key-format:|^PuTTY-User-Key-File-|^AGE-SECRET-KEY-|\(\s*(?:\d+:)?(?:protected-)?private-key\b|^== ed25519v1-secret/m;
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;
const UUID = /(?<![0-9a-f-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f-])/i;
/** Version 4 of RFC 9562. */
const RANDOM_UUID = /(?<![0-9a-f-])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9a-f-])/i;
/** The name of an iSCSI initiator: its random end. */
const IQN = /(?<=\biqn\.\d{4}-\d\d\.[^\s:]+:(?:\S*:)?)[0-9a-f]{8,}$/;
/** The secret of a key of BIND. */
const BIND_KEY = /(?<=\bkey\s+"?[\w.-]+"?\s*\{[^{}]*\bsecret\s+")[A-Za-z0-9+/]{8,}={0,2}(?="\s*;\s*\}\s*;\s*$)/;
/** A path that says what random bytes are: a database looks random, too. */
const NAMED_SO = /(?:key|seed|secret|cookie|token|random)[^/]*$/i;
/** Bytes of the shortest and the longest key that is nothing but random. */
const RANDOM_BYTES = [16, 4096] as const;
/** Runs of bytes between zeros, as long as what a header holds of random bytes. */
const RUN = /(?:[^\0]|\0(?!\0{3})){24,72}/g;
/** What stands in a table of words, and in random bytes once in hundreds. */
const WORD = /[A-Za-z ]{6}/;
/** The part of zeros above which a file is such a header, and no data. */
const MOSTLY_ZEROS = 0.9;
/** What an identifier is called, which everybody may read. */
const NAMED_IDENTIFIER = /(?:host|machine|client|instance|node)_?id["']?\s*(?:=>?|:)\s*["']?([0-9a-f]{16,})["']?/gi;
/** A name that says that a secret follows. */
const ASSIGNED =
  /(?:password|passwd|secret|token|cookie|host_?id|private_?key|auth_?key|api_?key)["']?\s*(?:=>?|:|\s)\s*["']?([A-Za-z0-9+/=_-]{12,})["']?/gi;

/** What of a file belongs to one machine, by its content, its path and who may read it; undefined: nothing of it does. */
export function identityOf(bytes: Buffer, mode: number, name: string): Identity | undefined {
  if (bytes.length === 0 || bytes.length > LARGEST_IDENTITY) return undefined;
  const isSecret = (mode & 0o004) === 0;
  const text = bytes.toString('latin1');
  if (PRIVATE_KEY.test(text))
    return { what: 'a private key', isWhole: !text.includes('-----BEGIN') || holdsOnly(text.replace(PEM_BLOCK, '')) };
  if (isDerKey(bytes)) return { what: 'a private key', isWhole: true };
  if (!isUtf8(bytes) || bytes.some((byte) => byte < 9)) {
    const isKey = isSecret && NAMED_SO.test(name) && isRandomBytes(bytes);
    if (isKey)
      return { what: 'a secret', isWhole: true, template: { before: '', after: '', draw: { kind: 'bytes', count: bytes.length } } };
    return isSecret && holdsRandomRun(bytes, text) ? { what: 'a random identifier', isWhole: false } : undefined;
  }
  return loneIdentity(text, isSecret) ?? embeddedIdentity(text, isSecret);
}

/** Whether a text without its PEM blocks says nothing more: comments, and what openssl writes before a block. */
function holdsOnly(text: string): boolean {
  return text.split('\n').every((line) => /^\s*(?:[#;].*)?$|^(?:Bag|Key) Attributes|^\s+\w+: |^(?:subject|issuer) ?=/.test(line));
}

function isRandomBytes(bytes: Buffer): boolean {
  return bytes.length >= RANDOM_BYTES[0] && bytes.length <= RANDOM_BYTES[1] && isMixed(bytes);
}

/** Whether as many of all bytes are there as chance would have. */
function isMixed(bytes: ArrayLike<number> & Iterable<number>): boolean {
  return new Set(bytes).size >= 256 * (1 - (255 / 256) ** bytes.length) * 0.85;
}

/** Whether a file is all but empty, and holds random bytes: the header of a database, say, with the identifier that was drawn for it. */
function holdsRandomRun(bytes: Buffer, text: string): boolean {
  const zeros = bytes.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0);
  if (zeros < bytes.length * MOSTLY_ZEROS) return false;
  return [...text.matchAll(RUN)].some(([run]) => isMixed(Buffer.from(run, 'latin1')) && !WORD.test(run));
}

function isDerKey(bytes: Buffer): boolean {
  if (bytes[0] !== 0x30 || bytes.length > 16 * 1024) return false;
  return (['pkcs8', 'pkcs1', 'sec1'] as const).some((type) => {
    try {
      return createPrivateKey({ key: bytes, format: 'der', type }).type === 'private';
    } catch {
      return false;
    }
  });
}

/** A file that is one random value, and comments or a name before it. */
function loneIdentity(text: string, isSecret: boolean): Identity | undefined {
  const bind = BIND_KEY.exec(text);
  if (bind !== null) return found('a secret', text, bind, drawLike(bind[0]));
  const lines = text.split('\n').filter((line) => !/^\s*(?:[#;]|$)/.test(line));
  const [line = ''] = lines;
  if (lines.length !== 1) return undefined;
  const start = text.indexOf(line);
  const inLine = (pattern: RegExp): RegExpExecArray | null => {
    const match = pattern.exec(line);
    if (match !== null) match.index += start;
    return match;
  };
  const uuid = inLine(UUID);
  if (uuid !== null) return found('a random identifier', text, uuid, { kind: 'uuid' });
  const iqn = inLine(IQN);
  if (iqn !== null) return found('a random identifier', text, iqn, { kind: 'hex', count: iqn[0].length });
  const token = inLine(/(?<=^(?:[\w.-]+\s*[=:]\s*)?["']?)[A-Za-z0-9+/=_-]{16,}(?=["']?$)/);
  if (token === null || !isRandom(token[0])) return undefined;
  if (isSecret) return found('a secret', text, token, drawLike(token[0]));
  // A digest of something looks like this, too.
  return { what: 'a random identifier', isWhole: false };
}

function found(what: Identity['what'], text: string, match: RegExpExecArray, draw: Draw): Identity {
  return { what, isWhole: true, template: { before: text.slice(0, match.index), after: text.slice(match.index + match[0].length), draw } };
}

function embeddedIdentity(text: string, isSecret: boolean): Identity | undefined {
  const isNamed = [...text.matchAll(NAMED_IDENTIFIER)].some(([, value = '']) => isRandom(value));
  if (isNamed || RANDOM_UUID.test(text)) return { what: 'a random identifier', isWhole: false };
  const isAssigned = [...text.matchAll(ASSIGNED)].some(([, value = '']) => isRandom(value));
  return isSecret && isAssigned ? { what: 'a secret', isWhole: false } : undefined;
}

/** Whether nobody would have thought of the word: digits and letters in many changes, or hexadecimal digits alone. */
function isRandom(word: string): boolean {
  if (/^[0-9a-f]{16,}$/i.test(word)) return new Set(word).size >= 7;
  const changes = word.match(/[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])/g)?.length ?? 0;
  return /\d/.test(word) && /[A-Za-z]/.test(word) && new Set(word).size >= 9 && changes >= word.length / 5;
}

function drawLike(word: string): Draw {
  if (/^[0-9a-f]+$/.test(word)) return { kind: 'hex', count: word.length };
  if (word.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(word) && /[+/=]/.test(word))
    return { kind: 'base64', count: Buffer.from(word, 'base64').length };
  return { kind: 'alphanumeric', count: word.length };
}
