import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { BuilderError } from '../errors.ts';

/** An image that is damaged, or of a kind that cannot be read. */
export class ImageError extends BuilderError {}

/** Bytes that can be read at any place; never changed. */
export interface Bytes {
  readonly size: number;
  /** @throws ImageError if they are not all there. */
  at(offset: number, length: number): Buffer;
}

/** The bytes of a file, for as long as `body` runs. */
export async function withBytes<T>(file: string, body: (bytes: Bytes) => Promise<T>): Promise<T> {
  const descriptor = openSync(file, constants.O_RDONLY);
  try {
    const { size } = fstatSync(descriptor);
    return await body({
      size,
      at(offset, length) {
        if (offset < 0 || length < 0 || offset + length > size) throw beyond(offset, length, size);
        const buffer = Buffer.allocUnsafe(length);
        for (let done = 0; done < length; ) {
          const count = readSync(descriptor, buffer, done, length - done, offset + done);
          if (count === 0) throw beyond(offset, length, size);
          done += count;
        }
        return buffer;
      },
    });
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes that are in memory. */
export function bytesOf(buffer: Buffer): Bytes {
  return part({ size: buffer.length, at: (offset, length) => buffer.subarray(offset, offset + length) }, 0, buffer.length);
}

/** A part of them, such as a partition; it ends where they end. */
export function part(bytes: Bytes, start: number, length = Number.POSITIVE_INFINITY): Bytes {
  const size = Math.max(0, Math.min(length, bytes.size - start));
  return {
    size,
    at(offset, count) {
      if (offset < 0 || count < 0 || offset + count > size) throw beyond(offset, count, size);
      return bytes.at(start + offset, count);
    },
  };
}

/** The first bytes, as many as there are. */
export function head(bytes: Bytes, length: number): Buffer {
  return bytes.at(0, Math.min(bytes.size, length));
}

function beyond(offset: number, length: number, size: number): ImageError {
  return new ImageError(`is damaged or cut off: it leads to ${length} bytes at ${offset}, and has ${size}`);
}
