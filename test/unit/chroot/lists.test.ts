import { describe, expect, test } from 'vitest';
import { bash, chrootScripts, load, records } from '../../helpers/chroot-scripts.ts';

const defaults = "__realmfs_default PACKAGES ''; __realmfs_default PRE_INSTALL_MODULES ''; __realmfs_default POST_INSTALL_MODULES ''";

/** The lists after build.conf has been sourced and the base lists have joined them. */
function joined(conf: string) {
  const run = chrootScripts();
  const show =
    'for name in PACKAGES PRE_INSTALL_MODULES POST_INSTALL_MODULES; do declare -n list=$name; printf "%s:%s:%s\\n" "${list@a}" "${#list[@]}" "${list[*]}"; done';
  const { stdout, stderr } = bash(`${load}\n${conf}\n: "\${DEBIAN_RELEASE:=trixie}"; ${defaults}\n__realmfs_join_lists\n${show}`, run);
  return { lines: stdout.trimEnd().split('\n'), stderr, fatal: records(run)[0]?.[1] };
}

const minimalPackages = 'iproute2 less xz-utils sudo dbus libpam-systemd openssh-client bash-completion';
const pre = 'utility-library configure-locale create-user set-hostname no-install-recommends write-apt-sources';

describe('how base lists and those of the user join', () => {
  test('a string stays a string, an array an array of words', () => {
    const conf =
      'BASE_PACKAGES="x y"; BASE_PRE_INSTALL_MODULES=(p q); BASE_POST_INSTALL_MODULES=; PACKAGES=(a "b c"); PRE_INSTALL_MODULES="r"; POST_INSTALL_MODULES=(s)';
    expect(joined(conf)).toMatchObject({ lines: ['a:5:x y a b c', ':1:p q r', 'a:1:s'], stderr: '' });
  });

  test.each([
    ['an empty user list', 'PACKAGES=', 'x y'],
    ['an empty array', 'PACKAGES=()', 'x y'],
    ['an exported one', 'export PACKAGES=a', 'x y a'],
    ['lines, tabs and comments of nobody', "PACKAGES=$'\\n a\\t#b\\n'", 'x y a #b'],
    ['words that look like patterns', "PACKAGES='* [a] ?'", 'x y * [a] ?'],
    ['another IFS', 'PACKAGES="a b"; IFS=,', 'x y a b'],
    ['a package of the base twice', 'PACKAGES="y"', 'x y y'],
    ['a version', 'PACKAGES="a=1:2-3 b/trixie c-"', 'x y a=1:2-3 b/trixie c-'],
  ])('%s', (_, conf, expected) => {
    const { lines, stderr } = joined(`BASE_PACKAGES="x y"; ${conf}`);
    expect(stderr).toBe('');
    // The join stands behind the attributes and the count; IFS is the one of the user.
    expect(lines[0]?.replace(/^[^:]*:\d+:/, '').replaceAll(',', ' ')).toBe(expected);
  });

  test('a readonly list is an error, not a build without the base', () => {
    expect(joined('readonly PACKAGES=a').fatal).toBe('build.conf: PACKAGES is readonly, so that the base list cannot join it');
    expect(joined('declare -ra POST_INSTALL_MODULES=(a)').fatal).toMatch(/^build\.conf: POST_INSTALL_MODULES is readonly/);
  });
});

describe('profiles', () => {
  const list = (conf: string, index: number): string => joined(conf).lines[index]?.replace(/^[^:]*:\d+:/, '') ?? '';

  test.each([
    ['minimal', 'REALMFS_PROFILE=minimal', minimalPackages],
    ['minimal, with an addition as a string', 'REALMFS_PROFILE=minimal; BASE_PACKAGES+=" tmux"', `${minimalPackages} tmux`],
    [
      'minimal, with an addition before the profile is chosen',
      'BASE_PACKAGES+=" tmux"; REALMFS_PROFILE=minimal',
      `${minimalPackages} tmux`,
    ],
    ['minimal, with a list of its own', 'REALMFS_PROFILE=minimal; BASE_PACKAGES="one two"', 'one two'],
    ['minimal, with an empty list', 'REALMFS_PROFILE=minimal; BASE_PACKAGES=', ''],
    ['minimal, with an empty array', 'REALMFS_PROFILE=minimal; BASE_PACKAGES=()', ''],
    ['minimal, with a list that begins like the default', 'REALMFS_PROFILE=minimal; BASE_PACKAGES="iproute2 less"', 'iproute2 less'],
    ['minimal on bookworm has no font', 'REALMFS_PROFILE=minimal; DEBIAN_RELEASE=bookworm', minimalPackages],
  ])('%s', (_, conf, expected) => {
    expect(list(conf, 0)).toBe(expected);
  });

  test('the modules', () => {
    expect(list('REALMFS_PROFILE=minimal', 1)).toBe(pre);
    expect(list('', 1)).toBe(pre);
    expect(list('REALMFS_PROFILE=minimal; POST_INSTALL_MODULES=mine', 2)).toBe('loginctl-enable-linger configure-systemd mine');
  });

  test.each([
    ['bullseye', 'fonts-roboto-hinted'],
    ['bookworm', 'fonts-roboto-hinted'],
    ['trixie', 'fonts-roboto-unhinted'],
    ['forky', 'fonts-roboto-unhinted'],
    ['sid', 'fonts-roboto-unhinted'],
  ])('the font of %s is %s', (release, font) => {
    expect(
      list(`DEBIAN_RELEASE=${release}`, 0)
        .split(' ')
        .filter((name) => name.startsWith('fonts-')),
    ).toEqual([font]);
  });

  test('a package that the user names is not renamed', () => {
    expect(list('BASE_PACKAGES=; PACKAGES=fonts-roboto-hinted', 0)).toBe('fonts-roboto-hinted');
  });
});
