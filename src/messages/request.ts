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
  /** The project's folder on the host; empty: none. It names a project in the store. */
  project: z.string(),
  keepRootfs: z.boolean(),
  /** Reuse no layer. */
  noCache: z.boolean(),
  /** The step from which on no layer is reused; empty: none. */
  rebuildFrom: z.string(),
  /** Fetch nothing: build from what is in the cache. */
  offline: z.boolean(),
  /** Seconds for which the archive is taken to be as it was; 0: it is asked now. */
  archiveAge: z.number(),
  /** A shell, or one command, in the tree as it is after a step (empty: the finished one). Null: a build. */
  shell: z.object({ step: z.string(), command: z.string().nullable() }).nullable(),
  /** Open a shell where a step fails. */
  shellOnFailure: z.boolean(),
  /** Rows and columns; empty: there is no terminal. */
  terminalSize: z.string(),
  /** In bytes; 0: no layer is kept and none looked for. */
  layersMaxSize: z.number(),
  /** What is there of an earlier build: name, size, inode and times of each result. */
  results: z.array(z.string()),
  /** The name of what is remembered of the output folder. */
  output: z.string(),
  tmpfs: z.boolean(),
  /** Bytes of memory that the control group allows; of all that there is without one. */
  memoryLimit: z.number(),
  /** http_proxy, https_proxy and no_proxy; for fetches only. Empty: a proxy may be looked for. */
  proxy: values,
  /** Seconds without a byte after which a fetch is tried again. */
  fetchTimeout: z.number(),
  version: z.string(),
});

/** What the launcher asks the builder to do. */
export type BuildRequest = z.infer<typeof buildRequestSchema>;
