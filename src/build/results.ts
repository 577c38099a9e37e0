import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { keyOf } from '../store/layers.ts';
import { type BuildContext, paths } from './context.ts';
import type { Sources } from './cuts.ts';
import { manifestInputs } from './manifest.ts';
import { ownSettings, type Stage } from './stage.ts';

/** The key of what comes out of a build: the tree, the targets, and what stands in the manifest. Empty: it cannot be told. */
export async function resultsKey(stage: Stage, top: string, sources: Sources, ctx: BuildContext): Promise<string> {
  if (top === '') return '';
  const { config } = stage.plan;
  const { packages: _, preModules: __, postModules: ___, ...rest } = config;
  return keyOf({
    top,
    framework: sources.framework,
    version: ctx.request.version,
    config: JSON.stringify({ ...rest, raw: undefined }),
    own: JSON.stringify({ ...ownSettings(stage), epoch: stage.sourceDateEpoch, mirrors: [stage.mirror, stage.securityMirror] }),
    manifest: JSON.stringify(await manifestInputs(stage, ctx)),
    keepRootfs: String(ctx.request.keepRootfs),
  });
}

/** Whether the output folder holds the results of this key, untouched. */
export async function isUpToDate(key: string, ctx: BuildContext): Promise<boolean> {
  const { request } = ctx;
  // What lies below the tree's own folder is not compared.
  if (key === '' || request.noCache || request.rebuildFrom !== '' || request.keepRootfs) return false;
  try {
    const known = JSON.parse(await readFile(path.join(paths.layers, 'results', request.output), 'utf8'));
    return known.key === key && JSON.stringify(known.results) === JSON.stringify(request.results) && request.results.length > 0;
  } catch {
    return false;
  }
}
