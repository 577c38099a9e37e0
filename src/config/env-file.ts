import { readFile } from 'node:fs/promises';
import path from 'node:path';
import dotenv from 'dotenv';
import { ConfigError, type Problem } from '../errors.ts';
import { statOrUndefined } from '../system/files.ts';
import { suggestion } from './nearest.ts';
import { findSetting, settingKeys } from './settings.ts';

/**
 * Reads `realmfs.env` beside build.conf: builder defaults as plain KEY=value lines. Only keys of
 * the settings table count. The file must belong to root or to the user behind sudo, and others
 * must not be able to write it: it steers a program that runs as root.
 */
export async function readEnvFile(project: string, sudoUid: number | undefined): Promise<Record<string, string>> {
  const file = path.join(project, 'realmfs.env');
  const stat = await statOrUndefined(file);
  if (stat === undefined) return {};
  const fail = (message: string): never => {
    throw new ConfigError([{ file: 'realmfs.env', message }]);
  };
  if (!stat.isFile()) return fail('is not a regular file');
  if (stat.uid !== 0 && stat.uid !== sudoUid) return fail('belongs neither to root nor to the user behind sudo');
  if ((stat.mode & 0o002) !== 0) return fail('can be written by everybody');
  const values = dotenv.parse(await readFile(file));
  const problems: Problem[] = Object.keys(values)
    .filter((key) => findSetting(key) === undefined)
    .map((key) => ({ file: 'realmfs.env', message: `${key}: unknown setting${suggestion(key, settingKeys)}` }));
  if (problems.length > 0) throw new ConfigError(problems);
  return values;
}
