import type { PruneOptions } from '../../store/prune.ts';
/** What `realmfs-builder cache` can do. */
export const cacheActions = ['list', 'du', 'prune', 'clear', 'verify'] as const;
export type CacheAction = (typeof cacheActions)[number];

export const progressKinds = ['auto', 'tty', 'plain', 'json', 'quiet'] as const;
export type ProgressKind = (typeof progressKinds)[number];
export type ColorChoice = 'auto' | 'always' | 'never';

/** What a command line says; what it leaves out is undefined. */
export interface CliOptions {
  readonly isNew: boolean;
  readonly config: string | undefined;
  readonly directory: string;
  readonly targets: readonly string[];
  readonly tmpfs: boolean;
  /** In bytes. */
  readonly tmpfsSize: number | undefined;
  readonly confirm: boolean;
  readonly keepRootfs: boolean;
  readonly cache: boolean;
  readonly rebuildFrom: string | undefined;
  readonly refresh: boolean;
  readonly offline: boolean;
  readonly shellOnFailure: boolean;
  readonly set: Readonly<Record<string, string>>;
  readonly proxy: string | undefined;
  readonly keyring: string | undefined;
  /** In milliseconds. */
  readonly timeout: number | undefined;
  readonly progress: ProgressKind;
  readonly verbose: boolean;
  readonly debug: boolean;
  readonly color: ColorChoice;
}

/** What the command line of `plan` says. */
export type PlanOptions = Pick<CliOptions, 'config' | 'directory' | 'targets' | 'set' | 'keyring' | 'debug' | 'color'> & {
  readonly json: boolean;
};

/** What the command line of `shell` says. */
export type ShellOptions = Pick<CliOptions, 'config' | 'set' | 'tmpfs' | 'debug' | 'color'> & {
  /** Empty: the finished tree. */
  readonly step: string;
  /** Undefined: an interactive shell. */
  readonly command: string | undefined;
};

/** What the command line of `cache` says. */
export interface CacheOptions extends PruneOptions {
  readonly action: CacheAction;
  readonly json: boolean;
  /** verify: remove what does not hold. */
  readonly repair: boolean;
}

/** What the command line of `realmfs-builder doctor` says. */
export interface DoctorOptions {
  readonly json: boolean;
  /** Where results would go. */
  readonly directory: string;
}

/** What the command line of `make-hooks` says. */
export interface MakeHooksOptions {
  /** Words: they name sets, several of them perhaps. */
  readonly sets: readonly string[];
  /** Where the links go. */
  readonly hooksDir: string | undefined;
  /** The folder of series and scripts. */
  readonly hooksD: string | undefined;
  readonly quiet: boolean;
}

/** What the command line of `sign` says. */
export interface SignOptions {
  /** An image, or a folder of results. */
  readonly file: string;
  /** The private key of an image; undefined: gpg signs. */
  readonly key: string | undefined;
  /** Whose key gpg uses; empty: its default. */
  readonly user: string;
}

/** What the command line of `verify` says. */
export interface VerifyOptions {
  readonly files: readonly string[];
  /** The public key of images. */
  readonly key: string | undefined;
  /** The file with the keys of SHA256SUMS. */
  readonly keyring: string | undefined;
}

/** What the command line of `verify --rebuild` says. */
export type RebuildOptions = Pick<CliOptions, 'config' | 'directory' | 'set' | 'tmpfs' | 'debug' | 'color'>;

/** What the command line of `inspect` says. */
export interface InspectOptions {
  readonly file: string;
  readonly json: boolean;
  /** List all packages, not the biggest alone. */
  readonly packages: boolean;
  readonly debug: boolean;
  readonly color: ColorChoice;
}

/** What the command line of `diff` says. */
export interface DiffOptions {
  readonly a: string;
  readonly b: string;
  readonly json: boolean;
  /** List all that differs. */
  readonly all: boolean;
  /** Exit code 1 if they differ. */
  readonly exitCode: boolean;
  readonly debug: boolean;
  readonly color: ColorChoice;
}

/** What is to be done: build with options, run a command, or print a text and end. */
export type Parsed =
  | { readonly kind: 'options'; readonly options: CliOptions }
  | { readonly kind: 'plan'; readonly options: PlanOptions }
  | { readonly kind: 'shell'; readonly options: ShellOptions }
  | { readonly kind: 'cache'; readonly options: CacheOptions }
  | { readonly kind: 'doctor'; readonly options: DoctorOptions }
  | { readonly kind: 'make-hooks'; readonly options: MakeHooksOptions }
  | { readonly kind: 'keygen'; readonly options: { readonly file: string } }
  | { readonly kind: 'sign'; readonly options: SignOptions }
  | { readonly kind: 'verify'; readonly options: VerifyOptions }
  | { readonly kind: 'rebuild'; readonly options: RebuildOptions }
  | { readonly kind: 'inspect'; readonly options: InspectOptions }
  | { readonly kind: 'diff'; readonly options: DiffOptions }
  | { readonly kind: 'text'; readonly text: string };
