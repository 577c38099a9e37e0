import { remembered } from '../store/memo.ts';
import type { Runner } from '../system/runner.ts';

/** A repository that the host's apt uses. */
export interface HostRepository {
  readonly uri: string;
  readonly release: string;
  readonly origin: string;
  readonly label: string;
}

/** The mirrors that a build uses. */
export interface Mirrors {
  /** Empty: not known. */
  readonly main: string;
  /** Empty: no security suite is known. */
  readonly security: string;
}

const FORMAT = '$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(LABEL)';

/** The repositories in the host's apt sources. Origin and label are empty until apt has fetched them once. */
export async function hostRepositories(runner: Runner): Promise<HostRepository[]> {
  const ask = async (...more: string[]): Promise<HostRepository[]> =>
    parseRepositories(
      await runner.capture({
        label: 'reading the apt sources of the host',
        file: 'apt-get',
        args: ['indextargets', ...more, '--format', FORMAT],
        okExitCodes: [100],
      }),
    );
  const known = await ask();
  // A host whose apt has fetched nothing yet.
  return known.length > 0 ? known : ask('--no-release-info');
}

/** The same, kept from build to build for as long as apt's sources and lists are as they are. */
export function knownRepositories(folder: string, runner: Runner): Promise<HostRepository[]> {
  const from = ['/etc/apt', '/etc/apt/apt.conf.d', '/etc/apt/sources.list', '/etc/apt/sources.list.d', '/var/lib/apt/lists'];
  const isAnswer = (value: unknown): value is HostRepository[] => Array.isArray(value);
  return remembered({ folder, name: 'repositories', from, question: FORMAT, isAnswer }, () => hostRepositories(runner));
}

/** Parses the lines that `apt-get indextargets` prints for FORMAT. */
export function parseRepositories(text: string): HostRepository[] {
  return text.split('\n').flatMap((line) => {
    // What apt does not know stays as it stands in FORMAT.
    const [uri = '', release = '', origin = '', label = ''] = line.split('|').map((field) => (field.startsWith('$(') ? '' : field));
    return /^https?:/.test(uri) ? [{ uri: uri.replace(/\/+$/, ''), release, origin, label }] : [];
  });
}

/**
 * The mirrors for a build: what build.conf names, else what the host's own apt uses for Debian.
 * A repository whose labels apt does not know yet is told by the last part of its address.
 */
export function chooseMirrors(wanted: Mirrors, hosts: readonly HostRepository[]): Mirrors {
  const isDebian = ({ uri, origin, label }: HostRepository): boolean =>
    origin === '' ? uri.endsWith('/debian') : origin === 'Debian' && label === 'Debian';
  const isSecurity = ({ uri, origin, label }: HostRepository): boolean =>
    origin === '' ? uri.endsWith('/debian-security') : origin === 'Debian' && label === 'Debian-Security';
  const main = wanted.main || (hosts.find(isDebian)?.uri ?? '');
  if (wanted.security !== '') return { main, security: wanted.security };
  // A mirror that build.conf names has its security archive beside it, if anywhere.
  const beside = main.endsWith('/debian') ? `${main}-security` : '';
  return { main, security: wanted.main === '' ? (hosts.find(isSecurity)?.uri ?? beside) : beside };
}
