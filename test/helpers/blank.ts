import type { Evaluation } from '../../src/config/evaluate.ts';
import type { BuildRequest } from '../../src/messages/request.ts';

/** A request that asks for nothing in particular: the base image. */
export const blankRequest: BuildRequest = {
  configName: null,
  hasProject: false,
  outputNames: [],
  envFile: {},
  environment: {},
  overrides: {},
  project: '',
  keepRootfs: false,
  noCache: false,
  offline: false,
  memoryLimit: Number.MAX_SAFE_INTEGER,
  rebuildFrom: '',
  archiveAge: 3600,
  layersMaxSize: 0,
  shell: null,
  shellOnFailure: false,
  terminalSize: '',
  results: [],
  output: '',
  tmpfs: true,
  proxy: {},
  fetchTimeout: 60,
  version: '1.2.3',
};

/** What bash says of a build.conf that says nothing. */
export const blankEvaluation: Evaluation = {
  variables: new Map(),
  said: new Map(),
  bases: new Map(),
  names: new Set(),
  functions: new Map(),
  whole: '',
  declared: new Map(),
  bodies: new Map(),
  shell: '',
};
