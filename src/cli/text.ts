import { plainLines, plainWord } from '../system/names.ts';

/**
 * Prints text: what could steer the terminal is written as `\x1b`, whoever has written it. Line feeds and tabs stay. All
 * that the launcher prints goes this way, but for a shell's own output, colours and the spinner.
 */
export function print(stream: { write(text: string): unknown }, text: string): void {
  stream.write(plainLines(text));
}

/** A value as one line of JSON, which holds no control character. */
export function jsonLine(value: unknown): string {
  const escaped = (character: string): string => `\\u00${character.charCodeAt(0).toString(16)}`;
  return `${JSON.stringify(value).replace(/[\u007f-\u009f]/g, escaped)}\n`;
}

/** Rows as aligned columns, each cell on one line; the last one is as long as it is. */
export function table(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(plainWord));
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** `LABEL:  VALUE`, the values below each other. */
export function labelled(rows: readonly (readonly string[])[]): string[] {
  return table(rows.map(([label = '', value = '']) => [`${label}:`, value]));
}

/** Seconds since 1970 as a date: `2024-05-01 12:00:00 UTC`. */
export function dateText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
