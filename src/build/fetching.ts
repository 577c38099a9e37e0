import { writeFile } from 'node:fs/promises';
import { FetchError } from '../errors.ts';
import { waitFor } from '../store/locks.ts';
import { type BuildContext, paths } from './context.ts';

/**
 * Runs what fetches into the package cache: one build of a machine at a time, and it sees what the
 * one before has brought, so that no file is fetched twice.
 */
export async function fetching<T>(ctx: BuildContext, body: () => Promise<T>): Promise<T> {
  const lock = `${paths.cache}/apt/fetch.lock`;
  await writeFile(lock, '', { flag: 'a', mode: 0o600 });
  await waitFor(ctx.locks, lock, ctx.runner.isStopped, () => ctx.steps.note('waiting for another build that fetches packages'));
  try {
    // Left by builds that were killed while they took a file in.
    const left = ['archives', 'lists'].map((part) => `${paths.cache}/apt/${part}/partial`);
    await ctx.runner.run({ label: 'tidying', file: 'find', args: [...left, '-xdev', '-type', 'f', '-mmin', '+1440', '-delete'] });
    // An overlay need not show what was put below it since it was mounted.
    await mountAgain('archives', ctx);
    await mountAgain('lists', ctx);
    return await body();
  } finally {
    await ctx.locks.release(lock);
  }
}

/** What --offline says of files that are not in the package cache. */
export function notCached(files: readonly string[], step: string): FetchError {
  const names = [...new Set(files)].sort();
  const several = names.length === 1 ? '1 file is' : `${names.length} files are`;
  const details = names.map((file) => `missing: ${file}`);
  return new FetchError(`${several} not in the cache, and --offline fetches nothing`, {
    step,
    details,
    hint: 'build once without --offline',
  });
}

async function mountAgain(part: 'archives' | 'lists', ctx: BuildContext): Promise<void> {
  const script = 'umount "$1/$2"; mount -t overlay -o "lowerdir=$3,upperdir=$1/$2-upper,workdir=$1/$2-work" "realmfs-$2" "$1/$2"';
  const args = ['-euc', script, 'bash', paths.apt, part, `${paths.cache}/apt/${part}`];
  await ctx.runner.run({ label: `showing apt's ${part}`, file: 'bash', args });
}
