import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig } from 'rolldown';

/**
 * The compiled program: one file for each part that is started or loaded by itself. A start reads
 * a few files instead of hundreds, which halves the time it takes, and an image that holds the
 * builder needs no node_modules. The licences of what is bundled go with it.
 */
export default defineConfig({
  input: { cli: 'src/cli.ts', builder: 'src/builder.ts', 'file-list': 'src/file-list.ts', 'tree-thread': 'src/tree-thread.ts' },
  platform: 'node',
  plugins: [licences()],
  output: { dir: 'dist', format: 'esm', cleanDir: true, sourcemap: true, chunkFileNames: '[name].js' },
});

/** Writes dist/LICENSES.txt: the text of every package whose code is in the bundle. */
function licences() {
  return {
    name: 'licences',
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter(({ type }) => type === 'chunk');
      const packages = new Set(chunks.flatMap(({ moduleIds }) => moduleIds.map(packageFolder)).filter((folder) => folder !== undefined));
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
