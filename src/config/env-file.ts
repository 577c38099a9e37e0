import path from 'node:path';
import dotenv from 'dotenv';
import { ConfigError, type Problem } from '../errors.ts';
import { statOrUndefined, withForeign } from '../system/files.ts';
import { suggestion } from './nearest.ts';
import { findSetting, settingKeys } from './settings.ts';

/**
 * Reads `realmfs.env` beside build.conf: builder defaults as plain KEY=value lines. Only keys of
 * the settings table count. The file must belong to root or to the user behind sudo, and others
 * must not be able to write it: it steers a program that runs as root.
 */
export async function readEnvFile(project: string, sudoUid: number | undefined): Promise<Record<string, string>> {
  const file = path.join(project, 'realmfs.env');
  if ((await statOrUndefined(file)) === undefined) return {};
  const fail = (message: string): never => {
    throw new ConfigError([{ file: 'realmfs.env', message }]);
  };
  // What is looked at is what is read, whoever swaps it meanwhile.
  const text = await withForeign(file, async (handle) => {
    const { uid, mode } = await handle.stat();
    if (uid !== 0 && uid !== sudoUid) return fail('belongs neither to root nor to the user behind sudo');
    if ((mode & 0o002) !== 0) return fail('can be written by everybody');
    return handle.readFile('utf8');
  });
  if (text === undefined) return fail('is not a regular file');
  const values = dotenv.parse(text);
  // dotenv passes over lines that it cannot read.
  const problems: Problem[] = unreadLines(text).map((line) => ({ file: 'realmfs.env', line, message: 'is no KEY=value' }));
  const unknown: Problem[] = Object.keys(values)
    .filter((key) => findSetting(key) === undefined)
    .map((key) => ({ file: 'realmfs.env', message: `${key}: unknown setting${suggestion(key, settingKeys)}` }));
  problems.push(...unknown);
  if (problems.length > 0) throw new ConfigError(problems);
  return values;
}

/** Numbers of the lines that are neither KEY=value nor comment nor part of a quoted value. */
function unreadLines(text: string): number[] {
  const quoted = /^([^\S\n]*(?:export\s+)?[\w.-]+[^\S\n]*[=:][^\S\n]*)(['"`])((?:\\.|(?!\2)[^\\])*)\2/gms;
  const flat = text.replace(quoted, (_, key: string, __, value: string) => `${key}x${'\n'.repeat(value.split('\n').length - 1)}`);
  return flat
    .split(/\r\n|\r|\n/)
    .flatMap((line, at) => (/^\s*(?:#|$)/.test(line) || Object.keys(dotenv.parse(line)).length > 0 ? [] : [at + 1]));
}
