import type { BuildEvent } from '../../src/messages/events.ts';
import { assertSuccess, type Command, type CommandResult, createRunner, type Runner } from '../../src/system/runner.ts';

/** What a recorded command gives back; what is left out: success, without output. */
export interface Answer {
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly tail?: readonly string[];
  /** Lines on descriptor 3. */
  readonly status?: readonly string[];
}

/** A runner that starts nothing: it keeps the commands and gives the answers that it was told. */
export function recordingRunner(answer: (command: Command) => Answer = () => ({})): Runner & { readonly commands: Command[] } {
  const commands: Command[] = [];
  const execute = (command: Command): { result: CommandResult; stdout: string } => {
    commands.push(command);
    const { exitCode = 0, stdout = '', tail = [], status = [] } = answer(command);
    for (const line of status) command.onStatus?.(line);
    for (const line of tail) command.onLine?.(line);
    return { result: { exitCode, signal: undefined, timedOut: false, tail }, stdout };
  };
  const checked = (command: Command): { result: CommandResult; stdout: string } => {
    const done = execute(command);
    assertSuccess(command, done.result, 'test');
    return done;
  };
  return {
    isStopped: () => false,
    commands,
    attempt: async (command) => execute(command).result,
    run: async (command) => checked(command).result,
    capture: async (command) => checked(command).stdout,
    stream: async (command, take) => take(Buffer.from(checked(command).stdout)),
  };
}

/** The real runner, with the events that it reports. */
export function realRunner(signal: AbortSignal = new AbortController().signal): Runner & { readonly events: BuildEvent[] } {
  const events: BuildEvent[] = [];
  return { events, ...createRunner({ report: (event) => events.push(event), signal, currentStep: () => 'test' }) };
}
