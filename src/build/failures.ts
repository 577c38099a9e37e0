import { statfs } from 'node:fs/promises';
import { BuilderError, CommandError, FetchError, PreflightError } from '../errors.ts';
import { hasCode } from '../system/files.ts';
import { formatSize } from '../system/memory.ts';
import { paths } from './context.ts';

const noSpace = /No space left on device|Disk quota exceeded/;
/** Bytes; less is a full file system. */
const NEARLY_NOTHING = 1024 ** 2;
const fetchFault =
  /^(?:E|W): (?:Failed getting release file|Invalid Release|Release signed by|Failed to fetch|Couldn't download|Failed to get|No secure|The repository|Unable to fetch|Some index files failed|Can't find component|Keyring|Wrong|Malformed|Release file|Couldn't find these debs)/;

/** The lines by which debootstrap and apt say why. */
export function errorLines(lines: readonly string[]): string[] {
  return lines.filter((line) => /^E: /.test(line)).map((line) => hideCredentials(line.slice(3)));
}

/** Removes user and password from the addresses in a text. */
export function hideCredentials(text: string): string {
  // Names of apt's lists are made of addresses.
  return text.replace(/\b(https?\\*:\/\/)[^/\s"]+@/g, '$1***@').replace(/(\/lists\/)[^/\s"@]+@/g, '$1***@');
}

/** Where a step leaves its files: on the tmpfs, or on the output disk. */
async function placeOfSteps(): Promise<string> {
  const [root, disk] = [await statfs(paths.root), await statfs(paths.staging)];
  return root.blocks === disk.blocks && root.files === disk.files ? paths.staging : paths.work;
}

/** Names the cause of a failed command more closely: no space, or a fetch. `folder`: where it wrote; without, it was a step. */
export async function explain(error: unknown, folder?: string): Promise<unknown> {
  const isFull = hasCode(error, 'ENOSPC') || hasCode(error, 'EDQUOT');
  if (!(error instanceof CommandError) && !isFull) return error;
  const [tail, said] = error instanceof CommandError ? [error.outputTail, { step: error.step, details: error.details }] : [[], {}];
  const where = folder ?? (await placeOfSteps());
  const { bsize, blocks, bavail, files, ffree } = await statfs(where);
  // Not every program says why it could not write all.
  if (isFull || tail.some((line) => noSpace.test(line)) || bavail * bsize < NEARLY_NOTHING) {
    const figures = `${formatSize((blocks - bavail) * bsize)} of ${formatSize(blocks * bsize)} and ${files - ffree} of ${files} inodes in use after the failure`;
    return new PreflightError(`no space left on the build's ${where === paths.staging ? 'output disk' : 'file system'} (${figures})`, {
      ...said,
      hint:
        where === paths.staging
          ? 'make room there, or put the results elsewhere with --directory'
          : 'give it more with --tmpfs-size SIZE, or build on disk with --no-tmpfs',
    });
  }
  const fault = tail.findLast((line) => fetchFault.test(line));
  if (fault !== undefined) {
    return new FetchError(hideCredentials(fault.slice(3)), { ...said, cause: error });
  }
  return error;
}

/** Runs a body and throws what `explain` makes of its failure. */
export async function explained<T>(where: string | undefined, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw await explain(error, where);
  }
}

/** The package that dpkg blames, if any. */
export function guiltyPackage(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    const match = /dpkg: error processing (?:package|archive) (\S+)/.exec(line);
    if (match?.[1] !== undefined) return match[1].replace(/^.*\/([^/_]+)_[^/]*$/, '$1');
  }
  return undefined;
}

/** A BuilderError with another message and the same details. */
export function renamed(error: BuilderError, message: string): BuilderError {
  return new BuilderError(message, { step: error.step, details: error.details, hint: error.hint, cause: error });
}
