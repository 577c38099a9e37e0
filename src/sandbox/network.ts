import { readFile } from 'node:fs/promises';
import { SANDBOX } from '../resources.ts';
import type { Runner } from '../system/runner.ts';
import { OWN_NETWORK } from './namespaces.ts';

const SCRIPT = `${SANDBOX}/program/templates/sandbox/network.sh`;
const NAME_SERVER = /^\s*nameserver\s+(\S+)/;
/** Addresses that mean the machine itself. */
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1?|::ffff:127\..*)$/i;

/** How steps with the network reach it, and the resolv.conf for them. */
export interface WayOut {
  /** `own`: a namespace with a way out and nothing else; `host`: the machine's. */
  readonly network: 'own' | 'host';
  readonly resolver: string;
}

/** Whether a text, such as sources of apt, names an address of the machine's loopback. */
export function namesLoopback(text: string): boolean {
  return /(?:^|\/\/)(?:[^\s/]*@)?(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]|\[::ffff:127\.[^\]]*\])(?=[:/\s]|$)/im.test(text);
}

/**
 * A resolv.conf for where the machine's loopback is another one: the first name server answers at `forward`, others on the
 * loopback are left out. Without one on the loopback it stays as it is.
 */
export function forwardedResolver(text: string, forward: string): string {
  if (!hasLoopbackServer(text)) return text;
  let isFirst = true;
  const lines = text.split('\n').flatMap((line) => {
    const address = NAME_SERVER.exec(line)?.[1];
    if (address === undefined) return [line];
    if (!isFirst) return LOOPBACK.test(address) ? [] : [line];
    isFirst = false;
    return [`nameserver ${forward}`];
  });
  return lines.join('\n');
}

function hasLoopbackServer(text: string): boolean {
  return text.split('\n').some((line) => LOOPBACK.test(NAME_SERVER.exec(line)?.[1] ?? ''));
}

/** The network of a build's steps. It is made once, and ends with the build. */
export class StepNetwork {
  readonly #runner: Runner;
  readonly #warn: (text: string) => void;
  #way: Promise<WayOut> | undefined;

  constructor(runner: Runner, warn: (text: string) => void) {
    this.#runner = runner;
    this.#warn = warn;
  }

  /** Begins to make it; who needs it later waits less. */
  begin(): void {
    this.#way ??= this.#make();
    this.#way.catch(() => {});
  }

  /** How a step reaches the network. Without a program for it, with the machine's own, and a warning. */
  wayOut(): Promise<WayOut> {
    this.#way ??= this.#make();
    return this.#way;
  }

  /** The machine's network, for the builder's own fetches. */
  async ofHost(): Promise<WayOut> {
    return { network: 'host', resolver: await hostResolver() };
  }

  async #make(): Promise<WayOut> {
    const resolver = await hostResolver();
    const args = ['--noprofile', '--norc', SCRIPT, OWN_NETWORK, hasLoopbackServer(resolver) ? 'yes' : 'no'];
    const { exitCode, tail } = await this.#runner.attempt({ label: 'the network of steps', file: 'bash', args });
    if (exitCode === 0) {
      const forward = (await readFile(`${OWN_NETWORK}/dns`, 'utf8')).trim();
      return { network: 'own', resolver: forwardedResolver(resolver, forward) };
    }
    this.#warn(`modules share the network of this machine, its loopback included (${tail.join('; ')}): install passt or slirp4netns`);
    return { network: 'host', resolver };
  }
}

function hostResolver(): Promise<string> {
  return readFile('/etc/resolv.conf', 'latin1').catch(() => '');
}
