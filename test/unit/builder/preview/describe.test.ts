import { describe, expect, test } from 'vitest';
import { planBuild } from '../../../../src/builder/model/plan.ts';
import { describePlan, originOf, type PlanInput } from '../../../../src/builder/preview/describe.ts';
import type { Evaluation } from '../../../../src/config/evaluate.ts';
import { PLAN_VERSION, planReport, planSchema } from '../../../../src/messages/plan.ts';
import type { BuildRequest } from '../../../../src/messages/request.ts';
import { blankEvaluation, blankRequest } from '../../../helpers/blank.ts';
import { configWith } from '../../../helpers/config.ts';

const request: BuildRequest = {
  ...blankRequest,
  configName: 'build.conf',
  hasProject: true,
  version: '0',
};

const evaluation: Evaluation = blankEvaluation;

describe('where a value comes from', () => {
  const text = 'A=1\n\n  NETWORK=off\n';
  const given = { envFile: { NETWORK: 'x' }, environment: { NETWORK: 'x' }, overrides: { NETWORK: 'x' } };
  const { overrides: _, ...withoutOption } = given;

  test.each([
    ['an option wins', given, 'changed', { origin: 'option', from: 'option' }],
    ['then build.conf', withoutOption, 'changed', { origin: 'config', from: 'build.conf:3', line: 3 }],
    ['then the environment', withoutOption, 'kept', { origin: 'environment', from: 'environment' }],
    ['then realmfs.env', { envFile: given.envFile }, 'kept', { origin: 'realmfs.env', from: 'realmfs.env' }],
    ['then the default', {}, undefined, { origin: 'default', from: 'default' }],
    ['what build.conf has unset is the default again', withoutOption, undefined, { origin: 'default', from: 'default' }],
  ] as const)('%s', (_name, changes, said, expected) => {
    const heard: Evaluation = { ...evaluation, said: new Map(said === undefined ? [] : [['NETWORK', said]]) };
    expect(originOf('NETWORK', { request: { ...request, ...changes }, evaluation: heard, text })).toEqual(expected);
  });

  test('in a file that build.conf sources there is no line', () => {
    const heard: Evaluation = { ...evaluation, said: new Map([['REALMFS_NAME', 'changed']]) };
    expect(originOf('REALMFS_NAME', { request, evaluation: heard, text })).toEqual({ origin: 'config', from: 'build.conf' });
  });

  test('the cache folder does not pass through build.conf', () => {
    const changes = { environment: { REALMFS_CACHE_DIR: '/c' } };
    expect(originOf('REALMFS_CACHE_DIR', { request: { ...request, ...changes }, evaluation, text })).toMatchObject({ from: 'environment' });
  });
});

const config = configWith({
  targets: ['ext4'],
  packages: ['less', 'nginx'],
  preModules: [{ name: 'set-hostname', origin: 'function' }],
  postModules: [{ name: 'mine', origin: 'project' }],
  raw: { PACKAGES: 'less nginx', DEBIAN_RELEASE: 'trixie', REALMFS_USER_PASSWORD: 'hush' },
});

function input(changes: Partial<PlanInput> = {}): PlanInput {
  return {
    request: { ...request, overrides: { MY_TOKEN: 'hush', MINE: 'http://me:hush@mirror.example/x' } },
    evaluation: {
      ...evaluation,
      variables: new Map([['PACKAGES', { type: 'array', values: ['less', 'nginx'] }]]),
      said: new Map([['PACKAGES', 'changed']]),
      bases: new Map([['BASE_PACKAGES', ['less']]]),
      functions: new Map([['set-hostname', { file: '/dev/realmfs/project/build.conf', line: 7 }]]),
    },
    plan: planBuild(config),
    mirrors: { main: 'http://me:hush@mirror.example/debian', security: 'http://mirror.example/debian-security' },
    hosts: [{ uri: 'http://me:hush@mirror.example/debian', release: 'x', origin: '', label: '' }],
    states: new Map([['pre/set-hostname', { cached: false, why: ['variable A was 1, is 2'] }]]),
    text: 'PACKAGES=(nginx)\n',
    modules: { project: ['set-hostname', 'mine'], builtIn: ['set-hostname', 'install-packages'] },
    ...changes,
  };
}

const find = (key: string, changes?: Partial<PlanInput>) => describePlan(input(changes)).settings.find((row) => row.key === key);

describe('a plan as data', () => {
  test('base lists stand under their own names, nothing secret is in it', () => {
    const planned = describePlan(input());
    expect(find('PACKAGES')).toEqual({ key: 'PACKAGES', value: ['nginx'], origin: 'config', from: 'build.conf:1', line: 1 });
    expect(find('BASE_PACKAGES')).toMatchObject({ value: ['less'], from: 'default' });
    expect(find('REALMFS_USER_PASSWORD')?.value).toBe('(hidden)');
    expect(find('MY_TOKEN')).toMatchObject({ value: '(hidden)', origin: 'option' });
    expect(find('MINE')?.value).toBe('http://***@mirror.example/x');
    expect(JSON.stringify(planned)).not.toContain('hush');
    expect(planned.packages).toEqual(['less', 'nginx']);
    expect(planned.targets).toEqual([{ name: 'ext4', file: 'citadel-realmfs.ext4' }]);
  });

  test('mirrors that were looked up', () => {
    expect(find('DEBIAN_MIRROR')).toMatchObject({ from: "the host's apt", value: 'http://***@mirror.example/debian' });
    expect(find('DEBIAN_IMAGE_MIRROR')).toMatchObject({ from: 'DEBIAN_MIRROR', value: 'http://***@mirror.example/debian' });
    expect(find('DEBIAN_SECURITY_MIRROR')).toMatchObject({ from: 'DEBIAN_MIRROR', origin: 'derived' });
    const hosts = [{ uri: 'http://mirror.example/debian-security', release: 'x', origin: '', label: '' }];
    expect(find('DEBIAN_SECURITY_MIRROR', { hosts })).toMatchObject({ from: "the host's apt", origin: 'host' });
    expect(find('DEBIAN_MIRROR', { mirrors: { main: '', security: '' } })).toMatchObject({ from: "debootstrap's default", value: '' });
    const own = planBuild({ ...config, mirror: 'http://a.example/debian', raw: { DEBIAN_MIRROR: 'http://a.example/debian' } });
    expect(find('DEBIAN_MIRROR', { plan: own })).toMatchObject({ from: 'default', value: 'http://a.example/debian' });
    expect(find('DEBIAN_SECURITY_MIRROR', { plan: own, hosts })).toMatchObject({ from: 'DEBIAN_MIRROR' });
  });

  test('steps, and what their modules are run in place of', () => {
    const unknown = { cached: null, why: [] };
    expect(describePlan(input()).steps).toEqual([
      { step: 'config', origin: 'builder', from: 'build.conf', overrides: [], ...unknown },
      { step: 'bootstrap', origin: 'builder', from: 'builder', overrides: [], ...unknown },
      {
        step: 'pre/set-hostname',
        origin: 'function',
        from: 'function, build.conf:7',
        module: 'set-hostname',
        overrides: ['realmfs-modules/set-hostname', 'built-in'],
        cached: false,
        why: ['variable A was 1, is 2'],
      },
      { step: 'packages', origin: 'built-in', from: 'built-in', module: 'install-packages', overrides: [], ...unknown },
      { step: 'post/mine', origin: 'project', from: 'realmfs-modules/mine', module: 'mine', overrides: [], ...unknown },
      { step: 'finalize', origin: 'builder', from: 'builder', overrides: [], ...unknown },
      { step: 'target/ext4', origin: 'builder', from: 'citadel-realmfs.ext4', overrides: [], ...unknown },
      { step: 'manifest', origin: 'builder', from: 'builder', overrides: [], ...unknown },
    ]);
  });

  test('the report has the promised form, its version first', () => {
    const report = planReport(describePlan(input()), { config: '/p/build.conf', output: '/p/realmfs', warnings: ['w'] });
    expect(Object.keys(report)).toEqual([
      'version',
      'builder',
      'config',
      'output',
      'warnings',
      'settings',
      'steps',
      'packages',
      'files',
      'localPackages',
      'targets',
      'provides',
    ]);
    expect(report.version).toBe(PLAN_VERSION);
    expect(planSchema.strict().parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(planSchema.safeParse({ ...report, version: 2 }).success).toBe(false);
  });
});
