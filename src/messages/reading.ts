import { z } from 'zod';

/** What the launcher asks the builder to read. */
export const readRequestSchema = z.object({
  /** The path of the image or tree below the view's `source`; empty: `source` itself. */
  name: z.string(),
  /** What is wanted: facts and packages, or all files, too. */
  wantsFiles: z.boolean(),
  isRoot: z.boolean(),
});
export type ReadRequest = z.infer<typeof readRequestSchema>;

/** A value that is known of an image. Sizes are in bytes, times in seconds since 1970. */
export const factSchema = z.union([z.string(), z.number(), z.boolean()]);
export type Facts = Readonly<Record<string, z.infer<typeof factSchema>>>;

export const partitionSchema = z.object({
  number: z.number(),
  /** A GUID, or a byte in hex: `0x83`. */
  type: z.string(),
  label: z.string(),
  /** In bytes. */
  start: z.number(),
  size: z.number(),
  /** What lies in it, as `kind` of an image; empty: it was not recognised. */
  kind: z.string(),
  facts: z.record(z.string(), factSchema),
});
export type Partition = z.infer<typeof partitionSchema>;

/** What the builder has read of an image or a tree. */
export const readingSchema = z.object({
  kind: z.string(),
  /** Empty: it is not compressed as a whole. */
  compression: z.string(),
  facts: z.record(z.string(), factSchema),
  partitions: z.array(partitionSchema).nullable(),
  /** The text of os-release and of dpkg's list; null: there is none, or it cannot be read. */
  osRelease: z.string().nullable(),
  dpkgStatus: z.string().nullable(),
  totals: z.object({ entries: z.number(), files: z.number(), bytes: z.number() }).nullable(),
  /** All files, as mtree(5) has them; null: they were not asked for, or cannot be read. */
  files: z.string().nullable(),
  notes: z.array(z.string()),
});
export type Reading = z.infer<typeof readingSchema>;
