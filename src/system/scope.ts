import { BuilderError } from '../errors.ts';

/** Things to release, newest first. */
export interface Scope {
  defer(label: string, release: () => Promise<void>): void;
}

/**
 * Runs `body` and then releases what it has acquired, newest first. One failing release does not
 * stop the others. The error of the body is the one thrown, with those of the releases as details.
 */
export async function withScope<T>(body: (scope: Scope) => Promise<T>): Promise<T> {
  const releases: { label: string; release: () => Promise<void> }[] = [];
  const faults: string[] = [];
  const releaseAll = async (): Promise<void> => {
    for (const { label, release } of releases.reverse()) {
      try {
        await release();
      } catch (error) {
        faults.push(`clean-up: ${label}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  let result: T;
  try {
    result = await body({ defer: (label, release) => releases.push({ label, release }) });
  } catch (error) {
    await releaseAll();
    if (error instanceof BuilderError) error.details.push(...faults.map((fault) => `also:    ${fault}`));
    else if (error instanceof Error && faults.length > 0) error.message += ` (also: ${faults.join('; ')})`;
    throw error;
  }
  await releaseAll();
  if (faults.length > 0) throw new BuilderError(faults.join('; '), { step: 'clean-up' });
  return result;
}
