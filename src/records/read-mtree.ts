import { z } from 'zod';
import { type FileEntry, fileTypes, MTREE_HEAD } from './mtree.ts';

function decode(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

const number = z.string().regex(/^\d+$/).transform(Number);
const lineSchema = z.object({
  type: z.enum(fileTypes),
  mode: z
    .string()
    .regex(/^[0-7]{1,5}$/)
    .transform((text) => Number.parseInt(text, 8)),
  uid: number,
  gid: number,
  time: z.string().regex(/^-?\d+\.\d{9}$/),
  nlink: number.optional(),
  size: number.optional(),
  sha256digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  link: z.string().transform(decode).optional(),
  device: z
    .string()
    .regex(/^native,\d+,\d+$/)
    .transform((text) => text.slice('native,'.length))
    .optional(),
});

/**
 * Reads a list that mtreeLine has written, by path.
 * @throws Error that names the first line that is none of it.
 */
export function parseMtree(text: string): Map<string, FileEntry> {
  if (!text.startsWith(MTREE_HEAD)) throw new Error('is no list of files: its first line is not #mtree');
  const entries = new Map<string, FileEntry>();
  for (const [at, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [name = '', ...words] = line.split(' ');
    const pairs = words.map((word): [string, string] => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]);
    const read = lineSchema.safeParse(Object.fromEntries(pairs));
    if (!read.success) throw new Error(`line ${at + 1} is no entry of a list of files`);
    const { nlink, sha256digest, size, link, device, ...rest } = read.data;
    const path = decode(name);
    entries.set(path, {
      path,
      ...rest,
      ...(nlink === undefined ? {} : { links: nlink }),
      ...(size === undefined ? {} : { size }),
      ...(sha256digest === undefined ? {} : { sha256: sha256digest }),
      ...(link === undefined ? {} : { link }),
      ...(device === undefined ? {} : { device }),
    });
  }
  return entries;
}
