import path from 'node:path';
import { readEnvFile } from '../config/env-file.ts';
import { suggestion } from '../config/nearest.ts';
import { findSetting, settingKeys } from '../config/settings.ts';
import { UsageError } from '../errors.ts';
import type { BuildRequest } from '../messages/request.ts';
import { version } from '../resources.ts';
import { memoryLimit, parseSize } from '../system/memory.ts';
import type { CliOptions } from './options/types.ts';
import type { Owner, Place } from './place.ts';
import type { Terminal } from './terminal.ts';

/** The settings of the environment and the command line that the builder is to use. */
export async function makeRequest(
  options: Pick<CliOptions, 'set' | 'targets' | 'proxy' | 'keyring'> &
    Partial<Pick<CliOptions, 'keepRootfs' | 'tmpfs' | 'cache' | 'rebuildFrom' | 'refresh' | 'offline' | 'shellOnFailure'>> & {
      readonly shell?: BuildRequest['shell'];
    },
  place: Place,
  around: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly owner: Owner | undefined;
    readonly terminal?: Terminal;
  },
): Promise<BuildRequest> {
  const overrides: Record<string, string> = { ...options.set };
  if (options.targets.length > 0) overrides.IMAGE_TARGETS = options.targets.join(' ');
  if (options.proxy !== undefined) overrides.APT_PROXY = options.proxy;
  if (options.keyring !== undefined) overrides.DEBIAN_KEYRING = path.resolve(around.cwd, options.keyring);
  if (place.configName === null) {
    for (const key of Object.keys(overrides)) {
      if (findSetting(key) === undefined) throw new UsageError(`--set: ${key} is no setting${suggestion(key, settingKeys)}`);
    }
  }
  const pick = (keys: readonly string[]): Record<string, string> =>
    Object.fromEntries(keys.flatMap((key) => (around.env[key] === undefined ? [] : [[key, around.env[key]]])));
  const request = {
    configName: place.configName,
    hasProject: place.project !== '',
    outputNames: [],
    envFile: place.project === '' ? {} : await readEnvFile(place.project, around.owner?.uid),
    environment: pick(settingKeys),
    overrides,
    project: place.project === '' ? '' : path.join(place.project, place.configName ?? ''),
    keepRootfs: options.keepRootfs ?? false,
    tmpfs: options.tmpfs ?? true,
    noCache: options.cache === false,
    offline: options.offline ?? false,
    shell: options.shell ?? null,
    shellOnFailure: options.shellOnFailure ?? false,
    terminalSize: around.terminal?.size ?? '',
    rebuildFrom: options.rebuildFrom ?? '',
    results: [],
    output: '',
    version,
  };
  return {
    ...request,
    // JSON knows no infinity.
    memoryLimit: Math.min(await memoryLimit(), Number.MAX_SAFE_INTEGER),
    layersMaxSize: parseSize(checkedSetting(request, 'LAYERS_MAX_SIZE')) ?? 0,
    archiveAge: options.refresh ? 0 : 60 * Number(checkedSetting(request, 'ARCHIVE_MAX_AGE')),
    proxy: proxyVariables(checkedSetting(request, 'APT_PROXY'), pick(['http_proxy', 'https_proxy', 'no_proxy'])),
    fetchTimeout: Number(checkedSetting(request, 'FETCH_TIMEOUT')),
  };
}

/** The proxy variables for fetches: of the setting, else of the environment. DIRECT: none, and none is looked for. */
function proxyVariables(proxy: string, environment: Readonly<Record<string, string>>): Record<string, string> {
  if (proxy === 'DIRECT') return { no_proxy: '*' };
  const given = Object.fromEntries(Object.entries(environment).filter(([, text]) => text !== ''));
  return proxy === '' ? given : { ...given, http_proxy: proxy, https_proxy: proxy };
}

type Settings = Pick<BuildRequest, 'overrides' | 'environment' | 'envFile'>;

/** A setting that the launcher itself needs; build.conf comes too late for it. */
export function checkedSetting(request: Settings, key: string): string {
  const found = settingValue(request, key);
  const fault = findSetting(key)?.check?.(found);
  if (fault !== undefined) throw new UsageError(`${key}: ${fault}`);
  return found;
}

/** A setting without build.conf's word. */
function settingValue({ overrides, environment, envFile }: Settings, key: string): string {
  return overrides[key] ?? environment[key] ?? envFile[key] ?? findSetting(key)?.fallback ?? '';
}
