import { chmod, readFile, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Evaluation, parseEvaluation, settingsAfter, settingsBefore } from '../../config/evaluate.ts';
import { binaryVariables, settings } from '../../config/settings.ts';
import { ConfigError, type Problem } from '../../errors.ts';
import type { BuildRequest } from '../../messages/request.ts';
import { INSIDE, SANDBOX } from '../../resources.ts';
import { sandboxed } from '../../sandbox/namespaces.ts';
import type { CommandResult, Runner } from '../../system/runner.ts';

/** Where the evaluation has the project. */
const PROJECT = `${INSIDE}/project/`;
/** Milliseconds that build.conf may take. */
const TIME_LIMIT = 10_000;

/**
 * Has bash read build.conf as nobody in a sandbox without network, and returns what it says.
 * @throws ConfigError if bash does not get to its end, or takes longer than 10 s.
 */
export async function evaluate(request: BuildRequest, work: string, runner: Runner): Promise<Evaluation> {
  const shown = request.configName ?? 'base image';
  const library = path.join(work, 'lib');
  await writeFile(path.join(library, 'settings-before.sh'), settingsBefore(request), { mode: 0o644 });
  await writeFile(path.join(library, 'settings-after.sh'), settingsAfter(request), { mode: 0o644 });
  const out = `${SANDBOX}/evaluated`;
  await writeFile(out, '');
  // Who is nobody in a build is the caller in a plan without root.
  await chmod(out, 0o666);
  await chmod(path.join(work, 'evaluate'), 0o755);
  const result = await runner.attempt(
    sandboxed({
      label: `evaluating ${shown}`,
      script: 'evaluate.sh',
      args: [request.configName ?? '', out, ...settings.map((setting) => setting.key), ...binaryVariables],
      network: 'none',
      timeout: TIME_LIMIT,
    }),
  );
  // Steps see the same library, and get theirs in another way.
  for (const name of ['settings-before.sh', 'settings-after.sh']) await unlink(path.join(library, name));
  const evaluation = parseEvaluation(await readFile(out));
  if (evaluation === undefined) throw new ConfigError([incomplete(shown, result)]);
  return evaluation;
}

/** The script of the project that bash has named, as seen from the project; undefined: it is none. */
function scriptOf(file: string): string | undefined {
  if (file.startsWith(PROJECT)) return path.normalize(file.slice(PROJECT.length));
  return file === '' || file === 'bash' || path.isAbsolute(file) ? undefined : path.normalize(file);
}

function incomplete(shown: string, result: CommandResult): Problem {
  if (result.timedOut) return { file: shown, message: `did not end within ${TIME_LIMIT / 1000} s` };
  const place = result.tail.map((line) => /^(.*): line (\d+): (.*)$/.exec(line)).findLast((match) => match !== null);
  const why = `ended with exit code ${result.exitCode ?? result.signal} before its last line`;
  if (place == null) return { file: shown, message: `${why}: does it call exit or exec?` };
  const [, file = '', line = '', message = ''] = place;
  return {
    file: scriptOf(file) ?? shown,
    ...(line === '0' ? {} : { line: Number(line) }),
    message: message.startsWith('source: ') ? message : `${why}: ${message}`,
  };
}
