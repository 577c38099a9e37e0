import { z } from 'zod';
import { aspects } from '../records/compare.ts';
import { packageSchema } from '../records/manifest-schema.ts';
import { fileTypes } from '../records/mtree.ts';
import { REPORT_VERSION } from './inspect-report.ts';

const sideSchema = z.object({
  path: z.string(),
  kind: z.string(),
  description: z.string(),
  /** Bytes of a file; null: it is a folder. */
  size: z.number().nullable(),
  /** Where the list of files comes from; empty: there is none. */
  filesFrom: z.string(),
  /** How many there are; null: there is no list of them. */
  packages: z.number().nullable(),
  installedSize: z.number().nullable(),
  totals: z.object({ entries: z.number(), files: z.number(), bytes: z.number() }).nullable(),
});

const entrySchema = z.object({
  /** `.` is the root, all others begin with `./`; bytes that are no UTF-8 as `\377`. */
  path: z.string(),
  type: z.enum(fileTypes),
  /** In octal digits. */
  mode: z.string(),
  uid: z.number(),
  gid: z.number(),
  time: z.string(),
  links: z.number().optional(),
  size: z.number().optional(),
  sha256: z.string().optional(),
  link: z.string().optional(),
  device: z.string().optional(),
});

const resultSchema = z.object({ size: z.number(), sha256: z.string() }).nullable();

/** What `diff --json` prints. */
export const diffSchema = z.object({
  version: z.literal(REPORT_VERSION),
  /** Files, results or the images themselves were compared, and nothing that was compared differs. */
  same: z.boolean(),
  /** Whether the images are the same, byte by byte, where the files of one are not known; null: they were not compared so. */
  bytes: z.boolean().nullable(),
  a: sideSchema,
  b: sideSchema,
  /** Results by name; null: not both sides are builds. */
  artifacts: z.array(z.object({ file: z.string(), a: resultSchema, b: resultSchema })).nullable(),
  /** Null: they are not known of both sides. */
  packages: z
    .object({
      added: z.array(packageSchema),
      removed: z.array(packageSchema),
      changed: z.array(z.object({ name: z.string(), a: packageSchema, b: packageSchema })),
    })
    .nullable(),
  files: z
    .object({
      added: z.array(entrySchema),
      removed: z.array(entrySchema),
      changed: z.array(z.object({ path: z.string(), what: z.array(z.enum(aspects)), a: entrySchema, b: entrySchema })),
    })
    .nullable(),
  notes: z.array(z.string()),
});
export type DiffReport = z.infer<typeof diffSchema>;
