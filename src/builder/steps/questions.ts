import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import path from 'node:path';
import { textOf } from '../../system/names.ts';

/** Bytes of one question; a path has 4096 at most. */
const LONGEST = 8 * 1024;
/** `PIPE SERIAL KIND NAME`: the pipe in `out/` that the answer is awaited on, and what is asked. */
const QUESTION = /^(answer(?:\.\d{1,10})?) (\d{1,10}) ([a-z]+) ([\s\S]*)$/;
const { O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_WRONLY } = constants;

/** Answers to a question: what is wrong, or `ok`. */
export type Reply = (kind: string, name: string) => Promise<string>;

/**
 * The builder's end of the two pipes by which a step asks it (`__realmfs_ask` in lib.sh): `ask` and `answer`, named pipes in
 * `pipes`. Questions begin and end with NUL; answers are `SERIAL TEXT`, and end with it. Nothing that a step does with its ends can hold the
 * builder up: it reads one question after the other, never waits for a reader, and passes over what is no question.
 */
export class Questions {
  readonly #out: string;
  readonly #socket: Socket;
  readonly #answers: number;
  readonly #served: Promise<void>;
  #isEnded = false;

  /** `out`: the folder of the step that pipes of its subshells lie in. */
  constructor(pipes: string, out: string, reply: Reply) {
    this.#out = out;
    // Both ways: it has no end when a step closes its own, and nobody is needed at the other.
    this.#answers = openSync(path.join(pipes, 'answer'), O_RDWR | O_NONBLOCK);
    this.#socket = new Socket({ fd: openSync(path.join(pipes, 'ask'), O_RDWR | O_NONBLOCK), readable: true, writable: false });
    this.#served = this.#serve(reply);
  }

  /** Stops listening, once the question that is being answered is. What was written to the pipes is forgotten. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#socket.destroy();
    await this.#served.catch(() => {});
    closeSync(this.#answers);
  }

  async #serve(reply: Reply): Promise<void> {
    let rest: Buffer = Buffer.alloc(0);
    // While one is answered, nothing more is read.
    for await (const chunk of this.#socket) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        const [whole, pipe, serial, kind = '', name = ''] = QUESTION.exec(textOf(rest.subarray(0, end))) ?? [];
        rest = rest.subarray(end + 1);
        if (whole === undefined || pipe === undefined || this.#isEnded) continue;
        const said = await reply(kind, name).catch(
          (error: unknown) => `cannot be looked up: ${error instanceof Error ? error.message : String(error)}`,
        );
        this.#answer(pipe, `${serial} ${said}\0`);
      }
      if (rest.length > LONGEST) rest = Buffer.alloc(0);
    }
  }

  #answer(pipe: string, text: string): void {
    try {
      if (pipe === 'answer') {
        writeSync(this.#answers, text);
        return;
      }
      const fd = openSync(path.join(this.#out, pipe), O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
      try {
        if (fstatSync(fd).isFIFO()) writeSync(fd, text);
      } finally {
        closeSync(fd);
      }
    } catch {
      // Nobody waits there, or it is full of what nobody reads.
    }
  }
}
