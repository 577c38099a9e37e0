import { plainText } from '../reporters/reporter.ts';
import type { DoctorReport, State } from './report.ts';

const marks: Readonly<Record<State, string>> = { ok: 'ok', warn: 'warn', missing: 'missing', failed: 'failed', untried: '-' };
/** What is optional and not there is no fault. */
const OPTIONAL = '-';

type Row = readonly string[];

/** The report for people: a plain table, and the verdict below it. */
export function doctorText(report: DoctorReport): string {
  const { node, user, settings, tools, kernel, memory, folders, keyring, suites, mirror } = report;
  const row = (name: string, { state, text }: { state: State; text: string }): Row => [marks[state], name, text];
  const sections: [title: string, rows: Row[]][] = [
    ['program', [row('node', node), row('user', user), row('settings', settings)]],
    ['tools', tools.map(toolRow)],
    ['kernel', kernel.map((feature) => row(feature.name, feature))],
    ['room', [row('memory', memory), ...folders.map((folder) => row(folder.name, folder))]],
    ['archive', [row('keyring', keyring), ...keyring.keys.map(keyRow), row('suite', suites), row('mirror', mirror)]],
  ];
  const lines = [`realmfs-builder ${report.version}`];
  for (const [title, rows] of sections) lines.push('', title, ...aligned(rows));
  return `${[...lines, '', ...verdict(report)].map((line) => plainText(line.replaceAll('\n', ' '))).join('\n')}\n`;
}

function toolRow({ state, name, version, package: packageName, purpose, required, text }: DoctorReport['tools'][number]): Row {
  const mark = state === 'missing' && !required ? OPTIONAL : marks[state];
  return [mark, name, version ?? '', packageName, state === 'failed' ? text : `${purpose}${required ? '' : ' (optional)'}`];
}

function keyRow({ fingerprint, name, expires, state }: DoctorReport['keyring']['keys'][number]): Row {
  const date = expires === null ? '' : new Date(expires * 1000).toISOString().slice(0, 10);
  const until = date === '' ? 'does not expire' : `${state === 'expired' ? 'expired' : 'valid until'} ${date}`;
  return [state === 'valid' ? marks.ok : marks.warn, '', `${fingerprint.slice(-16)}  ${state === 'revoked' ? 'revoked' : until}  ${name}`];
}

/** Cells in columns; the last one is as long as it is. */
function aligned(rows: readonly Row[]): string[] {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) => `  ${row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(width(at)))).join('  ')}`.trimEnd());
}

function verdict({ ready, problems, install, user }: DoctorReport): string[] {
  const command = install === null ? [] : [`install what is missing: ${install}`];
  if (ready) return [`A build can run here${user.state === 'ok' ? '' : ', as far as can be seen without root'}.`, ...command];
  return ['A build cannot run here:', ...problems.map((problem) => `  ${problem}`), ...command];
}
