import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Customisation } from '../../customize/customisation.ts';
import type { Mirrors } from '../../host/mirrors.ts';
import { readInside } from '../../system/inside.ts';
import { paths } from '../model/context.ts';
import type { BuildPlan } from '../model/plan.ts';

/** The package that has the authorities which vouch for https servers. */
const AUTHORITIES = 'ca-certificates';
/** Those of this machine, as that package keeps them. */
const OF_THIS_MACHINE = '/etc/ssl/certs/ca-certificates.crt';
/** Where wget finds those of this machine and of the project. */
const BUNDLE = '/tmp/authorities.crt';
/** Where update-ca-certificates looks for authorities that are no part of the package. */
const OWN = /^usr\/local\/share\/ca-certificates\/.+\.crt$/;
const APT_SOURCES = /^etc\/apt\/(?:sources\.list|sources\.list\.d\/[^/]+\.(?:list|sources))$/;

/** The files below the folders that a project copies onto the root, before or after the packages, whose place matches; their text. */
async function placedTexts({ before, after }: Pick<Customisation, 'before' | 'after'>, place: RegExp): Promise<string[]> {
  const texts: string[] = [];
  for (const { folder, entries } of [...before, ...after])
    for (const entry of entries) {
      if (entry.kind !== 'file' || !place.test(entry.path)) continue;
      texts.push((await readInside(paths.project, path.join(folder, entry.path)))?.toString('latin1') ?? '');
    }
  return texts;
}

/** The authorities that the project brings itself, as PEM; empty: none. Nothing but certificates: a key may stand beside one. */
export async function ownAuthorities(customisation: Pick<Customisation, 'before' | 'after'>): Promise<string> {
  const texts = await placedTexts(customisation, OWN);
  const found = texts.flatMap(
    (text) => text.match(/^-----BEGIN (?:TRUSTED )?CERTIFICATE-----$[\s\S]*?^-----END (?:TRUSTED )?CERTIFICATE-----$/gm) ?? [],
  );
  return found.map((one) => `${one.replaceAll('\r', '')}\n`).join('');
}

/** Writes the authorities of this machine and of the project for wget; undefined: the project has none of its own. */
export async function authoritiesFile(own: string): Promise<string | undefined> {
  if (own === '') return undefined;
  const known = await readFile(OF_THIS_MACHINE, 'latin1').catch(() => '');
  await writeFile(BUNDLE, `${known}\n${own}`, { encoding: 'latin1', mode: 0o644 });
  return BUNDLE;
}

/** Whether a text for apt names an https address; comments do not count. */
function namesHttps(text: string): boolean {
  return text.split('\n').some((line) => !/^\s*#/.test(line) && /\bhttps:\/\//i.test(line));
}

/**
 * Packages that the bootstrap must bring beside the usual ones: the authorities, where apt is to fetch by https before it could install them.
 * For an https mirror debootstrap adds them itself.
 */
export async function bootstrapPackages({ config, customisation }: BuildPlan, { security }: Mirrors): Promise<string[]> {
  const addresses = [security, config.imageMirror, config.extraSources.text, ...customisation.archives.sources.map(({ text }) => text)];
  const isNeeded = [...addresses, ...(await placedTexts(customisation, APT_SOURCES))].some(namesHttps);
  return isNeeded ? [AUTHORITIES] : [];
}
