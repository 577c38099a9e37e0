import { isSecret } from '../../config/settings.ts';

/** Lines of a change, and characters of a line or value. */
const MOST_LINES = 6;
const LONGEST_VALUE = 80;

/** The names of the steps of a cut, in their order. */
export const STEP_ORDER = 'the order of the steps';
/** Whether the state of the shell is handed on. */
export const MORE_TO_COME = 'whether a module comes after it';

/** What differs between two sets of inputs, in words. */
export function differences(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  const changed = names.filter((name) => before[name] !== now[name]);
  // From then on every step depends on all of it, which is not new by itself.
  const all = changed.find(
    (name) =>
      name === 'the shell that build.conf leaves' || (name === 'commands at the top level of build.conf' && before[name] === undefined),
  );
  const told = changed.filter((name) => all === undefined || name === all || before[name] !== undefined);
  const reasons = told.flatMap((name) => {
    const [was, is] = valuesOf(name, before[name], now[name]);
    // One change, told once: a setting is a variable, too, and the packages are a setting.
    if (name === 'setting PACKAGES' && changed.includes('packages')) return [];
    if (name.startsWith('variable ') && changed.includes(`setting ${name.slice(9)}`)) return [];
    if (was === undefined) return [`${name} ${name.startsWith('commands') ? 'are' : 'is'} new`];
    if (is === undefined) return [`${name} is gone`];
    if (isSecret(name)) return [`${name} has changed`];
    if (name === MORE_TO_COME) return [is === 'true' ? 'a module comes after it now' : 'no module comes after it any more'];
    const isValue = /^(?:setting|variable) |^packages$|^modules$/.test(name);
    if (isValue && isShort(was) && isShort(is)) return [`${name} was ${was}, is ${is}`];
    if (name === 'packages') return [`packages: ${changedLines(...linesOfWords(was, is))}`];
    return [/^(?:function|step|commands) ?/.test(name) ? `${name} has changed: ${changedLines(was, is)}` : `${name} has changed`];
  });
  // The text of a step is that of its function.
  const lines = (reason: string): string => reason.replace(/^(?:function|step) \S+ /, '');
  const ofFunctions = new Set(reasons.filter((reason) => reason.startsWith('function ')).map(lines));
  const hasSteps = reasons.some((reason) => reason.startsWith('step '));
  return reasons.filter((reason) => {
    // Which steps there are is said by themselves.
    if (reason.startsWith(STEP_ORDER)) return !hasSteps;
    return !reason.startsWith('step ') || !ofFunctions.has(lines(reason));
  });
}

function isShort(text: string): boolean {
  return text.length <= LONGEST_VALUE && !text.includes('\n');
}

/** Variables come as bash declares them: where that is the same, their values are enough. */
function valuesOf(name: string, ...texts: [string | undefined, string | undefined]): [string | undefined, string | undefined] {
  const parts = texts.map((text) => /^(declare \S+ \w+=)(.*)$/s.exec(text ?? ''));
  const isSame = name.startsWith('variable ') && parts[0]?.[1] !== undefined && parts[0][1] === parts[1]?.[1];
  return isSame ? [parts[0]?.[2], parts[1]?.[2]] : texts;
}

function linesOfWords(...texts: [string, string]): [string, string] {
  return texts.map((text) => text.trim().split(/\s+/).join('\n')) as [string, string];
}

/** The lines that only one of two texts has: `- old`, `+ new`; a few of them. */
function changedLines(was: string, is: string): string {
  const [before, now] = [was, is].map((text) => text.split('\n').map((line) => line.trim().replace(/;$/, '')));
  const only = (lines: readonly string[] = [], others: readonly string[] = [], sign: string): string[] =>
    lines.filter((line) => line !== '' && !others.includes(line)).map((line) => `${sign} ${line.slice(0, LONGEST_VALUE)}`);
  const changed = [...only(before, now, '-'), ...only(now, before, '+')];
  const shown = changed.slice(0, MOST_LINES).join('; ');
  return changed.length === 0 ? 'the order of its lines' : changed.length > MOST_LINES ? `${shown}; ...` : shown;
}
