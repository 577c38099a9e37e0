import { describe, expect, test } from 'vitest';
import {
  type BuildInputs,
  cutSteps,
  inputsOf,
  mustRun,
  saysNoCache,
  seesProject,
  WHOLE_PROJECT,
} from '../../../../src/builder/layers/step-groups.ts';
import type { StepOrigin, StepPlan } from '../../../../src/builder/model/plan.ts';
import type { StepTexts } from '../../../../src/builder/project/step-texts.ts';
import type { Config } from '../../../../src/config/config.ts';
import type { Evaluation } from '../../../../src/config/evaluate.ts';
import { Seal } from '../../../../src/store/seal.ts';
import { blankEvaluation } from '../../../helpers/blank.ts';

const step = (name: string, origin: StepOrigin = 'project'): StepPlan => ({
  step: name,
  module: { name: name.replace(/^\w+\//, ''), origin },
});

test.each<[string, string[], Record<string, string[]>]>([
  ['the packages alone', ['packages'], { packages: ['packages'] }],
  ['all up to the packages share a layer', ['overlay', 'pre/a', 'packages'], { packages: ['overlay', 'pre/a', 'packages'] }],
  ['later each has its own', ['packages', 'post/a', 'hook/b'], { packages: ['packages'], 'post/a': ['post/a'], 'hook/b': ['hook/b'] }],
  ['also two of one name', ['packages', 'post/a', 'post/a#2'], { packages: ['packages'], 'post/a': ['post/a'], 'post/a#2': ['post/a#2'] }],
])('%s', (_, steps, groups) => {
  const cut = cutSteps(steps.map((name) => step(name)));
  expect(cut.map((group) => [group.step, group.steps.map((each) => each.step)])).toEqual(Object.entries(groups));
});

test.each<[string, string, string[], boolean]>([
  ['nothing says so', 'true\n', [], false],
  ['its text', 'true\n  #cache:no  \n', [], true],
  ['not as a part of a line', 'true # cache: no\n', [], false],
  ['nor with more behind it', '# cache: no more\n', [], false],
  ['its step', 'true\n', ['post/a'], true],
  ['its module', 'true\n', ['a'], true],
  ['another step of its name', 'true\n', ['pre/a'], false],
])('whether a step runs in every build: %s', (_, text, names, runs) => {
  expect(mustRun(step('post/a'), text, names)).toBe(runs);
  expect(saysNoCache(text)).toBe(runs && names.length === 0);
});

/** What a build knows, but for what a test says otherwise. */
interface Known {
  readonly texts?: Readonly<Record<string, string>>;
  readonly evaluation?: Partial<Evaluation>;
  readonly settings?: Readonly<Record<string, string>>;
  readonly sources?: Partial<StepTexts>;
  readonly build?: Partial<BuildInputs>;
}

/** build.conf as bash prints it, with these lines. */
const whole = (...lines: string[]): string => `__realmfs_whole ()\n{\n${lines.map((line) => `    ${line}\n`).join('')}}`;
const declared = (values: Readonly<Record<string, string>>): Evaluation['declared'] => new Map(Object.entries(values));
const bodies = (...names: string[]): Evaluation['bodies'] => new Map(names.map((name) => [name, `${name} () \n{ \n    true\n}`]));

function known({ texts = {}, evaluation = {}, settings = {}, sources = {}, build = {} }: Known): BuildInputs {
  const read: StepTexts = {
    textOf: async ({ name }) => texts[name] ?? '',
    filesOf: async ({ name }) => ({ [`${name}/file`]: 'digest' }),
    projectModules: async () => [],
    calledText: async () => '',
    lookUp: async () => 'missing',
    everything: async () => 'all of it',
    program: async () => 'program',
    framework: 'framework',
    filesNameProject: async () => false,
    ...sources,
  };
  return {
    hasConfig: true,
    config: { packages: ['less'], preModules: [{ name: 'a' }], postModules: [{ name: 'b' }] } as unknown as Config,
    evaluation: { ...blankEvaluation, whole: whole(''), ...evaluation },
    sources: read,
    settings,
    environment: {},
    seal: new Seal(Buffer.from('salt'), () => false, []),
    packagesNameProject: false,
    ...build,
  };
}

const inputs = (of: StepPlan, what: Known, handedOn = ''): Promise<Record<string, string>> =>
  inputsOf({ steps: [of], step: of.step }, known(what), handedOn);

test('what is only copied depends on its entries, the builder and the time stamp', async () => {
  const what: Known = { evaluation: { declared: declared({ A: 'declare -- A="1"' }) }, settings: { A: '1', SOURCE_DATE_EPOCH: '7' } };
  expect(await inputs(step('overlay', 'folder'), what, 'REALMFS_PROJECT')).toEqual({
    'the builder': 'framework',
    'the order of the steps': 'overlay',
    'overlay/file': 'digest',
    'setting SOURCE_DATE_EPOCH': '7',
  });
});

test('what runs depends on its text, variables, settings and the shell', async () => {
  const what: Known = {
    texts: { a: 'one\n' },
    evaluation: { declared: declared({ A: 'declare -- A="1"' }), bodies: bodies('one', 'two'), shell: 'umask 022' },
    settings: { B: '2', IMAGE_TARGETS: 'ext4' },
    build: { environment: { network: 'true' } },
  };
  expect(await inputs(step('post/a'), what)).toEqual({
    'the builder': 'framework',
    'the order of the steps': 'post/a',
    'a/file': 'digest',
    'step post/a': 'project\none\n',
    'function one': 'one () \n{ \n    true\n}',
    'variable A': 'declare -- A="1"',
    'setting B': '2',
    'setting network': 'true',
    'the shell that build.conf leaves': 'umask 022',
  });
});

describe('what the text of a step brings among its inputs', () => {
  const evaluation: Partial<Evaluation> = {
    bodies: bodies('one', 'two'),
    declared: declared({ IMAGE_TARGETS: 'declare -- IMAGE_TARGETS="ext4"', EXPORTED: 'declare -x EXPORTED="1"' }),
  };
  const settings = { IMAGE_TARGETS: 'ext4', PACKAGES: 'less', PRE_INSTALL_MODULES: 'a' };
  const always = ['variable EXPORTED'];
  const targets = ['setting IMAGE_TARGETS', 'variable IMAGE_TARGETS'];
  const lists = ['modules', 'packages', 'setting PACKAGES', 'setting PRE_INSTALL_MODULES'];
  const functions = ['function one', 'function two'];
  const LINES = 'the lines of the project';

  test.each<[text: string, names: string[]]>([
    ['true', []],
    ['one', ['function one']],
    ['none one-more done', []],
    ['on\\\ne', ['function one']],
    ['echo $IMAGE_TARGETS', targets],
    ['echo $IMAGE_\\\nTARGETS', targets],
    ['echo $PACKAGES', ['packages', 'setting PACKAGES']],
    ['echo $PRE_INSTALL_MODULES', ['modules', 'setting PRE_INSTALL_MODULES']],
    ['declare -p', [...targets, ...lists]],
    ['env', [...targets, ...lists]],
    ['"$x"', [...targets, ...lists, ...functions]],
    ['eval "$x"', [...targets, ...lists, ...functions]],
    ['trap "$x" EXIT', functions],
    ['echo $LINENO', [LINES]],
    ['echo $REALMFS_PROJECT', [WHOLE_PROJECT]],
    ['ls /dev/realmfs/lib', []],
    ['ls /dev/realmfs', [WHOLE_PROJECT]],
  ])('%j', async (text, names) => {
    const without = Object.keys(await inputs(step('post/a'), { texts: { a: '' }, evaluation, settings }));
    const found = Object.keys(await inputs(step('post/a'), { texts: { a: text }, evaluation, settings }));
    expect(without).toEqual(expect.arrayContaining(always));
    expect(found).toEqual(expect.arrayContaining(without));
    expect(found.filter((name) => !without.includes(name)).sort()).toEqual([...names].sort());
  });
});

test('a long text counts by its digest, and a hook by its path, too', async () => {
  const long = await inputs(step('post/a'), { texts: { a: 'x'.repeat(70_000) } });
  expect(long['step post/a']).toMatch(/^[0-9a-f]{64}$/);
  const hook = await inputs(step('hook/a', 'hook'), { texts: { a: '#!/bin/sh\n' } });
  expect(hook['step hook/a']).toBe('hook a\n#!/bin/sh\n');
});

test('the packages count for their step, whatever its text is', async () => {
  expect((await inputs(step('packages', 'built-in'), {})).packages).toBe('less');
  expect((await inputs(step('post/a'), {})).packages).toBeUndefined();
});

test('the program counts where a built-in module puts it into the image', async () => {
  const texts = { a: 'cp -r /dev/realmfs/lib/program /opt\n' };
  expect((await inputs(step('post/a', 'built-in'), { texts }))['the program']).toBe('program');
  expect((await inputs(step('post/a', 'built-in'), {}))['the program']).toBeUndefined();
});

test.each<[string, string[], [string | undefined, string | undefined]]>([
  ['assignments', ['A=1'], [undefined, undefined]],
  ['one that expands something', ['A=$B'], [undefined, 'A=$B']],
  ['a command', ['umask 022'], ['umask 022', undefined]],
])('the top level of build.conf: %s', async (_, lines, [commands, expansions]) => {
  const found = await inputs(step('post/a'), { evaluation: { whole: whole(...lines) } });
  expect([found['commands at the top level of build.conf'], found['what build.conf expands at its top level']]).toEqual([
    commands,
    expansions,
  ]);
});

describe('who sees the project', () => {
  const names = 'ls "$REALMFS_PROJECT"';
  const variable = (text: string): Partial<Evaluation> => ({ declared: declared({ A: text }) });
  test.each<[string, StepPlan, Known, string, boolean]>([
    ['nobody', step('post/a'), {}, '', false],
    ['whose text names it', step('post/a'), { texts: { a: names } }, '', true],
    ['nobody by the text of another step', step('post/a'), { texts: { b: names } }, '', false],
    ['a hook whose bytes name it', step('hook/a', 'hook'), { texts: { a: names } }, '', true],
    ['no built-in module', step('post/a', 'built-in'), { texts: { a: names } }, '', false],
    ['who can call a function that does', step('post/a'), { texts: { a: 'f' }, evaluation: { bodies: new Map([['f', names]]) } }, '', true],
    ['who cannot', step('post/a'), { texts: { a: 'g' }, evaluation: { bodies: new Map([['f', names]]) } }, '', false],
    [
      'who calls modules, if one does',
      step('post/a'),
      { texts: { a: 'module x' }, sources: { projectModules: async () => [names] } },
      '',
      true,
    ],
    ['who calls none', step('post/a'), { sources: { projectModules: async () => [names] } }, '', false],
    ['who begins with a shell that names it', step('post/a'), {}, names, true],
    ['nothing that is only copied', step('overlay', 'folder'), { sources: { filesNameProject: async () => true } }, names, false],
    ['all, if a variable names it', step('post/a'), { evaluation: variable('declare -- A="/dev/realmfs/project/x"') }, '', true],
    [
      'none by the variable itself',
      step('post/a'),
      { evaluation: variable('declare -x REALMFS_PROJECT="/dev/realmfs/project"') },
      '',
      false,
    ],
    ['all, if a file names it', step('post/a'), { sources: { filesNameProject: async () => true } }, '', true],
    ['all, if build.conf runs a program', step('post/a'), { evaluation: { whole: whole('A=$(date)') } }, '', true],
    ['all, if bash could not print build.conf', step('post/a'), { evaluation: { whole: '' } }, '', true],
    ['nobody of the base image', step('post/a'), { evaluation: { whole: '' }, build: { hasConfig: false } }, '', false],
    ['the packages, if one of the project names it', step('packages', 'built-in'), { build: { packagesNameProject: true } }, '', true],
    ['no other step by such a package', step('post/a'), { build: { packagesNameProject: true } }, '', false],
  ])('%s', async (_, of, what, handedOn, sees) => {
    expect(await seesProject([of], known(what), handedOn)).toBe(sees);
    expect((await inputs(of, what, handedOn))[WHOLE_PROJECT]).toBe(sees ? 'all of it' : undefined);
  });
});
