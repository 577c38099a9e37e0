import type { Config } from '../../config/config.ts';
import { chooseMirrors, type HostRepository, type Mirrors } from '../../host/mirrors.ts';
import { defaultMirror } from '../../host/suites.ts';
import type { BuildContext } from '../model/context.ts';

/** The mirrors of a build; warns if one is missing. */
export async function findMirrors(config: Config, hosts: readonly HostRepository[], ctx: BuildContext): Promise<Mirrors> {
  const found = chooseMirrors({ main: config.mirror, security: config.securityMirror }, hosts);
  const mirrors = found.main === '' ? chooseMirrors({ main: await defaultMirror(), security: config.securityMirror }, []) : found;
  if (mirrors.security === '')
    ctx.steps.warn('no mirror of security updates is known: the image names none (DEBIAN_SECURITY_MIRROR sets one)');
  return mirrors;
}
