/*
 * Lists of files in the format of mtree(5), version 2: a line for each entry with its whole path, as `bsdtar` and the mtree of
 * the BSDs read it. Extended attributes and ACLs have no place in it.
 */

/** What an entry of a tree can be. */
export const fileTypes = ['file', 'dir', 'link', 'fifo', 'char', 'block', 'socket'] as const;
export type FileType = (typeof fileTypes)[number];

/** An entry of a tree. */
export interface FileEntry {
  /** `.` is the root, all others begin with `./`; a character for each byte (latin1). */
  readonly path: string;
  readonly type: FileType;
  /** The permissions, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, and nine digits behind a point: `1700000000.000000000`. */
  readonly time: string;
  /** Names of a file; 1 is left out. */
  readonly links?: number;
  /** Bytes of a file. */
  readonly size?: number;
  /** SHA-256 of a file, as hex. */
  readonly sha256?: string;
  /** What a symbolic link leads to; a character for each byte. */
  readonly link?: string;
  /** `MAJOR,MINOR` of a device. */
  readonly device?: string;
}

/** Characters that stand for themselves; `\`, `=`, `#` and what a shell would expand do not. */
const PLAIN = /[^!"$%&'()+,\-./0-9:;<>@A-Z\]^_`a-z{|}~]/g;

function encode(text: string): string {
  return text.replace(PLAIN, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** The line of an entry, with its end. */
export function mtreeLine(entry: FileEntry): string {
  const { path, type, mode, uid, gid, time, links = 1, size, sha256, link, device } = entry;
  const words = [encode(path), `type=${type}`, `mode=${mode.toString(8).padStart(4, '0')}`, `uid=${uid}`, `gid=${gid}`, `time=${time}`];
  if (links > 1) words.push(`nlink=${links}`);
  if (size !== undefined) words.push(`size=${size}`);
  if (sha256 !== undefined) words.push(`sha256digest=${sha256}`);
  if (link !== undefined) words.push(`link=${encode(link)}`);
  if (device !== undefined) words.push(`device=native,${device}`);
  return `${words.join(' ')}\n`;
}

/** The first line of a list. */
export const MTREE_HEAD = '#mtree\n';
