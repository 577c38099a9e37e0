import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { asUser, bare, Machine, mirror } from '../helpers/machine.ts';

const machine = new Machine({ layers: true });
afterAll(() => machine.close());

const SECRETS = { user: 's3cr3t-user', proxy: 's3cr3t-proxy', mirror: 's3cr3t-mirror', token: 's3cr3t-token' } as const;

/** Looks at all that another user can see of processes and read below a folder, again and again; each look ends with an empty line. */
const SCRIPT = `
use strict; use warnings; use File::Find; $| = 1;
chomp(my ($folder, @secrets) = <STDIN>); my $secret = join '|', map { quotemeta } @secrets; my %told;
while (1) {
    look($_) for glob '/proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/[0-9]*/task/*/comm';
    find({ no_chdir => 1, wanted => sub { look($_) if -f && -s _ < 1 << 20 } }, $folder);
    print "\\n";
}
sub look {
    my ($file) = @_; open(my $in, '<', $file) or return; local $/; my $text = <$in> // '';
    return unless $text =~ /$secret/; $text =~ tr/\\0\\n/  /;
    print "$file: $text\\n" unless $told{$text}++;
}
`;

/** Another user, who looks. */
class Watcher {
  readonly seen: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Set<{ looks: number; resolve: () => void }>();

  constructor(folder: string) {
    const [program = '', ...args] = [...asUser(65534), 'perl', '-e', SCRIPT];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: '/usr/bin:/bin' } });
    this.#child = child;
    child.stdin.end(`${[folder, ...Object.values(SECRETS)].join('\n')}\n`);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line !== '') this.seen.push(line);
      else
        for (const each of this.#waiting) {
          each.looks -= 1;
          if (each.looks > 0) continue;
          this.#waiting.delete(each);
          each.resolve();
        }
    });
  }

  /** Resolves after a whole look that began later. */
  look(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add({ looks: 2, resolve }));
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

test('no password stands where another user can see it, in a build and in a second one', async () => {
  chmodSync(machine.folder, 0o755);
  const config = `${bare}BASE_POST_INSTALL_MODULES=create-user\nPOST_INSTALL_MODULES=wait\n: "\${MY_TOKEN:=none}"\nwait() { [[ $MY_TOKEN = s3c* ]]; sleep 0.3; }\nunset -f install-packages\nPACKAGES=fixture-big\n`;
  const project = machine.project('secrets', { 'build.conf': config });
  const env = {
    REALMFS_USER_PASSWORD: SECRETS.user,
    APT_PROXY: mirror.proxy.replace('://', `://someone:${SECRETS.proxy}@`),
    DEBIAN_MIRROR: `http://reader:${SECRETS.mirror}@mirror.example/debian`,
    DEBIAN_IMAGE_MIRROR: 'http://mirror.example/debian',
    // Another name of the keyring: the base system is fetched anew.
    DEBIAN_KEYRING: path.join(machine.folder, 'keys.gpg'),
    MY_TOKEN: SECRETS.token,
  };
  mirror.writeKeyring(env.DEBIAN_KEYRING);
  const watcher = new Watcher(project);
  mirror.password = `reader:${SECRETS.mirror}`;
  // Whatever fetches is there for a whole look, at the first packages, too.
  let packages = 0;
  mirror.before = async (name) => {
    if (name.endsWith('.deb')) packages += 1;
    if (!name.endsWith('.deb') || packages < 3) await watcher.look();
  };
  try {
    // It sees what there is to see.
    const bait = spawn('sleep', ['60'], { argv0: `sleep ${SECRETS.token}` });
    await watcher.look();
    bait.kill();
    expect(watcher.seen.splice(0)).toEqual([expect.stringMatching(new RegExp(`^/proc/${bait.pid}/cmdline: sleep ${SECRETS.token}`))]);
    const run = await machine.run(['--no-confirm', '-t', '--set', 'MY_TOKEN'], { cwd: project, env });
    expect(run.code, run.stderr).toBe(0);
    await watcher.look();
    expect(watcher.seen).toEqual([]);
    const again = await machine.run(['verify', '--rebuild'], { cwd: project, env });
    expect(again.code, again.stderr).toBe(0);
    await watcher.look();
    expect(watcher.seen).toEqual([]);
    const names = machine.shell(
      'grep -rlaE "s3cr3t-(user|proxy|mirror|token)" "$1" | grep -v rootfs.tar || true',
      path.join(project, 'realmfs'),
    );
    expect(names).toBe('');
  } finally {
    watcher.close();
    mirror.password = '';
    mirror.before = async () => {};
  }
});
