import { chmodSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeDeb } from './debs.ts';
import { sleep } from './kills.ts';
import { type Machine, type Run, sha256 } from './machine.ts';
import { randomFrom } from './random.ts';

/** What a module may do to a tree, to the shell, and what it may look at. `N` is a number of its own. */
const deeds: readonly string[] = [
  'echo "$V1 N" >/data-N',
  'echo "${LIST[*]}" >>/list',
  'LIST+=(N)',
  'COUNT=$((${COUNT:-0} + N)); echo "$COUNT" >>/count',
  'export PASSED=N',
  'echo "${PASSED-none}" >>/passed',
  'unset V2',
  'echo "${V2-gone}" >>/v2',
  'umask 027; mkdir -p /private-N',
  'umask 022',
  'cd /usr/share; [[ -d doc ]]',
  'echo "$PWD" >>/places',
  'declare -gi NUMBER=N+1',
  'echo "${NUMBER-}" >>/numbers',
  'shopt -s nullglob',
  'for f in /nowhere/*; do echo "$f" >>/globs; done',
  'made-N() { echo "made N" >>/made; }',
  'if declare -F made-1 >/dev/null; then made-1; fi',
  'trap "echo at the end N >>/trapped" EXIT',
  'first N',
  'second N',
  'eval "third N"',
  '"$CALL" N',
  'install_file 0640 one.txt /opt/taken',
  'install_file 0755 /deep/two.txt',
  'install_file 0644 override.txt /opt',
  'rm -rf /usr/share/doc; mkdir /usr/share/doc; echo N >/usr/share/doc/new',
  '[[ ! -d /usr/share/common-licenses ]] || mv /usr/share/common-licenses /usr/share/moved',
  '[[ ! -d /usr/share/moved ]] || mv /usr/share/moved /usr/share/common-licenses',
  'rm -rf /usr/share/pam; ln -s /etc /usr/share/pam',
  'rm -rf /opt/tree; mkdir -p /opt/tree/a/b; echo N >/opt/tree/a/b/c',
  'rm -rf /opt/tree/a; mkdir -p /opt/tree; echo file >/opt/tree/a',
  '[[ -e /links/a ]] || { mkdir -p /links; echo links >/links/a; ln /links/a /links/b; ln /links/a /links/c; }',
  '[[ ! -e /links/b ]] || echo N >>/links/b',
  'rm -f /links/a',
  '[[ ! -e /links/c ]] || ln -f /links/c /links/d',
  '[[ ! -e /usr/bin/perl ]] || chmod u+x /usr/bin/perl',
  'ln -f /etc/passwd /etc/passwd-N',
  'rm -f /usr/bin/uncompress',
  'chmod u+s /usr/bin/env',
  'chown 1234:99 /etc/motd',
  'mkfifo /pipe-N 2>/dev/null || :',
  'truncate -s 1M /sparse-N',
  'cat /etc/motd /etc/hostname >/seen-N',
  'touch /tmp/left-N; ls /tmp /dev/shm >/left; echo N >/dev/shm/shared',
  'if [[ -e $REALMFS_PROJECT/files/extra ]]; then cat "$REALMFS_PROJECT/files/extra" >/extra; fi',
  'module called',
  'set_xattr /usr/bin/uniq security.capability 0100000200200000000000000000000000000000',
  'set_xattr /etc/motd system.posix_acl_access 0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000400ffffffff',
  'chmod 0711 /etc/skel; : >/etc/skel/N',
  'echo "$LINENO" >/line-N',
];

/** How a text leads to a file of the project: by its name or around it. `F` is the file, below data/. */
const ways: readonly string[] = [
  '"$REALMFS_PROJECT"/data/F',
  '/dev/realmfs/project/data/F',
  '"$REALMFS_PROJECT"/d*/F',
  '"${BASH_SOURCE[0]%/*}"/data/F',
  'dev/realmf?/project/data/F',
  'data/F',
  '~-/data/F',
  '"$OLDPWD"/data/F',
  '/*/*/*/data/F',
  'dev/*/pro*/data',
  '/proc/self/cwd/dev/r*/project/data/F',
  '$(find . -xdev -path "*/data/F")',
  '$(find /dev -path "*/data/F" -not -path "*/out/*")',
  '$(cd - >/dev/null && echo "$PWD/data/F")',
  '$(while read -r _ place _; do ls -d "$place/data/F"; done </proc/mounts)',
];

/** What is done with what was found, `X`. Nothing found is no failure. */
const uses: readonly string[] = [
  'cat X >>/read',
  'grep -rh . X >>/read',
  'cp -r X /taken-N',
  'cp -a X /kept-N',
  'mkdir -p /packed; tar -cf - X | tar -xf - -C /packed --transform "s,.*/,,"',
  'tar --sort=name -cf /kept-N.tar X',
  'perl -ne print X >>/read',
  '. X; echo "${READ-}" >>/read',
  'stat -c "%n %a %s %Y" X >>/read',
  'find X >>/read',
  'test X -nt /etc/debian_version && echo newer >>/read',
  'ls -lR --time-style=+%s X >>/read',
];
const dataFiles: readonly string[] = ['one', 'sub/two', 'sub/three'];

const hookFiles: readonly string[] = ['hooks/chroot/10-one.hook.chroot', 'hooks.d/chroot/1.chroot_early', 'hooks.d/chroot/2.chroot'];

/** What a hook may do. */
const hookDeeds: readonly string[] = [
  'echo "${PASSED-none} ${EXPORTED-none} N" >>/hooked',
  'cat /data-* >>/hooked 2>/dev/null || :',
  'echo "$REALMFS_HOOK $PWD $(umask)" >>/hooked',
  'rm -f /list /order',
  'cat "$REALMFS_PROJECT/files/extra" >>/hooked 2>/dev/null || :',
  'ln -f /etc/over /etc/hooked-N',
  'ls /opt >>/hooked',
  'chmod 0600 /etc/inc; chown 5:6 /etc/over',
];

/** A project that is edited at random. Everything in it is decided by the seed. */
export class EditedProject {
  readonly folder: string;
  readonly #random: () => number;
  readonly #modules = new Map<string, string[]>();
  #order: string[] = [];
  #pre: string[] = [];
  readonly #helpers = new Map<string, string>();
  readonly #variables = new Map<string, string>();
  readonly #files = new Map<string, string>();
  #call = 'first';
  #failing = '';
  #isMinimal = false;
  /** When the files of data/ were changed, in seconds since 1970; those that come later are younger. */
  #age = 0;
  #packages: string[] = [];
  #deb: Buffer | undefined;
  /** Packages are installed by the built-in step: that takes seconds. */
  readonly #installs: boolean;
  /** What was done, for the message of a failure. */
  readonly history: string[] = [];

  constructor(folder: string, seed: number) {
    this.folder = folder;
    this.#random = randomFrom(seed);
    for (const name of ['alpha', 'beta', 'gamma', 'delta']) this.#modules.set(name, this.#some(3));
    this.#order = ['beta', 'gamma', 'delta'];
    this.#pre = ['alpha'];
    for (const name of ['first', 'second', 'third']) this.#helpers.set(name, 'v1');
    for (const name of ['V1', 'V2']) this.#variables.set(name, 'start');
    for (const name of ['realmfs-files/one.txt', 'realmfs-files/deep/two.txt', 'realmfs-files/override.txt'])
      this.#files.set(name, 'start\n');
    this.#files.set('realmfs-modules/called', 'second from-called; echo called v1 >>/called\n');
    this.#installs = seed % 10 === 0;
    this.#variables.set('EXPORTED', 'start');
    for (const name of ['overlay/etc/over', 'overlay/opt/placed/deep', 'config/includes.chroot/etc/inc']) this.#files.set(name, 'start\n');
    for (const name of hookFiles) this.#hook(name);
    for (const name of dataFiles) this.#files.set(`data/${name}`, 'READ=start\n');
    this.write();
  }

  #pick<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.#random() * list.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  #some(count: number): string[] {
    return Array.from({ length: count }, () => {
      const deed = this.#random() < 0.3 ? this.#reader() : this.#pick(deeds);
      return deed.replaceAll(/\bN\b/g, String(1 + Math.floor(this.#random() * 3)));
    });
  }

  /** A way to read the project, put together at random. */
  #reader(): string {
    const way = this.#pick(ways).replace('F', this.#pick([...dataFiles, 'sub']));
    // Without a name these programs would read all there is, clocks and processes, too.
    const use = this.#pick(uses).replace('X', '"${found[@]}"');
    return `( found=(${way}); ((${'$'}{#found[@]} == 0)) || { ${use}; } ) 2>/dev/null || :`;
  }

  #hook(name: string): void {
    const deed = (): string => (this.#random() < 0.3 ? this.#reader() : this.#pick(hookDeeds));
    const lines = Array.from({ length: 2 }, () => deed().replaceAll(/\bN\b/g, String(1 + Math.floor(this.#random() * 3))));
    this.#files.set(name, `#!/bin/bash\nset -e\n${lines.join('\n')}\n`);
  }

  /** One edit. */
  edit(): void {
    const names = [...this.#modules.keys()];
    const version = `v${Math.floor(this.#random() * 1000)}`;
    const edits: Readonly<Record<string, () => void>> = {
      'a module': () => this.#modules.set(this.#pick(names), this.#some(1 + Math.floor(this.#random() * 4))),
      'the last module': () => this.#modules.set(this.#order.at(-1) ?? 'delta', this.#some(2)),
      'a helper': () => this.#helpers.set(this.#pick([...this.#helpers.keys()]), version),
      'a variable': () => this.#variables.set(this.#pick(['V1', 'V2', 'EXPORTED', 'UNUSED']), version),
      'the order': () => {
        this.#order = [...this.#order.slice(1), ...this.#order.slice(0, 1)];
      },
      'one module less': () => {
        if (this.#order.length > 1) this.#order = this.#order.filter((_, at) => at !== 0);
      },
      'one module more': () => this.#order.push(this.#pick(['beta', 'gamma', 'delta'])),
      'a module before the packages': () => {
        this.#pre = this.#pick([['alpha'], ['alpha', 'beta'], ['beta', 'alpha']]);
      },
      'a file': () =>
        this.#files.set(this.#pick([...this.#files.keys()].filter((name) => name.startsWith('realmfs-files'))), `${version}\n`),
      'a file that appears or vanishes': () => {
        if (!this.#files.delete('files/extra')) this.#files.set('files/extra', `${version}\n`);
      },
      'a module file that appears or vanishes': () => {
        if (!this.#files.delete('realmfs-modules/set-hostname'))
          this.#files.set('realmfs-modules/set-hostname', `echo ${version} >/set-hostname\n`);
      },
      'the called module': () => this.#files.set('realmfs-modules/called', `second from-called; echo called ${version} >>/called\n`),
      'whom a variable names': () => {
        this.#call = this.#pick(['first', 'second', 'third']);
      },
      'a failure': () => {
        this.#failing = this.#failing === '' ? this.#pick(this.#order) : '';
      },
      'a data file': () => this.#files.set(`data/${this.#pick(dataFiles)}`, `READ=${version}\n`),
      'a data file that appears or vanishes': () => {
        if (!this.#files.delete('data/sub/more')) this.#files.set('data/sub/more', `READ=${version}\n`);
      },
      'times of data files': () => {
        this.#age = Math.floor(this.#random() * 1e9);
      },
      'a copied file': () =>
        this.#files.set(this.#pick([...this.#files.keys()].filter((name) => /^(?:overlay|config\/includes)/.test(name))), `${version}\n`),
      'a copied file that appears or vanishes': () => {
        if (!this.#files.delete('overlay/etc/more')) this.#files.set('overlay/etc/more', `${version}\n`);
      },
      owners: () => this.#files.set('overlay.owners', `etc/** ${this.#pick(['0 0 -', '7 8 0640', '1234 99 4755'])}\n`),
      'a hook': () => this.#hook(this.#pick(hookFiles)),
      'a hook that appears or vanishes': () => {
        if (!this.#files.delete('hooks/chroot/20-two.chroot')) this.#hook('hooks/chroot/20-two.chroot');
      },
      'a hook that fails, or does so no more': () => {
        const text = this.#files.get('hooks/chroot/10-one.hook.chroot') ?? '';
        this.#files.set('hooks/chroot/10-one.hook.chroot', text.endsWith('false\n') ? text.replace(/false\n$/, '') : `${text}false\n`);
      },
      'a package file': () => {
        if (this.#installs)
          this.#deb = makeDeb('edited', { version: version.slice(1), files: { 'etc/over': `${version}\n`, 'usr/share/edited': version } });
      },
      'a package': () => {
        this.#packages = this.#packages.length > 2 ? [] : [...this.#packages, version];
      },
      'the profile': () => {
        this.#isMinimal = !this.#isMinimal;
      },
      'a comment': () => this.history.push('#'),
      nothing: () => {},
    };
    const what = this.#pick(Object.keys(edits));
    this.history.push(what);
    edits[what]?.();
    this.write();
  }

  get fails(): boolean {
    return this.#failing !== '' && this.#order.includes(this.#failing);
  }

  /** Writes the project as it is now. */
  write(): void {
    const body = (name: string, deed: readonly string[]): string =>
      `${name}() {\n${deed.map((line) => `    ${line}\n`).join('')}${this.#failing === name ? '    false\n' : ''}}\n`;
    const text = [
      'BASE_PACKAGES= BASE_PRE_INSTALL_MODULES=set-hostname',
      this.#isMinimal ? 'REALMFS_PROFILE=minimal' : 'BASE_POST_INSTALL_MODULES=',
      `PACKAGES="${this.#installs ? (this.#packages.length > 1 ? 'fixture-plain' : '') : this.#packages.join(' ')}"`,
      `PRE_INSTALL_MODULES="${this.#pre.join(' ')}"`,
      `POST_INSTALL_MODULES="${this.#order.join(' ')}"`,
      'LIST=(zero)',
      ...[...this.#variables].map(([name, value]) => `${name === 'EXPORTED' ? 'export ' : ''}${name}=${value}`),
      `CALL=${this.#call}`,
      ...[...this.#helpers].map(([name, value]) => `${name}() { echo "${name} ${value} $1" >>/helped; }`),
      // setxattr(2) of the one architecture that has this number.
      `set_xattr() { [[ $(uname -m) != x86_64 ]] || perl -e '$v = pack("H*", $ARGV[2]); syscall(188, $ARGV[0], $ARGV[1], $v, length $v, 0) == 0 or die $!' "$@"; }`,
      this.#installs ? '' : 'install-packages() { printf "%s\\n" $PACKAGES >/packages; }',
      ...[...this.#modules].map(([name, deed]) => body(name, deed)),
      ...this.history.filter((what) => what === '#').map((_, at) => `# comment ${at}`),
      '',
    ].join('\n');
    rmSync(this.folder, { recursive: true, force: true });
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(path.join(this.folder, 'build.conf'), text);
    for (const [name, content] of this.#files) {
      mkdirSync(path.dirname(path.join(this.folder, name)), { recursive: true });
      writeFileSync(path.join(this.folder, name), content);
      if (name.includes('hook')) chmodSync(path.join(this.folder, name), 0o755);
      if (name.startsWith('data/')) utimesSync(path.join(this.folder, name), this.#age, this.#age + name.length);
    }
    if (this.#deb === undefined) return;
    mkdirSync(path.join(this.folder, 'packages'));
    writeFileSync(path.join(this.folder, 'packages/edited.deb'), this.#deb);
  }

  /** A number from 0 to 1 of the sequence. */
  next(): number {
    return this.#random();
  }
}

/** How a build ended: the digest of its tarball, or its last line without paths and times. */
export function outcome(run: Run, output: string): string {
  return run.code === 0 ? sha256(path.join(output, 'realmfs-rootfs.tar')) : `${run.code} ${run.lastLine.replace(/; log: .*/, '')}`;
}

/**
 * A sequence of random edits: after each the build on layers equals one that has reused nothing but the
 * bootstrap. Returns the edits, with what differed, or undefined if nothing did.
 */
export async function checkSequence(machine: Machine, seed: number, edits: number): Promise<string | undefined> {
  const project = new EditedProject(path.join(machine.folder, `edited-${seed}`), seed);
  const [fast, slow] = ['fast', 'slow'].map((name) => path.join(machine.folder, `${name}-${seed}`)) as [string, string];
  const args = (output: string): string[] => ['--no-confirm', '-t', '--progress', 'plain', '-d', output];
  for (let at = 0; at <= edits; at += 1) {
    if (at > 0) project.edit();
    if (project.next() < 0.15) {
      const build = machine.start(args(fast), { cwd: project.folder });
      await Promise.race([sleep(project.next() * 1500), build.ended]);
      build.kill('SIGKILL');
      await build.ended;
    }
    const layered = await machine.run(args(fast), { cwd: project.folder });
    const plain = await machine.run([...args(slow), '--rebuild-from', 'packages'], {
      cwd: project.folder,
      env: { REALMFS_CACHE_DIR: path.join(machine.folder, 'cache-plain') },
    });
    const [is, should] = [outcome(layered, fast), outcome(plain, slow)];
    if (is !== should)
      return `seed ${seed}, after ${project.history.join(', ')}: ${is} instead of ${should}\n${layered.stderr}\n--- plain:\n${plain.stderr}`;
  }
  return undefined;
}
