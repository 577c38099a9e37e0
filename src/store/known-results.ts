/** What is remembered of the results in an output folder. */
export interface KnownResults {
  /** What they were made of. */
  readonly key: string;
  /** Their names, in the order in which they got them. */
  readonly files: readonly string[];
  /** A line for each of them as it lay there. */
  readonly results: readonly string[];
}

/** The form of it. The program that starts a build reads it, too, and loading zod for it alone would take longer than all else there. */
export const knownResultsForm = {
  safeParse(value: unknown): { readonly success: true; readonly data: KnownResults } | { readonly success: false } {
    if (typeof value !== 'object' || value === null || !('key' in value && 'files' in value && 'results' in value))
      return { success: false };
    const { key, files, results } = value;
    return typeof key === 'string' && areTexts(files) && areTexts(results)
      ? { success: true, data: { key, files, results } }
      : { success: false };
  },
};

function areTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
