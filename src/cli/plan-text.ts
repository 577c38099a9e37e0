import { BELOW_RUNS, type PlanReport, RUNS_WITH } from '../messages/plan.ts';
import { plainWord } from '../system/names.ts';
import { table } from './text.ts';

/** A value on one line, as it is: a name without its escape sequences would be another one. `-` if there is none. */
function cell(value: string | readonly string[]): string {
  const text = typeof value === 'string' ? value : value.join(' ');
  return plainWord(text.replace(/\s+/g, ' ')).trim() || '-';
}

/** Why steps run; without root the store cannot be seen. */
function reasons({ steps }: PlanReport, isRoot: boolean): string[] {
  if (steps.every(({ cached }) => cached === null))
    return ['', isRoot ? 'There are no layers, or none are kept (LAYERS_MAX_SIZE=0).' : 'What is cached can be seen by root alone.'];
  const ofItself = (reason: string): boolean => reason !== BELOW_RUNS && !reason.startsWith(RUNS_WITH);
  const told = steps.flatMap(({ step, why }) => why.filter(ofItself).map((reason) => `${cell(step)}: ${cell(reason)}`));
  return told.length === 0 ? [] : ['', ...told];
}

/** A table of its own, if it has rows. */
function section(title: string, rows: readonly (readonly string[])[]): string[] {
  return rows.length === 0 ? [] : ['', ...table([[title, ''], ...rows.map((row) => row.map(cell))])];
}

/** The plan for people: tables for settings and steps, and for what the project has beside build.conf. */
export function planText(report: PlanReport, isRoot: boolean): string {
  const { settings, steps, packages, files, localPackages, targets, provides, warnings } = report;
  const lines = [
    `Configuration: ${cell(report.config ?? 'built-in base image')}`,
    `Output folder: ${cell(report.output)}`,
    `Targets:       ${cell(targets.map(({ name }) => name))}`,
    `Packages:      ${cell(packages)}`,
    '',
    ...table([['SETTING', 'FROM', 'VALUE'], ...settings.map(({ key, from, value }) => [key, cell(from), cell(value)])]),
    '',
    ...table([
      ['', 'STEP', 'FROM', 'IN PLACE OF', 'CACHED'],
      ...steps.map(({ step, from, overrides, cached }, index) => [
        String(index + 1).padStart(2),
        step,
        cell(from),
        overrides.join(', '),
        cached === null ? '' : cached ? 'yes' : 'no',
      ]),
    ]),
    ...section(
      'COPIED ONTO THE ROOT',
      files.map(({ file, step }) => [file, step]),
    ),
    ...section(
      'PACKAGE FILE',
      localPackages.map(({ file, name, version, arch }) => [file, `${name} ${version} (${arch})`]),
    ),
    ...(provides === null ? [] : ['', `Kept of the results: ${cell(provides)}`]),
    ...reasons(report, isRoot),
    ...warnings.flatMap((text, index) => [...(index === 0 ? [''] : []), `Warning: ${cell(text)}`]),
  ];
  return `${lines.join('\n')}\n`;
}
