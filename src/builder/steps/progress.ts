/** What a line of output says about how far a step is. */
export interface Progress {
  readonly percent: number | null;
  readonly text: string;
}

/** Follows debootstrap's `I:` lines: each package is extracted or unpacked, then configured. */
export class BootstrapProgress {
  #packages = 0;
  #unpacked = 0;
  #configured = 0;

  take(line: string): Progress | undefined {
    const match = /^I: (\w+) ([\w.+:-]+)/.exec(line);
    if (match === null) return undefined;
    const [, verb = '', name = ''] = match;
    switch (verb) {
      case 'Retrieving':
        return { percent: null, text: `fetching ${name}` };
      case 'Validating':
        if (!/Release|Packages/.test(name)) this.#packages += 1;
        return { percent: null, text: `checking ${name}` };
      case 'Resolving':
        return { percent: null, text: 'resolving dependencies' };
      case 'Unpacking':
        this.#unpacked += 1;
        return this.#at(`unpacking ${name}`);
      case 'Configuring':
        this.#configured += 1;
        return this.#at(`configuring ${name}`);
      default:
        return undefined;
    }
  }

  #at(text: string): Progress {
    const share = this.#packages === 0 ? null : (this.#unpacked + this.#configured) / (2 * this.#packages);
    return { percent: share === null ? null : Math.min(100, Math.round(share * 100)), text };
  }
}

/** A line of apt's Status-Fd (`dlstatus:1:12.5:text`, `pmstatus:package:40:text`). */
export function aptProgress(line: string): Progress | undefined {
  const match = /^(dl|pm)status:[^:]*:([\d.]+):(.*)$/.exec(line);
  if (match === null) return undefined;
  return { percent: Math.round(Number(match[2])), text: match[3] ?? '' };
}
