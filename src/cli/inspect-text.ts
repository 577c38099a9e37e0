import { descriptionOf } from '../inspect/inspect.ts';
import type { InspectReport } from '../inspect/inspect-report.ts';
import type { Facts } from '../messages/reading.ts';
import { formatSize } from '../system/memory.ts';
import { plainWord } from '../system/names.ts';
import { dateText, labelled, table } from './text.ts';

/** Packages that are listed unless all are asked for. */
const BIGGEST = 20;

/** Facts in the order in which they are shown. */
const labels: Readonly<Record<string, string>> = {
  name: 'Name',
  release: 'Suite',
  arch: 'Architecture',
  channel: 'Channel',
  version: 'Version',
  timestamp: 'Time stamp',
  signed: 'Signed',
  hashTree: 'Hash tree',
  verityRoot: 'Root of it',
  shasum: 'SHA-256 of data',
  compressed: 'Compressed',
  dataSize: 'Data',
  fileSystem: 'File system',
  dataCompression: 'Compression',
  partitionTable: 'Partition table',
  virtualSize: 'Virtual size',
  backingFile: 'Backing file',
  clusterSize: 'Cluster size',
  encrypted: 'Encrypted',
  bootable: 'Bootable',
  uuid: 'UUID',
  label: 'Label',
  blockSize: 'Block size',
  fileSystemSize: 'Its size',
  used: 'Used',
  free: 'Free',
  inodes: 'Inodes',
  usedInodes: 'Used inodes',
  made: 'Made',
  written: 'Last written',
};
const sizes = ['dataSize', 'virtualSize', 'clusterSize', 'blockSize', 'fileSystemSize', 'used', 'free'];
const times = ['timestamp', 'made', 'written'];

function factText(key: string, value: Facts[string]): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return plainWord(value);
  if (sizes.includes(key)) return formatSize(value);
  return times.includes(key) ? dateText(value) : String(value);
}

function factLines(facts: Facts): string[][] {
  const known = Object.entries(labels).flatMap(([key, label]) => {
    const value = facts[key];
    return value === undefined || value === '' || (times.includes(key) && value === 0) ? [] : [[label, factText(key, value)]];
  });
  return known;
}

/** What is known of an image or a folder, for people. */
export function inspectText(report: InspectReport, allPackages: boolean): string {
  const { path, description, size, facts, system, totals, notes } = report;
  const lines = [
    `${plainWord(path)}: ${plainWord(description)}${size === null ? '' : `, ${formatSize(size)}`}`,
    '',
    ...labelled([
      ...factLines(facts),
      ...(system === null ? [] : [['System', plainWord(system.name)]]),
      ...(totals === null ? [] : [['Entries', `${totals.entries}; ${totals.files} files of ${formatSize(totals.bytes)}`]]),
      ...packageSummary(report),
      ...madeLines(report),
    ]),
    ...artifactLines(report),
    ...partitionLines(report),
    ...packageLines(report, allPackages),
    ...(notes.length === 0 ? [] : ['', ...notes.map((note) => `Note: ${plainWord(note)}`)]),
  ];
  return `${lines.join('\n')}\n`;
}

function packageSummary({ packages, installedSize, kind }: InspectReport): string[][] {
  const canHave = ['build', 'tree', 'realmfs', 'ext', 'squashfs', 'erofs', 'tar', 'disk'].includes(kind);
  if (packages === null) return canHave ? [['Packages', 'it has no list of them (var/lib/dpkg/status)']] : [];
  return [['Packages', `${packages.length}, ${formatSize(installedSize ?? 0)} when installed`]];
}

function madeLines({ made, kind }: InspectReport): string[][] {
  if (made === null) return [];
  const settings = Object.entries(made.settings).map(([key, value]) => plainWord(`${key}=${value}`));
  return [
    ['Made by', `${plainWord(made.builder)}${kind === 'build' ? '' : ' (by manifest.json beside it: it has its SHA-256)'}`],
    ...(kind === 'build' ? [] : [['Suite', plainWord(`${made.release}, ${made.arch}`)]]),
    ['Profile', plainWord(made.profile)],
    ['Mirror', plainWord(made.mirror)],
    ['Components', plainWord(made.components.join(' '))],
    ['As of', `${dateText(made.sourceDateEpoch)} (SOURCE_DATE_EPOCH=${made.sourceDateEpoch})`],
    ...(settings.length === 0 ? [] : [['Settings', settings.join(' ')]]),
    ...(made.modules.length === 0 ? [] : [['Modules', made.modules.map(({ step }) => plainWord(step)).join(' ')]]),
  ];
}

function artifactLines({ artifacts }: InspectReport): string[] {
  if (artifacts === null) return [];
  const rows = artifacts.map(({ target, file, size, isThere }) => [
    plainWord(target),
    formatSize(size),
    `${plainWord(file)}${isThere ? '' : '  MISSING, or of another size'}`,
  ]);
  return ['', ...table([['TARGET', 'SIZE', 'FILE'], ...rows])];
}

function partitionLines({ partitions }: InspectReport): string[] {
  if (partitions === null) return [];
  const rows = partitions.map(({ number, start, size, type, label, kind, facts }) => [
    String(number),
    formatSize(start),
    formatSize(size),
    plainWord(type),
    plainWord(label) || '-',
    kind === '' ? 'not recognised' : plainWord(descriptionOf(kind, '', facts)),
  ]);
  return ['', ...table([['PARTITION', 'START', 'SIZE', 'TYPE', 'LABEL', 'HOLDS'], ...rows])];
}

function packageLines({ packages }: InspectReport, all: boolean): string[] {
  if (packages === null || packages.length === 0) return [];
  const sorted = all ? packages : [...packages].sort((a, b) => b.installedSize - a.installedSize).slice(0, BIGGEST);
  const rows = sorted.map(({ name, version, installedSize }) => [plainWord(name), plainWord(version), formatSize(installedSize)]);
  const more = packages.length - sorted.length;
  return [
    '',
    ...table([['PACKAGE', 'VERSION', 'SIZE'], ...rows]),
    ...(more === 0 ? [] : [`and ${more} smaller ones; --packages lists all`]),
  ];
}
