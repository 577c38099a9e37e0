import { FetchError } from '../../errors.ts';
import { removeBadLists } from '../../store/apt-lists.ts';
import { waitFor } from '../../store/locks.ts';
import { type BuildContext, paths } from '../model/context.ts';

/** Seconds after which an unfinished copy is one of a build that was killed. */
const LEFT = 24 * 3600;

/**
 * Runs what fetches into the package cache: one build of a machine at a time, and it sees what the
 * one before has brought, so that no file is fetched twice. apt's lists are compared with their Release files before.
 */
export async function fetching<T>(keyring: string, ctx: BuildContext, body: () => Promise<T>): Promise<T> {
  const lock = `${paths.cache}/apt/fetch.lock`;
  await waitFor(ctx.locks, lock, ctx.runner.isStopped, () => ctx.steps.note('waiting for another build that fetches packages'));
  try {
    await removeLeft(ctx);
    const damaged = await removeBadLists(`${paths.cache}/apt`, keyring, ctx.runner);
    if (damaged.length > 0)
      ctx.steps.warn(
        `apt's lists in the package cache are damaged or outdated, and ${ctx.request.offline ? 'removed' : 'fetched again'}: ${damaged.join(', ')}`,
      );
    // An overlay need not show what was put below it since it was mounted.
    await mountAgain('archives', ctx);
    await mountAgain('lists', ctx);
    return await body();
  } finally {
    await ctx.locks.release(lock);
  }
}

/** Removes what builds have left that were killed while they took a file in. What is dated in the future is old, too. */
async function removeLeft({ runner }: BuildContext): Promise<void> {
  const left = ['archives', 'lists'].map((part) => `${paths.cache}/apt/${part}/partial`);
  const now = Date.now() / 1000;
  const isOld = ['(', '!', '-newermt', `@${now - LEFT}`, '-o', '-newermt', `@${now + LEFT}`, ')'];
  await runner.run({ label: 'tidying', file: 'find', args: [...left, '-xdev', '-type', 'f', ...isOld, '-delete'] });
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
