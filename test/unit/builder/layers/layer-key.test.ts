import { describe, expect, test } from 'vitest';
import { layerFault } from '../../../../src/builder/layers/layer-key.ts';
import type { BuildContext } from '../../../../src/builder/model/context.ts';
import type { Layer } from '../../../../src/store/layers.ts';
import { blankRequest } from '../../../helpers/blank.ts';
import { type Given, type LayerKeys, layerKeys } from '../../../helpers/layer-keys.ts';

/** A small project with a step of every kind. */
const project: Given = {
  files: {
    'build.conf': `# A small image
BASE_PACKAGES=''
BASE_PRE_INSTALL_MODULES=''
BASE_POST_INSTALL_MODULES=''
PACKAGES='less tree'
PRE_INSTALL_MODULES='early'
POST_INSTALL_MODULES='greet motd report set-hostname'
IMAGE_TARGETS=tarball
IMAGE_FREE_SPACE=1G
REALMFS_HOSTNAME=box
REALMFS_USER_PASSWORD=secret-one
GREETING=hello
early() {
    touch /early
}
greet() {
    write_greeting "$GREETING"
}
write_greeting() {
    echo "$1" >/greeting
}
motd() {
    install_file motd /etc/motd
}
unused() {
    touch /unused
}
`,
    'realmfs-modules/report': '# Lists the packages\ndpkg-query --list >/packages\n',
    'realmfs-files/motd': 'welcome\n',
    'notes/todo': 'nothing\n',
    'overlay/etc/issue': 'box\n',
    'config/preseed/answers.cfg': 'tzdata tzdata/Areas select Europe\n',
    'config/package-lists/tools.list.chroot': 'jq\n',
    'config/includes.chroot/etc/extra': 'extra\n',
    'hooks/chroot/50-last.chroot': '#!/bin/sh\ntouch /hook\n',
  },
  modes: { 'hooks/chroot/50-last.chroot': 0o755 },
  environment: {},
  overrides: {},
  mirror: 'http://mirror.example/debian',
  releaseDate: 1_700_000_000,
  handedOn: '',
  salt: 'salt'.padEnd(32),
};

/** Steps that share a layer with the packages: overlay, preseed, pre/early. */
const PACKAGES = ['packages'];
/** All that begins with build.conf and the shell of the step before. */
const SHELLS = ['packages', 'post/greet', 'post/motd', 'post/report', 'post/set-hostname', 'hook/50-last.chroot'];
/** What is only copied, too. */
const ALL = ['packages', 'includes.chroot', ...SHELLS.slice(1)];
const NONE: string[] = [];

type Edit = (given: Given) => void;

/** Replaces a part of a file, which must be there. */
const replace =
  (name: string, from: string, to: string): Edit =>
  ({ files }) => {
    const text = files[name] ?? '';
    if (!text.includes(from)) throw new Error(`${name} does not hold ${from}`);
    files[name] = text.replace(from, to);
  };
const conf = (from: string, to: string): Edit => replace('build.conf', from, to);
/** Adds lines at the end of a file, which need not be there. */
const add =
  (name: string, text: string): Edit =>
  ({ files }) => {
    files[name] = (files[name] ?? '') + text;
  };
const mode =
  (name: string, value: number): Edit =>
  ({ modes }) => {
    modes[name] = value;
  };
const remove =
  (name: string): Edit =>
  ({ files }) => {
    delete files[name];
  };
const option =
  (values: Record<string, string>): Edit =>
  ({ overrides }) =>
    void Object.assign(overrides, values);
const environment =
  (values: Record<string, string>): Edit =>
  (given) =>
    void Object.assign(given.environment, values);
const around =
  (values: Partial<Given>): Edit =>
  (given) =>
    void Object.assign(given, values);
const both =
  (...edits: Edit[]): Edit =>
  (given) => {
    for (const edit of edits) edit(given);
  };
const asItIs: Edit = () => {};

function edited(...edits: Edit[]): Given {
  const copy = structuredClone(project);
  for (const edit of edits) edit(copy);
  return copy;
}

/** The layers whose own key is another one, or that only one of two builds has. What lies on such a layer runs again with it. */
function changed(before: LayerKeys, now: LayerKeys): string[] {
  const groups = [...new Set([...before.groups, ...now.groups])];
  return groups.filter((group) => before.keys.get(group) !== now.keys.get(group));
}

let untouched: Promise<LayerKeys> | undefined;
function keysBefore(first: Edit): Promise<LayerKeys> {
  if (first !== asItIs) return layerKeys(edited(first));
  untouched ??= layerKeys(project);
  return untouched;
}

async function changes(first: Edit, edit: Edit): Promise<string[]> {
  const before = await keysBefore(first);
  return changed(before, await layerKeys(edited(first, edit)));
}

test('the layers of the project, and the same again', async () => {
  const first = await keysBefore(asItIs);
  expect(first.groups).toEqual(ALL);
  expect(new Set(first.keys.values()).size).toBe(ALL.length);
  expect(await changes(asItIs, asItIs)).toEqual(NONE);
});

/** What is edited, how, and the layers whose key changes; all others keep theirs. */
type Row = [what: string, edit: Edit, groups: string[]];

describe('texts', () => {
  test.each<Row>([
    ['the function of a module', conf('install_file motd', 'install_file -m 600 motd'), ['post/motd']],
    ['the function of a module before the packages', conf('touch /early', 'touch /sooner'), PACKAGES],
    ['the file of a module', replace('realmfs-modules/report', '--list', '--list --no-pager'), ['post/report']],
    ['a comment in the file of a module', replace('realmfs-modules/report', '# Lists', '# Names'), ['post/report']],
    ['a function that a module calls', conf('echo "$1"', 'printf %s "$1"'), ['post/greet']],
    ['a function that nobody calls', conf('touch /unused', 'touch /other'), NONE],
    ['a function more', add('build.conf', 'another() {\n    true\n}\n'), NONE],
    ['a function that a module names from now on', conf('touch /early', 'touch /early; unused'), PACKAGES],
    ['a comment', conf('# A small image', '# A tiny image'), NONE],
    ['a comment in a function', conf('    touch /early', '    # Soon\n    touch /early'), NONE],
    ['blank lines and indentation', conf('    touch /early', '\n\n  touch   /early'), NONE],
    ['a module that no list names', add('realmfs-modules/other', 'true\n'), NONE],
    ['a hook', replace('hooks/chroot/50-last.chroot', '/hook', '/hooked'), ['hook/50-last.chroot']],
    ['a comment in a hook', add('hooks/chroot/50-last.chroot', '# done\n'), ['hook/50-last.chroot']],
    ['who may run a hook', mode('hooks/chroot/50-last.chroot', 0o700), NONE],
    ['a command at the top level', add('build.conf', 'if true; then :; fi\n'), SHELLS],
    ['the umask', add('build.conf', 'umask 027\n'), SHELLS],
    ['an option of the shell', add('build.conf', 'shopt -s nullglob\n'), SHELLS],
  ])('%s', async (_, edit, groups) => {
    expect(await changes(asItIs, edit)).toEqual(groups);
  });
});

describe('variables and settings', () => {
  test.each<Row>([
    ['a variable', conf('GREETING=hello', 'GREETING=bye'), SHELLS],
    ['a variable more, which nobody reads', add('build.conf', 'UNREAD=1\n'), SHELLS],
    ['the way it is written', conf('GREETING=hello', "GREETING='hello'"), NONE],
    ['the order of assignments', both(conf('GREETING=hello\n', ''), conf('IMAGE_TARGETS=', 'GREETING=hello\nIMAGE_TARGETS=')), NONE],
    ['a variable that is exported', conf('GREETING=hello', 'export GREETING=hello'), SHELLS],
    ['REALMFS_HOSTNAME', conf('REALMFS_HOSTNAME=box', 'REALMFS_HOSTNAME=case'), SHELLS],
    ['REALMFS_USER_PASSWORD', conf('secret-one', 'secret-two'), SHELLS],
    ['NETWORK', add('build.conf', 'NETWORK=off\n'), SHELLS],
    ['IMAGE_TARGETS', conf('IMAGE_TARGETS=tarball', "IMAGE_TARGETS='tarball ext4'"), NONE],
    ['IMAGE_FREE_SPACE', conf('IMAGE_FREE_SPACE=1G', 'IMAGE_FREE_SPACE=2G'), NONE],
    ['IDENTITIES', add('build.conf', 'IDENTITIES=keep\n'), NONE],
    ['NOCACHE_STEPS', add('build.conf', 'NOCACHE_STEPS=post/motd\n'), NONE],
    ['IMAGE_TARGETS, exported', conf('IMAGE_TARGETS=tarball', 'export IMAGE_TARGETS=tarball'), SHELLS],
    ['SOURCE_DATE_EPOCH', add('build.conf', 'SOURCE_DATE_EPOCH=1\n'), ALL],
    ['an option', option({ GREETING: 'bye' }), SHELLS],
    ['an option that says what build.conf says', option({ GREETING: 'hello' }), NONE],
    ['an option for IMAGE_TARGETS', option({ IMAGE_TARGETS: 'ext4' }), NONE],
    ['an option for the builder alone', option({ LAYERS_MAX_SIZE: '1G' }), NONE],
    ['the environment', environment({ REALMFS_LOCALE: 'de_DE.UTF-8' }), SHELLS],
    ['an environment over which build.conf wins', environment({ REALMFS_HOSTNAME: 'other' }), NONE],
    ['an environment for the builder alone', environment({ REALMFS_CACHE_DIR: '/c' }), NONE],
    ['the mirror', around({ mirror: 'http://other.example/debian' }), SHELLS],
    ['the date of the archive', around({ releaseDate: project.releaseDate + 1 }), ALL],
  ])('%s', async (_, edit, groups) => {
    expect(await changes(asItIs, edit)).toEqual(groups);
  });
});

describe('lists', () => {
  test.each<Row>([
    ['a package more', conf("'less tree'", "'less tree jq'"), PACKAGES],
    ['a package less', conf("'less tree'", 'less'), PACKAGES],
    ['the order of packages', conf("'less tree'", "'tree less'"), PACKAGES],
    ['a package list', add('config/package-lists/tools.list.chroot', 'vim\n'), PACKAGES],
    ['a comment in a package list', add('config/package-lists/tools.list.chroot', '# an editor\n'), NONE],
    ['a module more before the packages', conf("'early'", "'early unused'"), PACKAGES],
    // What comes after it lies on another layer, and runs again by that.
    ['a module more in the middle', conf("'greet motd", "'greet unused motd"), ['post/unused']],
    ['the order of modules', conf("'greet motd", "'motd greet"), NONE],
    // Nothing is handed on to a step that is not there.
    ['the last step is gone', remove('hooks/chroot/50-last.chroot'), ['post/set-hostname', 'hook/50-last.chroot']],
  ])('%s', async (_, edit, groups) => {
    expect((await changes(asItIs, edit)).sort()).toEqual([...groups].sort());
  });
});

describe('files of the project', () => {
  test.each<Row>([
    ['the content of an overlay', add('overlay/etc/issue', 'x'), PACKAGES],
    ['a mode in an overlay', mode('overlay/etc/issue', 0o600), PACKAGES],
    ['an owner in an overlay', add('overlay.owners', 'etc/issue 1000 1000 -\n'), PACKAGES],
    ['a mode by the owners file', add('overlay.owners', 'etc/issue 0 0 600\n'), PACKAGES],
    ['an owners file that says nothing', add('overlay.owners', '# nothing\n'), NONE],
    ['an entry more', add('overlay/etc/more', ''), PACKAGES],
    ['a backup in an overlay', add('overlay/etc/issue~', ''), NONE],
    ['what is copied after the packages', add('config/includes.chroot/etc/extra', 'x'), ['includes.chroot']],
    ['an answer for debconf', replace('config/preseed/answers.cfg', 'Europe', 'Asia'), PACKAGES],
    // What a step has looked up is compared with its layer: see below.
    ['a file that install_file takes', add('realmfs-files/motd', 'x'), NONE],
    ['a file that nobody reads', add('notes/todo', 'x'), NONE],
  ])('%s', async (_, edit, groups) => {
    expect(await changes(asItIs, edit)).toEqual(groups);
  });
});

describe("the builder's own files", () => {
  test.each<Row>([
    ['a script that runs steps', add('library/chroot/more.sh', 'true\n'), ALL],
    ['a script of the sandbox', add('program/templates/sandbox/more.sh', 'true\n'), ALL],
    ['a built-in module, whoever runs it', add('library/modules/more', 'true\n'), ALL],
    ['a built-in file', add('library/files/more', ''), ALL],
    ['the program, which no step of the project puts into the image', add('library/program/main.js', ''), NONE],
  ])('%s', async (_, edit, groups) => {
    expect(await changes(asItIs, edit)).toEqual(groups);
  });
});

/** What a step of the project does first, and what an edit does then. */
type Later = [what: string, first: Edit, edit: Edit, groups: string[]];

const report = (text: string): Edit => add('realmfs-modules/report', `${text}\n`);

describe('what a step can reach', () => {
  const targets = conf('IMAGE_TARGETS=tarball', 'IMAGE_TARGETS=ext4');
  const unused = conf('touch /unused', 'touch /other');
  const comment = conf('# A small image', '# A small image\n#');
  const note = add('notes/todo', 'x');
  test.each<Later>([
    ['IMAGE_TARGETS, where it is named', report('echo "$IMAGE_TARGETS"'), targets, ['post/report']],
    ['IMAGE_TARGETS, where all variables are shown', report('declare -p'), targets, ['post/report']],
    ['PACKAGES, where they are named', report('echo "$PACKAGES"'), conf('less tree', 'less'), ['packages', 'post/report']],
    ['a function, where any can be called', report('eval "$GREETING"'), unused, ['post/report']],
    ['a function whose name is in a variable', conf('GREETING=hello', 'GREETING=unused'), unused, SHELLS],
    ['a function that is exported', add('build.conf', 'export -f unused\n'), unused, SHELLS],
    ['a comment, where lines are asked for', report('echo "$LINENO"'), comment, ['post/report']],
    ['a file, where the project is named', report('cat "$REALMFS_PROJECT/notes/x" || true'), note, ['post/report']],
    ['a file, where a hook names it', add('hooks/chroot/50-last.chroot', 'ls /dev/realmfs/project\n'), note, ['hook/50-last.chroot']],
    ['a file, where a called function names it', conf('echo "$1"', 'ls "$REALMFS_PROJECT"'), note, ['post/greet']],
    ['a file, where a variable names it', conf('GREETING=hello', 'GREETING=/dev/realmfs/project'), note, SHELLS],
    ['a file, where an installed one names it', add('realmfs-files/motd', 'realmfs/project'), note, SHELLS],
    ['a file, where the shell handed on names it', around({ handedOn: 'f() { ls "$REALMFS_PROJECT"; }' }), note, SHELLS],
    ['a file, where build.conf asks for one', add('build.conf', '[[ -e /x ]] || true\n'), note, SHELLS],
    ['the mode of a file, where the project is named', report('ls "$REALMFS_PROJECT"'), mode('notes/todo', 0o600), ['post/report']],
    ['a module, where it is called', report('module other'), add('realmfs-modules/other', 'true\n'), NONE],
    [
      'a file, where a called module names the project',
      report('module other'),
      add('realmfs-modules/other', 'ls "$REALMFS_PROJECT"\n'),
      ['post/report'],
    ],
    [
      'the date of the archive beside a fixed one',
      add('build.conf', 'SOURCE_DATE_EPOCH=1\n'),
      around({ releaseDate: project.releaseDate + 1 }),
      SHELLS,
    ],
    [
      'the program, where it is put into the image',
      conf("set-hostname'", "set-hostname install-realmfs-builder'"),
      add('library/program/main.js', ''),
      ['post/install-realmfs-builder'],
    ],
  ])('%s', async (_, first, edit, groups) => {
    expect(await changes(first, edit)).toEqual(groups);
  });
});

describe('secrets', () => {
  test('of variables that are no settings are sealed wherever they stand', async () => {
    const text = `WIFI_TOKEN='pass "$" of-the-air'\nLIST_OF_TOKENS=(first-of-two second-of-two)\nURL="https://mirror.example/?t=$WIFI_TOKEN&u=\${LIST_OF_TOKENS[1]}"\n`;
    const shown = JSON.stringify([...(await layerKeys(edited(add('build.conf', text)))).inputs.values()]);
    expect(shown).toContain('mirror.example/?t=');
    for (const secret of ['of-the-air', 'first-of-two', 'second-of-two']) expect(shown).not.toContain(secret);
  });

  test('stand in no input, and their digest counts, with the salt', async () => {
    const given = edited(add('build.conf', 'WIFI_TOKEN=another-secret\nCOPY="is secret-one"\n'));
    given.mirror = 'http://user:pass@mirror.example/debian';
    const first = await layerKeys(given);
    const shown = JSON.stringify([...first.inputs.values()]);
    for (const secret of ['secret-one', 'another-secret', 'user:pass']) expect(shown).not.toContain(secret);
    expect(shown).toContain('sealed:');
    expect(changed(first, await layerKeys(given))).toEqual(NONE);
    expect(changed(first, await layerKeys({ ...given, salt: 'another salt'.padEnd(32) }))).toEqual(SHELLS);
    expect(changed(first, await layerKeys({ ...given, mirror: 'http://user:word@mirror.example/debian' }))).toEqual(SHELLS);
  });
});

describe('steps that run in every build', () => {
  test.each<Row>([
    ['none of them', asItIs, NONE],
    ['a file of a module that says so', report('# cache: no'), ['post/report']],
    ['a hook that says so', add('hooks/chroot/50-last.chroot', '# cache: no\n'), ['hook/50-last.chroot']],
    ['a function, of which bash keeps no comment', conf('    touch /early', '    # cache: no\n    touch /early'), NONE],
    ['NOCACHE_STEPS names a step', add('build.conf', 'NOCACHE_STEPS=post/motd\n'), ['post/motd']],
    ['NOCACHE_STEPS names a module', add('build.conf', 'NOCACHE_STEPS=greet\n'), ['post/greet']],
    ['NOCACHE_STEPS names a step that shares its layer', add('build.conf', 'NOCACHE_STEPS=pre/early\n'), PACKAGES],
    ['NOCACHE_STEPS names what is copied', add('build.conf', 'NOCACHE_STEPS=includes.chroot\n'), ['includes.chroot']],
    ['NOCACHE_STEPS names two', add('build.conf', 'NOCACHE_STEPS=(motd report)\n'), ['post/motd', 'post/report']],
    ['what is almost the line', report('# cache: none\n# nocache: no'), NONE],
  ])('%s', async (_, edit, groups) => {
    expect((await layerKeys(edited(edit))).always).toEqual(groups);
  });
});

describe('a layer whose steps have looked something up', () => {
  let known: Record<string, string> | undefined;
  /** What steps have looked up in the project as it is. */
  async function readsBefore(): Promise<Record<string, string>> {
    if (known !== undefined) return known;
    const sources = (await layerKeys(project)).sources();
    known = {};
    for (const name of ['file motd', 'file later', 'module report', 'module later']) known[name] = await sources.lookUp(name);
    return known;
  }
  const context = (offline: boolean): BuildContext => ({ request: { ...blankRequest, offline } }) as BuildContext;
  const layer = (reads: Record<string, string>, facts: Record<string, string> = {}): Layer => ({
    folder: '',
    meta: { reads, facts } as Layer['meta'],
  });

  test.each<[string, Edit, string | undefined]>([
    ['nothing has changed', asItIs, undefined],
    ['a file that was installed', add('realmfs-files/motd', 'x'), 'file motd has changed'],
    ['it is gone', remove('realmfs-files/motd'), 'file motd is gone'],
    ['a file that was not there', add('realmfs-files/later', ''), 'file later is new'],
    ['a file that nobody asked for', add('realmfs-files/other', ''), undefined],
    ['a module that was called', replace('realmfs-modules/report', 'list', 'show'), 'module report has changed'],
    ['a function of its name', add('build.conf', 'report() {\n    true\n}\n'), 'module report has changed'],
    ['a module that was not there', add('realmfs-modules/later', ''), 'module later is new'],
    ['a function that was not there', add('build.conf', 'later() {\n    true\n}\n'), 'module later is new'],
  ])('%s', async (_, edit, fault) => {
    const reads = await readsBefore();
    const now = (await layerKeys(edited(edit))).sources();
    expect(await layerFault(layer(reads), now, context(false))).toBe(fault);
  });

  test.each([
    [true, false, 'it was run with --offline'],
    [true, true, undefined],
    [false, true, undefined],
    [false, false, undefined],
  ])('made offline: %s, offline now: %s', async (was, is, fault) => {
    const sources = (await keysBefore(asItIs)).sources();
    expect(await layerFault(layer({}, was ? { offline: 'yes' } : {}), sources, context(is))).toBe(fault);
  });
});
