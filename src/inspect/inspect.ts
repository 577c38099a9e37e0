import path from 'node:path';
import { kinds } from '../images/recognise.ts';
import type { Reading } from '../messages/reading.ts';
import { parseDpkgStatus } from '../records/dpkg-status.ts';
import type { Manifest } from '../records/manifest-schema.ts';
import { parseOsRelease } from '../records/os-release.ts';
import type { InstalledPackage } from '../records/packages.ts';
import { statOrUndefined } from '../system/files.ts';
import { buildOf, filesOfBuild } from './build-beside.ts';
import { type InspectReport, type Made, REPORT_VERSION } from './inspect-report.ts';
import { countTree, textsOfTree } from './root-folder.ts';
import { installedSizeOf, totalsOf } from './totals.ts';

const NOTHING = {
  version: REPORT_VERSION,
  compression: '',
  size: null,
  facts: {},
  partitions: null,
  system: null,
  totals: null,
  made: null,
  artifacts: null,
} as const;

/** What the output folder of a build says of itself. */
export async function inspectBuild(folder: string, manifest: Manifest): Promise<InspectReport> {
  const artifacts = [];
  for (const artifact of manifest.artifacts) {
    const found = await statOrUndefined(path.join(folder, path.basename(artifact.file)));
    artifacts.push({ ...artifact, isThere: found?.isFile() === true && found.size === artifact.size });
  }
  const { files, notes } = await filesOfBuild(folder, manifest);
  return {
    ...NOTHING,
    path: folder,
    kind: 'build',
    description: 'output folder of a build',
    facts: { name: manifest.name, release: manifest.release, arch: manifest.arch },
    ...packagesOf(manifest.packages),
    totals: files === undefined ? null : totalsOf(files),
    made: madeOf(manifest, folder),
    artifacts,
    notes: [...notes],
  };
}

/** What the root of a tree says of itself. */
export async function inspectTree(folder: string, signal: AbortSignal): Promise<InspectReport> {
  const texts = await textsOfTree(folder);
  const notes: string[] = [];
  const totals = await countTree(folder, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    notes.push(`its files could not be counted: ${error instanceof Error ? error.message.replace(/, .*$/, '') : String(error)}`);
    return null;
  });
  return { ...NOTHING, path: folder, kind: 'tree', description: 'root folder of a system', ...ofTexts(texts), totals, notes };
}

/** What was read of an image, and what is known of its build. */
export async function inspectImage(file: string, size: number, reading: Reading): Promise<InspectReport> {
  const { kind, compression, facts, partitions, totals, notes } = reading;
  const build = await buildOf(file);
  const own = ofTexts(reading);
  return {
    ...NOTHING,
    path: file,
    kind,
    description: descriptionOf(kind, compression, facts),
    compression,
    size,
    facts,
    partitions,
    ...own,
    totals,
    made: build === undefined ? null : madeOf(build.manifest, build.folder),
    notes,
  };
}

/** A kind in words, as exactly as it is known. */
export function descriptionOf(kind: string, compression: string, facts: Reading['facts']): string {
  const names: Readonly<Record<string, string>> = { ...kinds, tree: 'root folder of a system' };
  const name = kind === 'ext' && typeof facts.fileSystem === 'string' ? `${facts.fileSystem} file system` : (names[kind] ?? kind);
  return compression === '' ? name : `${name}, compressed by ${compression}`;
}

/** What dpkg's list and os-release say. */
export function ofTexts({ osRelease, dpkgStatus }: Pick<Reading, 'osRelease' | 'dpkgStatus'>) {
  return {
    system: osRelease === null ? null : parseOsRelease(osRelease),
    ...packagesOf(dpkgStatus === null ? null : parseDpkgStatus(dpkgStatus)),
  };
}

function packagesOf(packages: readonly InstalledPackage[] | null) {
  return {
    packages: packages === null ? null : [...packages],
    installedSize: packages === null ? null : installedSizeOf(packages),
  };
}

/** The part of a manifest that says how something was made. */
function madeOf(manifest: Manifest, folder: string): Made {
  const { builder, inputs, name, release, arch, profile, mirror, securityMirror, components, sourceDateEpoch } = manifest;
  return {
    builder: `${builder.name} ${builder.version}`,
    name,
    release,
    arch,
    profile,
    mirror,
    securityMirror,
    components,
    sourceDateEpoch,
    settings: inputs.settings,
    modules: inputs.modules.map(({ step, origin }) => ({ step, origin })),
    from: path.join(folder, 'manifest.json'),
  };
}
