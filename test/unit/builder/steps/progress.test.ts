import { expect, test } from 'vitest';
import { aptProgress, BootstrapProgress } from '../../../../src/builder/steps/progress.ts';

test('the progress of debootstrap counts packages that are unpacked and configured', () => {
  const progress = new BootstrapProgress();
  const lines = [
    'I: Retrieving apt 1.0',
    'I: Validating apt 1.0',
    'I: Validating dpkg 1.2',
    'I: Extracting apt...',
    'I: Unpacking apt...',
    'I: Unpacking dpkg...',
    'I: Configuring apt...',
    'I: Configuring dpkg...',
  ];
  expect(lines.map((line) => progress.take(line)?.percent)).toEqual([null, null, null, undefined, 25, 50, 75, 100]);
});

test.each([
  ['I: Retrieving InRelease', { percent: null, text: 'fetching InRelease' }],
  ['I: Validating Packages', { percent: null, text: 'checking Packages' }],
  ['I: Resolving dependencies of required packages...', { percent: null, text: 'resolving dependencies' }],
  ['I: Unpacking the base system...', { percent: null, text: 'unpacking the' }],
  ['W: Retrieving x', undefined],
  ['I: Base system installed successfully.', undefined],
  ['', undefined],
])('the line %j of debootstrap shows the progress %j', (line, expected) => {
  expect(new BootstrapProgress().take(line)).toEqual(expected);
});

test('the progress of debootstrap is never above 100 %', () => {
  const progress = new BootstrapProgress();
  progress.take('I: Validating apt 1.0');
  const percents = ['Unpacking', 'Configuring', 'Configuring', 'Configuring'].map((verb) => progress.take(`I: ${verb} apt...`)?.percent);
  expect(percents).toEqual([50, 100, 100, 100]);
});

test.each([
  ['dlstatus:1:12.6:Retrieving file 1 of 2', { percent: 13, text: 'Retrieving file 1 of 2' }],
  ['pmstatus:man-db:40.0:Configuring man-db (amd64)', { percent: 40, text: 'Configuring man-db (amd64)' }],
  ['pmerror:x:1:y', undefined],
  ['dlstatus:3:99.6:Retrieving file 3 of 3 (0s remaining)', { percent: 100, text: 'Retrieving file 3 of 3 (0s remaining)' }],
  ['pmstatus:dpkg-exec:0.0:Running dpkg', { percent: 0, text: 'Running dpkg' }],
  ['pmstatus:libc6:50:a: b: c', { percent: 50, text: 'a: b: c' }],
  ['media-change: x:y', undefined],
  ['pmconffile:/etc/x:1:y', undefined],
  ['pmstatus:x:y:z', undefined],
])('the line %j of apt shows the progress %j', (line, expected) => {
  expect(aptProgress(line)).toEqual(expected);
});
