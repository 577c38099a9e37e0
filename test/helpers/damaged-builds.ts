import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Damager } from './damage.ts';
import { type Machine, type Run, sha256 } from './machine.ts';

/** Lines of a module that makes what a layer can be made of: whiteouts, opaque and moved folders, links, attributes, a pipe. */
const odds = [
  'rm -rf /usr/share/doc; mkdir /usr/share/doc; echo new >/usr/share/doc/new',
  'rm -f /etc/motd /usr/bin/uncompress; mv /usr/share/pam /usr/share/moved',
  'mkdir /links; echo links >/links/a; ln /links/a /links/b; ln -s a /links/c; mkfifo /links/pipe',
  'chown 12:34 /links/a; chmod 4711 /links/b; : >/links/empty',
  `[[ $(uname -m) != x86_64 ]] || perl -e 'syscall(188, "/links/a", "user.a", "b", 1, 0)' || :`,
];

/** Two projects on one cache: one of modules alone, one that installs a package. Each can be edited in some ways. */
const projects = {
  modules: `BASE_PACKAGES= BASE_PRE_INSTALL_MODULES= BASE_POST_INSTALL_MODULES=
install-packages() { :; }
POST_INSTALL_MODULES="odds setter reader last"
odds() {
${odds.join('\n')}
}
setter() { SITE=from-setter; helper() { echo helped; }; echo set >/etc/setter; echo original >/opt/data.txt; }
reader() { echo "SITE=\${SITE-} $(helper 2>&1)" >/etc/reader; cat /opt/data.txt >>/etc/reader; }
last() { ls -la /links | wc -l >/etc/last; }
`,
  packages: `BASE_PACKAGES= BASE_PRE_INSTALL_MODULES= BASE_POST_INSTALL_MODULES=
PACKAGES="fixture-plain"
POST_INSTALL_MODULES="looks"
looks() { apt-cache show fixture-conffile | grep -c ^Package >/etc/looks; }
`,
};

const edits: Readonly<Record<keyof typeof projects, readonly ((text: string) => string)[]>> = {
  modules: [
    (text) => text,
    (text) => text.replace('last() {', 'last() { : again;'),
    (text) => text.replace('reader() {', 'reader() { : again;'),
    (text) => text.replace('setter() {', 'setter() { : again;'),
  ],
  packages: [
    (text) => text,
    (text) => text.replace('looks() {', 'looks() { : again;'),
    (text) => text.replace('-plain"', '-plain fixture-conffile"'),
  ],
};

type Project = keyof typeof projects;

/** Builds on a cache that is damaged again and again: it mends itself, or says what is wrong. */
export class DamagedBuilds {
  readonly #machine: Machine;
  readonly cache: string;
  /** The digests of the right results, by project and edit. */
  readonly #right = new Map<string, string>();

  constructor(machine: Machine, name = 'damaged') {
    this.#machine = machine;
    this.cache = machine.makeCache(name, { isCopied: true });
  }

  /** Builds all of it once, on a cache that nobody has damaged. */
  async fill(): Promise<void> {
    for (const project of Object.keys(projects) as Project[]) {
      for (const at of edits[project].keys()) {
        const run = await this.build(project, at);
        if (run.code !== 0) throw new Error(run.stderr);
        this.#right.set(`${project} ${at}`, this.#digest(project));
      }
    }
  }

  /** Builds a project with one of its edits; results of an earlier build are gone. */
  async build(project: Project, at: number, ...args: string[]): Promise<Run> {
    const folder = this.#machine.project(`damaged-${project}`);
    writeFileSync(path.join(folder, 'build.conf'), edits[project][at]?.(projects[project]) ?? '');
    rmSync(path.join(folder, 'realmfs'), { recursive: true, force: true });
    return this.#machine.run(['--no-confirm', '-t', '--progress', 'plain', '--timeout', '5m', ...args], {
      cwd: folder,
      env: { REALMFS_CACHE_DIR: this.cache },
    });
  }

  command(...args: string[]): Promise<Run> {
    return this.#machine.run(['cache', ...args], { env: { REALMFS_CACHE_DIR: this.cache } });
  }

  /** What is wrong with a build; undefined: nothing. */
  fault(project: Project, at: number, run: Run): string | undefined {
    if (run.code === 0 && this.#digest(project) === this.#right.get(`${project} ${at}`)) return undefined;
    const text = run.code === 0 ? 'another image' : `exit code ${run.code}`;
    return `${text} of ${project} ${at}\n${run.stderr.slice(-4000)}`;
  }

  /** One damage, then a build. Returns what is wrong; undefined: nothing. */
  async round(seed: number): Promise<string | undefined> {
    const damager = new Damager(this.cache, seed);
    const project = damager.pick(['modules', 'modules', 'modules', 'packages'] as const);
    const at = Math.floor(damager.next() * edits[project].length);
    const what = damager.next() < (project === 'packages' ? 0.7 : 0) ? damager.damagePackages() : damager.damageStore();
    const fault = this.fault(project, at, await this.build(project, at));
    return fault === undefined ? undefined : `seed ${seed}: ${what}: ${fault}`;
  }

  #digest(project: Project): string {
    return sha256(path.join(this.#machine.folder, `damaged-${project}`, 'realmfs/realmfs-rootfs.tar'));
  }
}
