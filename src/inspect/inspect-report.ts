import { z } from 'zod';
import { factSchema, partitionSchema } from '../messages/reading.ts';
import { packageSchema } from '../records/manifest-schema.ts';

/** The version of what `inspect --json` and `diff --json` print. */
export const REPORT_VERSION = 1;

/** How something was made, as the manifest of its build says it. */
export const madeSchema = z.object({
  builder: z.string(),
  name: z.string(),
  release: z.string(),
  arch: z.string(),
  profile: z.string(),
  mirror: z.string(),
  securityMirror: z.string(),
  components: z.array(z.string()),
  /** Seconds since 1970. */
  sourceDateEpoch: z.number(),
  settings: z.record(z.string(), z.string()),
  modules: z.array(z.object({ step: z.string(), origin: z.string() })),
  /** The manifest. */
  from: z.string(),
});
export type Made = z.infer<typeof madeSchema>;

/** What `inspect --json` prints. */
export const inspectSchema = z.object({
  version: z.literal(REPORT_VERSION),
  path: z.string(),
  /** `build`: the output folder of a build; `tree`: a root folder; else the kind of the image. */
  kind: z.string(),
  /** The same in words. */
  description: z.string(),
  /** How the file is compressed as a whole; empty: it is not. */
  compression: z.string(),
  /** Bytes of the file; null: it is a folder. */
  size: z.number().nullable(),
  /** By kind; sizes in bytes, times in seconds since 1970. */
  facts: z.record(z.string(), factSchema),
  partitions: z.array(partitionSchema).nullable(),
  /** What the tree says that it is; null: it does not say. */
  system: z.object({ id: z.string(), name: z.string(), version: z.string(), codename: z.string() }).nullable(),
  /** Null: there is no list of packages. */
  packages: z.array(packageSchema).nullable(),
  /** Sum of what the packages say, in bytes. */
  installedSize: z.number().nullable(),
  totals: z.object({ entries: z.number(), files: z.number(), bytes: z.number() }).nullable(),
  /** Null: no manifest that names it lies beside it. */
  made: madeSchema.nullable(),
  /** Of the output folder of a build; `isThere` is false where a file is missing or has another size. */
  artifacts: z
    .array(z.object({ target: z.string(), file: z.string(), size: z.number(), sha256: z.string(), isThere: z.boolean() }))
    .nullable(),
  notes: z.array(z.string()),
});
export type InspectReport = z.infer<typeof inspectSchema>;
