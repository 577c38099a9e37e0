import { EVENT_VERSION } from '../../messages/events.ts';
import { jsonLine } from '../text.ts';
import type { Reporter } from './reporter.ts';

/** One event a line on standard output: `{"v":1,"time":"...","kind":"step-start",...}`. */
export function createJsonReporter(write: (text: string) => void): Reporter {
  return {
    report: (event) => write(jsonLine({ v: EVENT_VERSION, time: new Date().toISOString(), ...event })),
    close: () => {},
  };
}
