import path from 'node:path';
import { ConfigError } from '../../errors.ts';
import { findInside } from '../../system/inside.ts';
import { paths } from '../model/context.ts';

/**
 * The path of a file of the project's copy without a link in it: what a build opens, it opens by this. A file elsewhere
 * is left as it is.
 * @throws ConfigError if nothing is there, or a link leads out of the project
 */
export async function linkFree(file: string): Promise<string> {
  if (!file.startsWith(`${paths.project}/`)) return file;
  const name = path.relative(paths.project, file);
  const found = await findInside(paths.project, name);
  if (found.kind === 'there') return found.path;
  throw new ConfigError([{ file: name, message: found.kind === 'astray' ? found.why : 'is not there' }]);
}
