import { z } from 'zod';

const values = z.record(z.string(), z.string());

/** What the launcher asks the builder to do: plain JSON, handed over in the staging folder. */
export const buildRequestSchema = z.object({
  /** The name of the configuration file in the project folder; null: the built-in base image. */
  configName: z.string().nullable(),
  /** Whether there is a project folder at all. */
  hasProject: z.boolean(),
  /** Names in the project folder that belong to the output: they are not copied. */
  outputNames: z.array(z.string()),
  /** Settings from realmfs.env, from the environment and from the command line. */
  envFile: values,
  environment: values,
  overrides: values,
  keepRootfs: z.boolean(),
  tmpfs: z.boolean(),
  /** http_proxy, https_proxy and no_proxy; for fetches only. Empty: a proxy may be looked for. */
  proxy: values,
  /** Seconds without a byte after which a fetch is tried again. */
  fetchTimeout: z.number(),
  version: z.string(),
});

/** What the launcher asks the builder to do. */
export type BuildRequest = z.infer<typeof buildRequestSchema>;
