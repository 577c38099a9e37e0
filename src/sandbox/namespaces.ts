import { SANDBOX } from '../resources.ts';
import type { Command } from '../system/runner.ts';

const scripts = `${SANDBOX}/program/templates/sandbox`;

/** Which script prepares the namespaces before the command runs in them. */
export type SandboxScript = 'bootstrap.sh' | 'evaluate.sh' | 'hook.sh' | 'reader.sh' | 'step.sh' | 'writer.sh';

/** A command inside namespaces of its own, which end with it and with the builder. */
export function sandboxed(options: {
  label: string;
  script: SandboxScript;
  args: readonly string[];
  network: boolean;
  env?: Readonly<Record<string, string>>;
  timeout?: number;
  onLine?: (line: string) => void;
  stopOn?: (line: string) => boolean;
  onStatus?: (line: string) => void;
  terminal?: boolean;
}): Command {
  const { label, script, args, network, env, timeout, onLine, stopOn, onStatus, terminal } = options;
  const namespaces = ['--mount', '--pid', '--ipc', '--uts', ...(network ? [] : ['--net'])];
  return {
    label,
    file: 'setpriv',
    args: [
      '--pdeathsig',
      'KILL',
      'unshare',
      ...namespaces,
      '--fork',
      '--kill-child',
      '--propagation',
      'private',
      '--',
      'bash',
      `${scripts}/${script}`,
      ...args,
    ],
    sandboxed: true,
    ...(env === undefined ? {} : { env }),
    ...(terminal === undefined ? {} : { terminal }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(onLine === undefined ? {} : { onLine }),
    ...(stopOn === undefined ? {} : { stopOn }),
    ...(onStatus === undefined ? {} : { onStatus }),
  };
}
