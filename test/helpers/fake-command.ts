import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command, Runner } from '../../src/system/runner.ts';
import { baseEnvironment } from '../../src/system/runner.ts';
import { tempRoot, writeFiles } from './temp-root.ts';

/** A program on a PATH of its own that notes down how it is called. */
export interface FakeCommand {
  /** The folder to put in front of PATH. */
  readonly folder: string;
  /** The arguments of every call so far. */
  calls(): string[][];
}

/** Makes a program `name` that records its arguments and then runs `script` in bash. */
export function fakeCommand(name: string, script = ''): FakeCommand {
  const root = tempRoot();
  const [folder, log] = [path.join(root, 'bin'), path.join(root, 'calls')];
  mkdirSync(folder);
  writeFiles(folder, { [name]: `#!/bin/bash\nprintf '%s\\0' "$@" END-OF-CALL >>'${log}'\n${script}\n` });
  chmodSync(path.join(folder, name), 0o755);
  return {
    folder,
    calls() {
      if (!existsSync(log)) return [];
      const calls: string[][] = [[]];
      for (const word of readFileSync(log, 'utf8').split('\0').slice(0, -1)) {
        if (word === 'END-OF-CALL') calls.push([]);
        else calls.at(-1)?.push(word);
      }
      return calls.slice(0, -1);
    },
  };
}

/** The runner, with the programs of some fakes in front of the real ones. */
export function withFakes(runner: Runner, ...fakes: readonly FakeCommand[]): Runner {
  const PATH = [...fakes.map(({ folder }) => folder), baseEnvironment.PATH].join(':');
  const changed = (command: Command): Command => ({ ...command, env: { ...command.env, PATH } });
  return {
    isStopped: () => runner.isStopped(),
    run: (command) => runner.run(changed(command)),
    attempt: (command) => runner.attempt(changed(command)),
    capture: (command) => runner.capture(changed(command)),
    stream: (command, take) => runner.stream(changed(command), take),
  };
}
