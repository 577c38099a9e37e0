import { z } from 'zod';

/** `missing` can be installed, `failed` cannot be helped so, `untried` could not be looked at. */
const state = z.enum(['ok', 'warn', 'missing', 'failed', 'untried']);
/** What was found, in words. */
const finding = { state, text: z.string() };

/** What `realmfs-builder doctor --json` prints. Sizes are in bytes, times in seconds since 1970. */
export const doctorReportSchema = z.strictObject({
  v: z.literal(1),
  version: z.string(),
  /** Whether a build can run here; as root, if this was not. */
  ready: z.boolean(),
  /** What stands against a build. */
  problems: z.array(z.string()),
  /** The one command that installs what is missing; null: nothing is. */
  install: z.string().nullable(),
  node: z.strictObject({ ...finding, version: z.string(), needed: z.string() }),
  user: z.strictObject({ ...finding, uid: z.number() }),
  settings: z.strictObject({ ...finding, release: z.string(), arch: z.string(), keyring: z.string(), cache: z.string() }),
  tools: z.array(
    z.strictObject({
      ...finding,
      name: z.string(),
      package: z.string(),
      purpose: z.string(),
      required: z.boolean(),
      path: z.string().nullable(),
      version: z.string().nullable(),
    }),
  ),
  kernel: z.array(z.strictObject({ ...finding, name: z.string() })),
  memory: z.strictObject({ ...finding, available: z.number().nullable(), tmpfs: z.number().nullable(), needed: z.number() }),
  folders: z.array(
    z.strictObject({
      ...finding,
      name: z.enum(['output', 'cache']),
      path: z.string(),
      /** The folder itself, or the nearest one above it that is there. */
      existing: z.string().nullable(),
      free: z.number().nullable(),
    }),
  ),
  keyring: z.strictObject({
    ...finding,
    file: z.string(),
    keys: z.array(
      z.strictObject({
        fingerprint: z.string(),
        name: z.string(),
        expires: z.number().nullable(),
        state: z.enum(['valid', 'expired', 'revoked']),
      }),
    ),
  }),
  suites: z.strictObject({ ...finding, release: z.string(), known: z.array(z.string()) }),
  /** Without user and password. Empty: debootstrap's own default. */
  mirror: z.strictObject({ ...finding, main: z.string(), security: z.string(), asked: z.string().nullable() }),
});

/** What doctor has found. */
export type DoctorReport = z.infer<typeof doctorReportSchema>;

/** How a finding counts. */
export type State = z.infer<typeof state>;

/** The state of something and what there is to say of it. */
export interface Finding {
  readonly state: State;
  readonly text: string;
}
