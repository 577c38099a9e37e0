import type { ReadStream, WriteStream } from 'node:tty';
import type { Sandbox } from '../sandbox/launcher.ts';

/** The user's terminal, or what stands in its place, for the shells that a build opens. */
export interface Terminal {
  /** Rows and columns; empty if it is no terminal. */
  readonly size: string;
  /** Leads the output of a sandbox's shells here. */
  attach(sandbox: Sandbox): void;
  /** A shell begins: what is typed goes to it. */
  start(): void;
  /** It has ended. */
  end(): void;
}

/** Makes a terminal of the two streams of this process. */
export function openTerminal(input: ReadStream, output: WriteStream): Terminal {
  const isTerminal = input.isTTY === true && output.isTTY === true;
  let sandbox: Sandbox | undefined;
  const onData = (chunk: Buffer): void => void sandbox?.terminal?.input.write(chunk);
  const onEnd = (): void => void sandbox?.terminal?.input.end();
  return {
    size: isTerminal ? `${output.rows} ${output.columns}` : '',
    attach: (started) => {
      sandbox = started;
      started.terminal?.output.on('data', (chunk: Buffer) => output.write(chunk));
    },
    start: () => {
      // Keys go to the terminal inside as they are: Ctrl-C is for what runs there.
      if (isTerminal) input.setRawMode(true);
      input.on('data', onData);
      input.on('end', onEnd);
      input.resume();
    },
    end: () => {
      input.off('data', onData);
      input.off('end', onEnd);
      input.pause();
      if (isTerminal) input.setRawMode(false);
    },
  };
}
