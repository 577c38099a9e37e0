import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { removeFile, sha256File } from '../system/files.ts';
import type { Runner } from '../system/runner.ts';
import { checkSignature, type IndexEntry, isDamaged, parseRelease, type SignatureCheck } from './index-file.ts';
import { openDigests } from './memo.ts';
import { keepSealed, readSealed } from './sealed.ts';

/** InRelease files that were found to be whole, as `SHA-256 of the file, SHA-256 of the keyring`. */
const wholeSchema = z.object({ whole: z.array(z.string()) });
/** How many of them are remembered. */
const MOST_WHOLE = 100;

/** Where the digests of apt's lists are remembered, below the package cache. */
export function listDigests(cache: string): string {
  return path.join(cache, 'proven/lists');
}

/** What is wrong with apt's lists in a package cache. */
export interface ListFaults {
  /** Lists that are not what their Release file says, or Release files that are not what was signed. */
  readonly damaged: readonly string[];
  /** Lists that were whole when they were fetched: their Release file is a newer one. */
  readonly stale: readonly string[];
}

/**
 * Compares apt's lists in a package cache with their Release files, which apt does not: it takes what lies there for what it
 * has fetched. Whether a Release file is to be trusted is not asked here, only whether it is what somebody has signed. A file
 * that nobody has touched since it was read is not read again, unless `isThorough`.
 */
export async function listFaults(cache: string, keyring: string, runner: Runner, { isThorough = false } = {}): Promise<ListFaults> {
  const lists = path.join(cache, 'lists');
  const names = await readdir(lists);
  const digests = await openDigests(listDigests(cache));
  const digestOf = isThorough ? sha256File : digests.of;
  const isWhole = await wholeReleases(cache, keyring, isThorough, (file) => checkSignature(file, keyring, runner));
  const [damaged, stale]: [string[], string[]] = [[], []];
  for (const name of names.filter((each) => each.endsWith('_InRelease'))) {
    const file = path.join(lists, name);
    if (!(await lstat(file)).isFile()) continue;
    if (!(await isWhole.ask(file, await digestOf(file)))) {
      damaged.push(name);
      continue;
    }
    for (const [list, signed] of listsOf(name, await readFile(file, 'utf8'), names)) {
      const where = path.join(lists, list);
      const wasWhole = await digests.isKnown(where);
      const stat = await lstat(where);
      if (!stat.isFile() || (stat.size === signed.size && (await digestOf(where)) === signed.sha256)) continue;
      (wasWhole ? stale : damaged).push(list);
    }
  }
  if (!isThorough) {
    await digests.keep();
    await isWhole.keep();
  }
  return { damaged, stale };
}

/** Removes what is wrong among apt's lists; returns the names of those that were damaged. Who calls it holds the lock on fetches. */
export async function removeBadLists(cache: string, keyring: string, runner: Runner): Promise<readonly string[]> {
  const { damaged, stale } = await listFaults(cache, keyring, runner);
  for (const name of [...damaged, ...stale]) await removeFile(path.join(cache, 'lists', name));
  return damaged;
}

/** The lists of a Release file that are there, with what it says of them. */
function listsOf(release: string, text: string, names: readonly string[]): [string, IndexEntry][] {
  const prefix = release.slice(0, -'InRelease'.length);
  const byName = new Map([...parseRelease(text)].map(([name, entry]) => [prefix + name.replaceAll('/', '_'), entry]));
  return names.flatMap((name) => {
    const entry = byName.get(name);
    return entry === undefined ? [] : [[name, entry] as [string, IndexEntry]];
  });
}

async function wholeReleases(
  cache: string,
  keyring: string,
  isThorough: boolean,
  check: (file: string) => Promise<SignatureCheck>,
): Promise<{ ask: (file: string, digest: string) => Promise<boolean>; keep: () => Promise<void> }> {
  const keptIn = path.join(cache, 'proven/releases');
  const known = (await readSealed(keptIn, wholeSchema))?.whole ?? [];
  const keys = createHash('sha256')
    .update(await readFile(keyring))
    .digest('hex');
  const asked: string[] = [];
  return {
    ask: async (file, digest) => {
      const name = `${digest} ${keys}`;
      if (isThorough || !known.includes(name)) {
        const found = await check(file);
        if ('fault' in found && isDamaged(found.fault)) return false;
      }
      asked.push(name);
      return true;
    },
    keep: async () => {
      if (asked.every((name) => known.includes(name))) return;
      await keepSealed(keptIn, { whole: [...new Set([...asked, ...known])].slice(0, MOST_WHOLE) });
    },
  };
}
