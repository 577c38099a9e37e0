import type { Aspect } from './compare.ts';
import { identityOf } from './identity.ts';

/** Under what a tree was built, as its files could show it. */
export interface Surroundings {
  /** When it was built, seconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly hostname: string;
  /** Folders of the build. */
  readonly folders: readonly string[];
  readonly timeZone: string;
  readonly language: string;
}

/** The mode of a file that is judged as one that not everybody may read: whether its content is the same each time is known. */
const SECRET = 0o600;
/** Seconds of a day: a date may be that of another time zone. */
const DAY = 86_400;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Files that hold what is random, by the beginning or end of their paths. */
const RANDOM: readonly [pattern: RegExp, what: string][] = [
  [/^\.\/etc\/machine-id$|\/dbus\/machine-id$/, 'the identity of a machine'],
  [/^\.\/etc\/ssh\/.*key/, 'a key that was made while it was built'],
  [/^\.\/etc\/g?shadow/, 'the random salt of a password: give a hash instead'],
  [/\.(?:key|pem|crt|csr)$/, 'a key that was made while it was built'],
  [/random-seed$/, 'a random seed'],
];

/**
 * The likely cause of a difference between a file and the same file of an earlier build.
 * @param content of the later build's file; undefined: it is none, or is not looked at.
 */
export function likelyCause(path: string, changes: readonly Aspect[], content: Buffer | undefined, around: Surroundings): string {
  if (changes.length > 0 && changes.every((change) => change === 'time'))
    return 'only its time differs: it was set by hand to one of the past';
  if (changes.length > 0 && !changes.includes('content'))
    return `its ${changes.join(' and ')} depends on the machine, or on what ran beside it`;
  const text = content?.toString('latin1') ?? '';
  const time = timeIn(text, around) ?? timeInHeader(content, around);
  if (time !== undefined) return `the time of the build: ${time} stands in it, and SOURCE_DATE_EPOCH should`;
  if (text.includes(around.hostname)) return 'the host name of the machine stands in it';
  if (around.folders.some((folder) => text.includes(folder))) return 'the path of a folder of the build stands in it';
  if (text.includes(around.timeZone) || text.includes(around.language)) return 'the time zone or language of the machine stands in it';
  const known = RANDOM.find(([pattern]) => pattern.test(path));
  if (known !== undefined) return known[1];
  const identity = content === undefined ? undefined : identityOf(content, SECRET, path);
  if (identity !== undefined) return `${identity.what}, which was drawn while it was built`;
  return 'neither time nor host name is readable in it: something random, or the order in which things were done';
}

/** Bytes at which gzip and Python's byte code have the time of what they were made from. */
const HEADER_TIMES = [4, 8];

function timeInHeader(content: Buffer | undefined, { start, end }: Surroundings): string | undefined {
  const isThen = (at: number): boolean =>
    content !== undefined && content.length >= at + 4 && content.readUInt32LE(at) >= start && content.readUInt32LE(at) <= end;
  return HEADER_TIMES.some(isThen) ? 'that of its header' : undefined;
}

/** A time of the build that a text shows: seconds since 1970, or a date as programs write it. */
function timeIn(text: string, { start, end }: Surroundings): string | undefined {
  for (const [digits] of text.matchAll(/(?<!\d)\d{10}(?=(?:\d{3}|\d{6}|\d{9})?(?!\d))/g))
    if (Number(digits) >= start && Number(digits) <= end) return digits;
  for (let day = start - DAY; day <= end + DAY; day += DAY) {
    const date = new Date(day * 1000);
    const [year, month, of] = [date.getUTCFullYear(), MONTHS[date.getUTCMonth()] ?? '', date.getUTCDate()];
    const iso = date.toISOString().slice(0, 10);
    const written = [
      iso,
      iso.replaceAll('-', '/'),
      iso.replaceAll('-', ''),
      `${String(of).padStart(2, '0')} ${month} ${year}`,
      `${of} ${month} ${year}`,
      // As date(1) and ctime(3) write it: the clock stands in between.
    ].find((form) => text.includes(form));
    if (written !== undefined) return written;
    const clock = new RegExp(`${month} {1,2}${of} \\d\\d:\\d\\d:\\d\\d(?: \\w+)? ${year}`).exec(text)?.[0];
    if (clock !== undefined) return clock;
  }
  return undefined;
}
