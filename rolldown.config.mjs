import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'rolldown';

const packages = new Set();
/**
 * What main.ts imports, and what that imports, is one file: every command needs it. main.ts itself is another one: it waits for the
 * commands, which would wait for it.
 */
const main = {
  codeSplitting: { groups: [{ name: (id, graph) => (reached('src/main.ts', graph).has(id) ? 'common' : null), debugName: 'common' }] },
};
const single = { codeSplitting: false };
/** The programs and threads. Node looks up, links and starts each file by itself, so that few large ones start sooner than many small ones. */
const programs = { cli: main, builder: single, 'file-list': single, 'tree-thread': single };

/**
 * The compiled program: one file for each part that is started or loaded by itself. A start reads
 * a few files instead of hundreds, which halves the time it takes, and an image that holds the
 * builder needs no node_modules. The licences of what is bundled go with it.
 */
export default defineConfig(
  Object.entries(programs).map(([name, splitting], at, all) => ({
    input: { [name]: `src/${name}.ts` },
    platform: 'node',
    plugins: [licences(at === all.length - 1)],
    output: { dir: 'dist', format: 'esm', cleanDir: at === 0, sourcemap: true, chunkFileNames: '[name].js', ...splitting },
  })),
);

/** The modules that one imports, and those that they import. */
function reached(file, graph) {
  const importedBy = (id) => graph.getModuleInfo(id)?.importedIds ?? [];
  const ids = new Set(importedBy(path.resolve(file)));
  for (const id of ids) for (const next of importedBy(id)) ids.add(next);
  return ids;
}

/** Writes dist/LICENSES.txt after the last program: the text of every package whose code is in a bundle. */
function licences(isLast) {
  return {
    name: 'licences',
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter(({ type }) => type === 'chunk');
      for (const folder of chunks.flatMap(({ moduleIds }) => moduleIds.map(packageFolder))) if (folder !== undefined) packages.add(folder);
      if (!isLast) return;
      const texts = [...packages].sort().map((folder) => {
        const { name, version, license } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
        const file = ['license', 'LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE'].find((each) => existsSync(path.join(folder, each)));
        const text = file === undefined ? '(The package has no text of it.)' : readFileSync(path.join(folder, file), 'utf8').trim();
        return `${name} ${version}: ${license}\n\n${text}\n`;
      });
      this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join('\n----\n\n') });
    },
  };
}

/** The folder of the npm package that a module belongs to. */
function packageFolder(id) {
  return /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
}
