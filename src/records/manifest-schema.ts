import { z } from 'zod';

/** The version of the format of manifest.json. */
export const MANIFEST_FORMAT = 1;

/** SHA-256 as hex. */
const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** A package that is installed. */
export const packageSchema = z.object({
  name: z.string(),
  version: z.string(),
  arch: z.string(),
  source: z.string(),
  sourceVersion: z.string(),
  /** Bytes. */
  installedSize: z.number(),
});

/** manifest.json: what a build was made from, what it did and what came out. */
export const manifestSchema = z.object({
  format: z.literal(MANIFEST_FORMAT),
  builder: z.object({ name: z.literal('realmfs-builder'), version: z.string() }),
  name: z.string(),
  release: z.string(),
  arch: z.string(),
  profile: z.string(),
  mirror: z.string(),
  imageMirror: z.string(),
  securityMirror: z.string(),
  components: z.array(z.string()),
  /** Seconds since 1970. */
  sourceDateEpoch: z.number(),
  /** The Date of the base suite's Release file, seconds since 1970. */
  releaseDate: z.number(),
  /** False: an archive that had expired, or was dated in the future, would have been taken. */
  checkDates: z.boolean(),
  /** The host's file with the keys of the archive. */
  keyring: z.string(),
  /** Further repositories and pins, as they stand in the image. */
  extraSources: z.string(),
  extraPins: z.string(),
  network: z.boolean(),
  targets: z.array(z.string()),
  inputs: z.object({
    config: z.object({ file: z.string(), sha256: digest }).nullable(),
    /** What was set outside build.conf, passwords left out. */
    settings: z.record(z.string(), z.string()),
    /** Those of them that the command line has set: they are stronger than build.conf. */
    overrides: z.array(z.string()),
    /** Modules, hooks, folders that are copied onto the root and answers for debconf. */
    modules: z.array(
      z.object({
        step: z.string(),
        origin: z.enum(['function', 'project', 'built-in', 'hook', 'folder', 'preseed']),
        sha256: digest.optional(),
      }),
    ),
    /** Hooks that were run beside the finished root. */
    binaryHooks: z.array(z.object({ step: z.string(), file: z.string(), sha256: digest })),
    /** Package files of the project. */
    localPackages: z.array(z.object({ file: z.string(), name: z.string(), version: z.string(), arch: z.string(), sha256: digest })),
    files: z.array(z.object({ file: z.string(), sha256: digest })),
    /** Release files of the archives, by their names in apt's lists: what they sign is all that was installed. */
    releases: z.array(z.object({ file: z.string(), sha256: digest })),
  }),
  steps: z.array(z.object({ step: z.string(), start: z.string(), seconds: z.number(), cached: z.boolean() })),
  packages: z.array(packageSchema),
  artifacts: z.array(z.object({ target: z.string(), file: z.string(), size: z.number(), sha256: digest })),
});

/** What manifest.json says. */
export type Manifest = z.infer<typeof manifestSchema>;
