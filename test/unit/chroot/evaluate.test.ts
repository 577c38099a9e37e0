import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type Evaluation, parseEvaluation, settingsAfter, settingsBefore, unknownOverrides } from '../../../src/config/evaluate.ts';
import { settingKeys } from '../../../src/config/settings.ts';
import type { BuildRequest } from '../../../src/messages/request.ts';
import { bash, chrootScripts } from '../../helpers/chroot-scripts.ts';

type Given = Partial<Pick<BuildRequest, 'envFile' | 'environment' | 'overrides'>>;

/** What evaluate.sh reports of a build.conf. */
function evaluated(conf: string, given: Given = {}): Evaluation & { request: BuildRequest } {
  const run = chrootScripts();
  const request = { configName: 'build.conf', envFile: {}, environment: {}, overrides: {}, ...given } as BuildRequest;
  writeFileSync(path.join(run, 'project/build.conf'), conf);
  writeFileSync(path.join(run, 'lib/settings-before.sh'), settingsBefore(request));
  writeFileSync(path.join(run, 'lib/settings-after.sh'), settingsAfter(request));
  const script =
    'export REALMFS_PROJECT=$1/project; run=$1; shift; exec bash "$run/lib/chroot/evaluate.sh" build.conf "$run/out/said" "$@"';
  const result = bash(script, run, ...settingKeys);
  expect(result.stderr).toBe('');
  const evaluation = parseEvaluation(readFileSync(path.join(run, 'out/said')));
  if (evaluation === undefined) throw new Error('not complete');
  return { ...evaluation, request };
}

test('what build.conf has said, kept and left alone', () => {
  const { said } = evaluated(
    `NETWORK=off
DEBIAN_RELEASE=bookworm
: "\${REALMFS_NAME:=x}" "\${REALMFS_HOSTNAME:=x}"
unset IMAGE_TARGETS
PACKAGES=()
BASE_PACKAGES+=' more'
export DEBIAN_COMPONENTS
`,
    { environment: { REALMFS_HOSTNAME: 'h', IMAGE_TARGETS: 'ext4', DEBIAN_COMPONENTS: 'main' }, envFile: { DEBIAN_RELEASE: 'trixie' } },
  );
  expect(Object.fromEntries(said)).toEqual({
    NETWORK: 'changed',
    DEBIAN_RELEASE: 'changed',
    REALMFS_NAME: 'changed',
    REALMFS_HOSTNAME: 'kept',
    PACKAGES: 'changed',
    BASE_PACKAGES: 'changed',
    BASE_PRE_INSTALL_MODULES: 'kept',
    BASE_POST_INSTALL_MODULES: 'kept',
    DEBIAN_COMPONENTS: 'kept',
  });
});

test('base lists as the profile and the suite make them', () => {
  const { bases, variables } = evaluated('REALMFS_PROFILE=minimal\nBASE_POST_INSTALL_MODULES=\nPACKAGES="a b"\n');
  expect(bases.get('BASE_PACKAGES')).toEqual([
    'iproute2',
    'less',
    'xz-utils',
    'sudo',
    'dbus',
    'libpam-systemd',
    'openssh-client',
    'bash-completion',
  ]);
  expect(bases.get('BASE_POST_INSTALL_MODULES')).toEqual([]);
  expect(variables.get('PACKAGES')?.values).toEqual([`${bases.get('BASE_PACKAGES')?.join(' ')} a b`]);
  expect(evaluated('').bases.get('BASE_PACKAGES')).toContain('fonts-roboto-unhinted');
});

test.each([
  ['MINE=1\n', []],
  [': "${MINE:=1}"\n', []],
  ['echo "$MINE" >/dev/null\n', ['MINE']],
  ['OTHER=1\n', ['MINE']],
])('--set MINE=2 with %j', (conf, unknown) => {
  const { request, ...evaluation } = evaluated(conf, { overrides: { MINE: '2' } });
  expect(unknownOverrides(request, evaluation, conf)).toEqual(unknown);
});

test('only variables of build.conf are names', () => {
  const { names } = evaluated('MINE=1\nNETWORK=off\n', { environment: { REALMFS_NAME: 'x' } });
  expect([...names].filter((name) => name.startsWith('__realmfs'))).toEqual([]);
  expect([...names]).toEqual(expect.arrayContaining(['MINE', 'NETWORK']));
  expect(names.has('REALMFS_NAME')).toBe(false);
});
