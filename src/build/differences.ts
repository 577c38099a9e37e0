import { isSecret } from '../config/settings.ts';

/** Lines of a change, and characters of a line or value. */
const MOST_LINES = 6;
const LONGEST_VALUE = 80;

/** What differs between two sets of inputs, in words. */
export function differences(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  const changed = names.filter((name) => before[name] !== now[name]);
  return changed.flatMap((name) => {
    const [was, is] = [before[name], now[name]];
    // One change, told once: a setting is a variable, too, and the packages are a setting.
    if (name === 'setting PACKAGES' && changed.includes('packages')) return [];
    if (name.startsWith('variable ') && changed.includes(`setting ${name.slice(9)}`)) return [];
    if (was === undefined) return [`${name} is new`];
    if (is === undefined) return [`${name} is gone`];
    if (isSecret(name)) return [`${name} has changed`];
    const isValue = /^(?:setting|variable) |^packages$|^modules$/.test(name);
    if (isValue && isShort(was) && isShort(is)) return [`${name} was ${was}, is ${is}`];
    if (name === 'packages') return [`packages: ${changedLines(...linesOfWords(was, is))}`];
    return [/^(?:function|step|commands) ?/.test(name) ? `${name} has changed: ${changedLines(was, is)}` : `${name} has changed`];
  });
}

function isShort(text: string): boolean {
  return text.length <= LONGEST_VALUE && !text.includes('\n');
}

function linesOfWords(...texts: [string, string]): [string, string] {
  return texts.map((text) => text.trim().split(/\s+/).join('\n')) as [string, string];
}

/** The lines that only one of two texts has: `- old`, `+ new`; a few of them. */
function changedLines(was: string, is: string): string {
  const [before, now] = [was, is].map((text) => text.split('\n').map((line) => line.trim()));
  const only = (lines: readonly string[] = [], others: readonly string[] = [], sign: string): string[] =>
    lines.filter((line) => line !== '' && !others.includes(line)).map((line) => `${sign} ${line.slice(0, LONGEST_VALUE)}`);
  const changed = [...only(before, now, '-'), ...only(now, before, '+')];
  const shown = changed.slice(0, MOST_LINES).join('; ');
  return changed.length === 0 ? 'the order of its lines' : changed.length > MOST_LINES ? `${shown}; ...` : shown;
}
