import path from 'node:path';
import { quote } from 'shell-quote';
import { KEYRINGS } from '../../config/apt-sources.ts';
import { overrideLines, shellLines } from '../../config/evaluate.ts';
import { DEBIAN_KEYRING, settings } from '../../config/settings.ts';
import { INSIDE } from '../../resources.ts';
import type { BuildPlan } from '../model/plan.ts';

/** What the steps of stage two need to know, beside the plan. */
export interface BuildFacts {
  readonly plan: BuildPlan;
  readonly mirror: string;
  readonly securityMirror: string;
  /** Proxy variables for fetches. */
  readonly proxy: Readonly<Record<string, string>>;
  /** The Date of the base suite's Release, seconds since 1970. */
  readonly releaseDate: number;
  readonly sourceDateEpoch: number;
}

/** The environment of every step and shell. */
export const baseOfSteps: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'dumb',
  LANG: 'C.UTF-8',
  DEBIAN_FRONTEND: 'noninteractive',
  DEBCONF_NONINTERACTIVE_SEEN: 'true',
  SYSTEMD_OFFLINE: '1',
  REALMFS_PROJECT: `${INSIDE}/project`,
};

/** The environment of our own scripts. Steps get the last three once build.conf was read: it must not find them earlier here than when it was evaluated. */
export function stepEnvironment(stage: BuildFacts): Record<string, string> {
  return {
    ...baseOfSteps,
    SOURCE_DATE_EPOCH: String(stage.sourceDateEpoch),
    DEBIAN_RELEASE: stage.plan.config.release,
    DEBIAN_MIRROR: stage.mirror,
  };
}

/** Where the archive's keys lie in the image: Debian's come with a package, others are put there by prepare.sh. */
export function signedBy(keyring: string): string {
  if (keyring === DEBIAN_KEYRING) return keyring;
  const name = path.basename(keyring);
  return `${KEYRINGS}/${/\.(gpg|asc)$/.test(name) ? name : `${name}.gpg`}`;
}

/** Every setting with the value that steps see. */
export function finalSettings(stage: BuildFacts): Record<string, string> {
  const { config } = stage.plan;
  return {
    ...config.raw,
    DEBIAN_MIRROR: stage.mirror,
    DEBIAN_IMAGE_MIRROR: config.imageMirror || stage.mirror,
    DEBIAN_SECURITY_MIRROR: stage.securityMirror,
    DEBIAN_ARCH: config.arch,
    SOURCE_DATE_EPOCH: String(stage.sourceDateEpoch),
    REALMFS_PROJECT_PACKAGES: projectPackages(stage.plan),
  };
}

/** The packages that the project asks for beside PACKAGES: those of its lists, and the files that it has itself. */
function projectPackages({ customisation }: BuildPlan): string {
  return [...customisation.packages, ...customisation.localPackages.map(({ name, version }) => `${name}=${version}`)].join(' ');
}

/** Script lines that give every setting its final value inside the image. */
export function settingsInside(stage: BuildFacts, overrides: Readonly<Record<string, string>>): string {
  const { config } = stage.plan;
  const final = finalSettings(stage);
  const planned: Record<string, readonly string[]> = {
    PACKAGES: config.packages,
    PRE_INSTALL_MODULES: config.preModules.map(({ name }) => name),
    POST_INSTALL_MODULES: config.postModules.map(({ name }) => name),
  };
  return shellLines([
    ...overrideLines(overrides),
    ...settings
      .filter(({ key, type }) => type !== 'builder' && key in final && !(key in planned) && !key.startsWith('BASE_'))
      .map(({ key }) => `__realmfs_settle ${key} ${quote([config.raw[key] ?? '', final[key] ?? ''])}`),
    `REALMFS_PROJECT_PACKAGES=${quote([final.REALMFS_PROJECT_PACKAGES ?? ''])}`,
    `DEBIAN_SIGNED_BY=${quote([signedBy(config.keyring)])}`,
    'builtin export DEBIAN_RELEASE DEBIAN_MIRROR SOURCE_DATE_EPOCH',
    ...Object.entries(planned).map(([key, list]) => `__realmfs_planned_${key}=(${quote([...list])})`),
  ]);
}

/** What our own scripts in the image must know. */
export function ownSettings({ plan: { config }, mirror }: BuildFacts): Record<string, string> {
  return {
    DEBIAN_IMAGE_MIRROR: config.imageMirror || mirror,
    DEBIAN_COMPONENTS: config.components.join(' '),
    REALMFS_HOSTNAME: config.hostname,
  };
}
