/** Waits until all have ended, then throws the failure of the first in the list that failed: nothing runs on behind the caller's back. */
export async function together<const T extends readonly unknown[]>(promises: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
