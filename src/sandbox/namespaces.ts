import { SANDBOX } from '../resources.ts';
import type { Command } from '../system/runner.ts';

/** What of the network a command has: nothing; a namespace with a way out, see network.ts; the machine's. */
export type Network = 'none' | 'own' | 'host';

/** The folder of the namespace with the way out. AppArmor lets pasta open one below /run/user alone. */
export const OWN_NETWORK = '/run/user/0/netns';

const scripts = `${SANDBOX}/program/templates/sandbox`;

/** Which script prepares the namespaces before the command runs in them. */
export type SandboxScript = 'bootstrap.sh' | 'evaluate.sh' | 'hook.sh' | 'reader.sh' | 'step.sh' | 'writer.sh';

/** A command inside namespaces of its own, which end with it and with the builder. */
export function sandboxed(options: {
  label: string;
  script: SandboxScript;
  args: readonly string[];
  network: Network;
  env?: Readonly<Record<string, string>>;
  timeout?: number;
  onLine?: (line: string) => void;
  stopOn?: (line: string) => boolean;
  onStatus?: (line: string) => void;
  terminal?: boolean;
}): Command {
  const { label, script, args, network, env, timeout, onLine, stopOn, onStatus, terminal } = options;
  const namespaces = ['--mount', '--pid', '--ipc', '--uts', ...(network === 'none' ? ['--net'] : [])];
  return {
    label,
    file: 'setpriv',
    args: [
      '--pdeathsig',
      'KILL',
      ...(network === 'own' ? ['nsenter', `--net=${OWN_NETWORK}/net`] : []),
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
