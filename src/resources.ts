import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The program's own folder: package.json, templates, realmfs-modules. */
export const programRoot = path.dirname(import.meta.dirname);

/** Where the sandbox has its things; the same path in every namespace of a build. */
export const SANDBOX = '/run/realmfs';

const manifest: { version: string; engines: { node: string } } = JSON.parse(readFileSync(path.join(programRoot, 'package.json'), 'utf8'));

/** The version in package.json. */
export const version = manifest.version;

/** The oldest version of Node that will do: `20.19`. */
export const nodeFloor = manifest.engines.node.replace(/^>=/, '');
