import { findProgram, type Tool } from '../../host/tools.ts';
import { hideCredentials } from '../../system/credentials.ts';
import type { Command, Runner } from '../../system/runner.ts';
import { howItEnded } from '../../system/runner.ts';
import type { DoctorReport } from './report.ts';

type ToolFinding = DoctorReport['tools'][number];

/** Milliseconds that a program may take to say what it is. */
const TIME_LIMIT = 10_000;
/** Exit codes of what is there but cannot be run: env(1), and of a shell that finds no interpreter. */
const CANNOT_RUN = [126, 127];

/** What doctor's commands see: nothing of root's own files, which others may not read. */
export const plainHome = { HOME: '/nonexistent' };

/** Looks for every tool and asks it for its version. */
export function lookAtTools(tools: readonly Tool[], runner: Runner, find = findProgram): Promise<ToolFinding[]> {
  return Promise.all(tools.map(async (tool) => lookAtTool(tool, await find(tool.name), runner)));
}

async function lookAtTool(tool: Tool, path: string | undefined, runner: Runner): Promise<ToolFinding> {
  const { name, package: packageName, purpose, required, versionArguments } = tool;
  const row = { name, package: packageName, purpose, required };
  if (path === undefined) return { ...row, path: null, version: null, state: 'missing', text: `missing: package ${packageName}` };
  if (versionArguments.length === 0)
    return { ...row, path, version: await packageVersion(packageName, runner), state: 'ok', text: purpose };
  const command: Command = { label: name, file: path, args: versionArguments, timeout: TIME_LIMIT, env: plainHome };
  const lines: string[] = [];
  const result = await runner.attempt({ ...command, onLine: (line) => lines.push(line) });
  const version = firstVersion(lines);
  if (version === null && (result.exitCode === undefined || CANNOT_RUN.includes(result.exitCode))) {
    return { ...row, path, version, state: 'failed', text: `is there, but ${lastWords(command, result)}` };
  }
  return { ...row, path, version, state: 'ok', text: purpose };
}

async function packageVersion(name: string, runner: Runner): Promise<string | null> {
  const lines: string[] = [];
  const args = ['--show', '--showformat=${Version}\\n', name];
  const result = await runner.attempt({
    label: 'dpkg-query',
    file: 'dpkg-query',
    args,
    timeout: TIME_LIMIT,
    onLine: (line) => lines.push(line),
  });
  return result.exitCode === 0 ? firstVersion(lines) : null;
}

/** The first word with two numbers and a point between them. */
export function firstVersion(lines: readonly string[]): string | null {
  for (const line of lines) {
    const match = /\d+(?:\.\d+)+(?:[\w.+~-]*\w)?/.exec(line);
    if (match !== null) return match[0];
  }
  return null;
}

/** The error's own words: the last line that says something, else how the command ended. */
export function lastWords(command: Command, result: Awaited<ReturnType<Runner['attempt']>>): string {
  if (result.timedOut) return howItEnded(command, result);
  const said = result.tail.filter((line) => line.trim() !== '' && !line.includes('dmesg(1)')).at(-1);
  return said === undefined ? howItEnded(command, result) : hideCredentials(said.trim());
}
