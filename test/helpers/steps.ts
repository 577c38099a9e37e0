import type { Run } from './machine.ts';

/** The steps of stage one and two that were run, and those that came from layers. */
export function steps(run: Run): { ran: string[]; cached: string[] } {
  const named = [...run.stderr.matchAll(/^ +[\d.]+ +\[\d+\/\d+\] (\S+)( cached)?$/gm)];
  const ours = named.filter(([, name = '']) => /^(?:bootstrap|packages|pre\/|post\/|early\/|hook\/|overlay|preseed|includes)/.test(name));
  return {
    ran: ours.filter(([, , cached]) => cached === undefined).map(([, name = '']) => name),
    cached: ours.filter(([, , cached]) => cached !== undefined).map(([, name = '']) => name),
  };
}
