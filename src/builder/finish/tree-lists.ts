import { readdir } from 'node:fs/promises';
import { parseDpkgStatus } from '../../records/dpkg-status.ts';
import { LICENCE_FIELD, parseLicences } from '../../records/licences.ts';
import type { InstalledPackage } from '../../records/packages.ts';
import { noneIfMissing, readForeignNow } from '../../system/files.ts';
import { inRoot } from '../../system/rooted.ts';

/** What the records of a build say of the finished tree. */
export interface TreeLists {
  readonly packages: readonly InstalledPackage[];
  /** What packages declare of their licences, by the name of the package. */
  readonly licences: ReadonlyMap<string, readonly string[]>;
}

/** Bytes of the largest copyright file that is read. */
const LARGEST_COPYRIGHT = 4 * 1024 ** 2;
/** Bytes of the largest list of packages that is read. */
const LARGEST_STATUS = 64 * 1024 ** 2;
const DOCS = '/usr/share/doc';

/** Reads dpkg's list of packages and their copyright files; a tree without them has no packages, or none with a known licence. */
export async function readTreeLists(root: string): Promise<TreeLists> {
  const status = readInside(root, '/var/lib/dpkg/status', LARGEST_STATUS);
  const docs = inRoot(root, DOCS, { follow: true });
  const names = docs === undefined ? [] : await readdir(docs).catch(noneIfMissing);
  const lines: string[] = [];
  for (const name of names.sort()) {
    const text = readInside(root, `${DOCS}/${name}/copyright`, LARGEST_COPYRIGHT)?.toString('utf8') ?? '';
    for (const line of text.split('\n')) if (LICENCE_FIELD.test(line)) lines.push(`${DOCS}/${name}/copyright\0${line}\n`);
  }
  return { packages: status === undefined ? [] : parseDpkgStatus(status.toString('utf8')), licences: parseLicences(lines.join('')) };
}

/** Reads a file of the tree; undefined if there is none, or it is too large. */
function readInside(root: string, name: string, limit: number): Buffer | undefined {
  const file = inRoot(root, name, { follow: true });
  return file === undefined ? undefined : readForeignNow(file, limit)?.bytes;
}
