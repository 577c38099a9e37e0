import { realpath } from 'node:fs/promises';
import type { Config } from '../../config/config.ts';
import { type Evaluation, words } from '../../config/evaluate.ts';
import { DEBIAN_KEYRING, findSetting, isSecret } from '../../config/settings.ts';
import { version } from '../../resources.ts';
import { LAYER_FORMAT, type Layer } from '../../store/layers.ts';
import { readSalt, Seal } from '../../store/seal.ts';
import { sha256File } from '../../system/files.ts';
import { type BuildContext, paths } from '../model/context.ts';
import { type BuildPlan, hasShell } from '../model/plan.ts';
import { linkFree } from '../project/project-file.ts';
import type { StepTexts } from '../project/step-texts.ts';
import { bootstrapInputs, type Origin } from '../steps/bootstrap.ts';
import { type BuildFacts, finalSettings, signedBy } from '../steps/step-settings.ts';
import { type BuildInputs, inputsOf, mustRun, type StepGroup } from './step-groups.ts';
import { MORE_TO_COME } from './why-it-runs.ts';

/** All inputs of a cut that are known before it runs, without the layer below. `handedOn`: the text of the shell that it hands on. */
export async function layerInputs(
  cut: StepGroup,
  stage: BuildFacts,
  build: BuildInputs,
  handedOn: string,
): Promise<Record<string, string>> {
  return build.seal.inputs({
    ...(await inputsOf(cut, build, handedOn)),
    ...(cut.step === 'packages' ? { ...(await prepareInputs(stage.plan.config)), ...(await packageInputs(stage.plan)) } : {}),
    [MORE_TO_COME]: String(isShellHandedOn(cut, stage.plan)),
    ...ownInputs(),
  });
}

/** Whether a step that begins with the shell of the one before comes after a cut. */
export function isShellHandedOn(cut: StepGroup, { stageTwo }: BuildPlan): boolean {
  return stageTwo.slice(stageTwo.findIndex(({ step }) => step === cut.step) + 1).some(hasShell);
}

/** All inputs of the bootstrap. */
export async function bootstrapLayerInputs(config: Config, origin: Origin, seal: Seal): Promise<Record<string, string>> {
  return seal.inputs({ ...(await bootstrapInputs(config, origin)), ...ownInputs() });
}

function ownInputs(): Record<string, string> {
  return { format: String(LAYER_FORMAT), 'the version of the builder': version };
}

/** What takes the secrets of a build out of the inputs of its layers. A default is no secret. */
export async function makeSeal(evaluation: Evaluation): Promise<Seal> {
  const secrets = [...evaluation.variables].filter(([key]) => isSecret(key));
  const words = secrets.flatMap(([key, { values }]) => values.filter((value) => value !== findSetting(key)?.fallback));
  const own = [...evaluation.declared].filter(([name]) => isSecret(name)).flatMap(([, line]) => valuesIn(line));
  return new Seal(await readSalt(paths.cache), isSecret, [...words, ...own]);
}

/** The values in a line of bash's `declare -p`, as they are and as they stand in double quotes. */
function valuesIn(line: string): string[] {
  const texts = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map(([, text = '']) => text);
  return texts.flatMap((text) => [text, text.replace(/\\([\\"$`])/g, '$1')]);
}

/** What the cuts of a build have in common. */
export function buildInputs(stage: BuildFacts, evaluation: Evaluation, sources: StepTexts, seal: Seal, hasConfig: boolean): BuildInputs {
  const { config, customisation } = stage.plan;
  const environment = {
    'apt signed-by': signedBy(config.keyring),
    network: String(config.network),
    'release date': String(stage.releaseDate),
  };
  const packagesNameProject = customisation.localPackages.some(({ namesProject }) => namesProject);
  return { hasConfig, config, evaluation, sources, settings: finalSettings(stage), environment, seal, packagesNameProject };
}

/** Whether a step of the cut says that it runs in every build. */
export async function runsAlways(cut: StepGroup, evaluation: Evaluation, sources: StepTexts): Promise<boolean> {
  const names = words(evaluation.variables.get('NOCACHE_STEPS'));
  const texts = await Promise.all(cut.steps.map((step) => (hasShell(step) ? sources.textOf(step.module) : '')));
  return cut.steps.some((step, at) => mustRun(step, texts[at] ?? '', names));
}

/** What a layer's steps have looked up, and would find otherwise now; or that they had no network, and would have it now. */
export async function layerFault({ meta }: Layer, sources: StepTexts, { request }: BuildContext): Promise<string | undefined> {
  if (meta.facts.offline === 'yes' && !request.offline) return 'it was run with --offline';
  for (const [read, was] of Object.entries(meta.reads)) {
    const now = await sources.lookUp(read);
    if (now !== was) return `${read} ${now === 'missing' ? 'is gone' : was === 'missing' ? 'is new' : 'has changed'}`;
  }
  return undefined;
}

/** What the package step takes from the project beside build.conf. */
async function packageInputs({ customisation }: BuildPlan): Promise<Record<string, string>> {
  const { localPackages, archives } = customisation;
  const inputs: Record<string, string> = {};
  for (const { file, name, version, arch, sha256 } of localPackages) inputs[file] = `${name} ${version} ${arch} ${sha256}`;
  for (const { name, text } of archives.sources) inputs[`config/archives: ${name}`] = text;
  for (const { name, file } of [...archives.keys, ...archives.pins])
    inputs[`config/archives: ${name}`] = await sha256File(await linkFree(`${paths.project}/${file}`));
  return inputs;
}

/** What prepare.sh writes into the tree. */
async function prepareInputs(config: Config): Promise<Record<string, string>> {
  const keys: string[] = [];
  for (const key of config.extraSources.keys) keys.push(`${key} ${await sha256File(await linkFree(`${paths.project}/${key}`))}`);
  return {
    'extra sources': config.extraSources.text,
    'extra keys': keys.join('\n'),
    'extra pins': config.extraPins,
    'the keyring': config.keyring === DEBIAN_KEYRING ? '' : await sha256File(await realpath(config.keyring)),
  };
}
