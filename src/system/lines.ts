import { StringDecoder } from 'node:string_decoder';

/** The longest line that is passed on as one; what is longer is cut into pieces of this many characters. */
const LONGEST = 8192;

/** Cuts a stream of bytes into lines. A carriage return shows what a terminal would: the last part. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  readonly #take: (line: string) => void;
  readonly #longest: number;
  #rest = '';

  constructor(take: (line: string) => void, longest = LONGEST) {
    this.#take = take;
    this.#longest = longest;
  }

  push(chunk: Buffer): void {
    const parts = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) this.#emit(part);
    while (this.#rest.length > this.#longest) {
      this.#emit(this.#rest.slice(0, this.#longest));
      this.#rest = this.#rest.slice(this.#longest);
    }
  }

  end(): void {
    this.#rest += this.#decoder.end();
    if (this.#rest !== '') this.#emit(this.#rest);
    this.#rest = '';
  }

  #emit(text: string): void {
    for (let at = 0; at === 0 || at < text.length; at += this.#longest) {
      const line = text.slice(at, at + this.#longest).replace(/\r+$/, '');
      this.#take(line.slice(line.lastIndexOf('\r') + 1));
    }
  }
}
