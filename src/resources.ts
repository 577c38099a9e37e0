import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The program's own folder: package.json, templates, realmfs-modules. */
export const programRoot = path.dirname(import.meta.dirname);

/** Where the builder's sandbox has its folders. */
export const SANDBOX = '/run/realmfs';

/** Where a step, and the evaluation of build.conf, finds the project (`project`), our scripts (`lib`), its input (`in`) and output (`out`). */
export const INSIDE = '/dev/realmfs';

const manifest: { version: string; engines: { node: string } } = JSON.parse(readFileSync(path.join(programRoot, 'package.json'), 'utf8'));

/** The version in package.json. */
export const version = manifest.version;

/** The oldest version of Node that will do: `20.19`. */
export const nodeFloor = manifest.engines.node.replace(/^>=/, '');
