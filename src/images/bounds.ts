import { stat } from 'node:fs/promises';
import { formatSize } from '../system/memory.ts';
import { ImageError } from './bytes.ts';

/** How many times its size what is compressed may become: images that are nearly empty shrink to a hundredth, what is made to harm to a millionth. */
const TIMES = 250;
/** Bytes that it may become in any case. */
const IN_ANY_CASE = 8 * 1024 ** 3;

/** Milliseconds that one program may work on an image. */
export const LONGEST_RUN = 30 * 60 * 1000;

/** Counts what a file becomes. */
export interface Bound {
  readonly bytes: number;
  /** @throws ImageError if there are more than the bound. */
  take(bytes: number): void;
}

/** The bound of a file that is compressed. */
export async function boundOf(file: string, { times = TIMES, inAnyCase = IN_ANY_CASE } = {}): Promise<Bound> {
  const bytes = Math.max(inAnyCase, times * (await stat(file)).size);
  let taken = 0;
  return {
    bytes,
    take: (more) => {
      taken += more;
      if (taken <= bytes) return;
      throw new ImageError(`becomes more than ${formatSize(bytes)} when it is decompressed: it is not read any further`, {
        hint: 'if that is right, decompress it yourself: what is not compressed has no such bound',
      });
    },
  };
}
