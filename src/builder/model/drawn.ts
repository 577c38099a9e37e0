import { z } from 'zod';

/** Files that the package step has written and that belong to one machine: paths, and SHA-256 of their content. */
export type Drawn = Readonly<Record<string, string>>;
const drawnSchema = z.record(z.string(), z.string());

/** Reads what stands in a layer's facts. */
export function parseDrawn(text: string | undefined): Drawn {
  return drawnSchema.parse(JSON.parse(text ?? '{}'));
}
