import { expect, test } from 'vitest';
import { planBuild } from '../../../../src/builder/model/plan.ts';
import { configWith } from '../../../helpers/config.ts';

const module = (name: string) => ({ name, origin: 'function' as const });

test('the plan has its steps in order, and a second one of a name is numbered', () => {
  const config = configWith({
    targets: ['tarball', 'ext4'],
    preModules: ['x', 'x'].map(module),
    postModules: [{ name: 'x', origin: 'project' }],
  });
  expect(planBuild(config).steps).toEqual([
    'config',
    'bootstrap',
    'pre/x',
    'pre/x#2',
    'packages',
    'post/x',
    'finalize',
    'target/tarball',
    'target/ext4',
    'manifest',
  ]);
});

test('the plan of an image without modules and targets has five steps', () => {
  expect(planBuild(configWith()).steps).toEqual(['config', 'bootstrap', 'packages', 'finalize', 'manifest']);
});

test('modules of one name are counted for each list, and one may be called packages', () => {
  const plan = planBuild(configWith({ preModules: ['a', 'b', 'a', 'a'].map(module), postModules: ['a', 'packages'].map(module) }));
  expect(plan.stageTwo.map(({ step }) => step)).toEqual(['pre/a', 'pre/b', 'pre/a#2', 'pre/a#3', 'packages', 'post/a', 'post/packages']);
  expect(new Set(plan.steps).size).toBe(plan.steps.length);
});

test('the same config gives the same plan, and is not changed', () => {
  const frozen = Object.freeze(configWith({ targets: Object.freeze(['ext4']) }));
  expect(planBuild(frozen)).toEqual(planBuild(frozen));
});
