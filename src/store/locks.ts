import { Readable, Writable } from 'node:stream';
import { execa } from 'execa';
import { BuilderError, InterruptedError, PreflightError } from '../errors.ts';
import { statOrUndefined } from '../system/files.ts';
import { LineSplitter } from '../system/lines.ts';

/** Locks on files, held by a helper process that ends with this one: whatever happens, they are let go. */
export interface Locks {
  /** False if somebody holds the file for himself, or there is none. */
  shared(file: string): Promise<boolean>;
  /** False if somebody else holds the file, or there is none. */
  exclusive(file: string): Promise<boolean>;
  /** As `exclusive`; where there is nothing, an empty file is made. */
  create(file: string): Promise<boolean>;
  release(file: string): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds between two looks whether somebody has let a lock go. */
const LOOK_AGAIN = 100;

/**
 * Waits until nobody else holds a file or folder, and holds it; an empty file is made where there is nothing. `onWait` is told
 * once if somebody does.
 * @throws InterruptedError if all is to end meanwhile.
 * @throws PreflightError if what stands there cannot be held.
 */
export async function waitFor(locks: Locks, file: string, isStopped: () => boolean, onWait: () => void): Promise<void> {
  const isFolder = (await statOrUndefined(file))?.isDirectory() === true;
  for (let told = false; !(await (isFolder ? locks.exclusive(file) : locks.create(file))); told = true) {
    if (isStopped()) throw new InterruptedError('interrupted', 130);
    const there = await statOrUndefined(file);
    if (there !== undefined && !there.isFile() && !there.isDirectory())
      throw new PreflightError(`${file} is not a file that can be locked: remove it`, { step: 'preflight' });
    if (!told) onWait();
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

/** Starts the helper; `script` is templates/sandbox/locks.pl. */
export function openLocks(script: string): Locks {
  const child = execa('setpriv', ['--pdeathsig', 'KILL', 'perl', script], {
    extendEnv: false,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'inherit'],
    buffer: false,
    reject: false,
    cleanup: false,
  });
  const waiting: ((answer: string | undefined) => void)[] = [];
  const splitter = new LineSplitter((line) => waiting.shift()?.(line));
  if (child.stdout instanceof Readable) child.stdout.on('data', (chunk: Buffer) => splitter.push(chunk));
  const input = child.stdin;
  if (input instanceof Writable) input.on('error', () => {});
  const gone = child.then(() => {
    for (const answer of waiting.splice(0)) answer(undefined);
  });
  const ask = async (word: string, file: string): Promise<boolean> => {
    const answer = await new Promise<string | undefined>((resolve) => {
      waiting.push(resolve);
      if (input instanceof Writable) input.write(`${word} ${file}\n`);
    });
    if (answer === undefined) throw new BuilderError('the process that holds the locks of the store has ended');
    return answer === 'yes';
  };
  return {
    shared: (file) => ask('shared', file),
    exclusive: (file) => ask('exclusive', file),
    create: (file) => ask('create', file),
    release: async (file) => {
      await ask('release', file);
    },
    close: async () => {
      if (input instanceof Writable) input.end();
      await gone;
    },
  };
}
