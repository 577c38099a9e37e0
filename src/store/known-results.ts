import { z } from 'zod';

/** What is remembered of the results in an output folder. */
export const knownResultsSchema = z.object({
  /** What they were made of. */
  key: z.string(),
  /** Their names, in the order in which they got them. */
  files: z.array(z.string()),
  /** A line for each of them as it lay there. */
  results: z.array(z.string()),
});
