import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { asUser } from './machine.ts';

/** The user who owns the project and all above it. */
export const OWNER = 65534;

/** What the owner of the output folder puts in the place of something, and takes away again. */
export type Swap = 'output' | 'above' | 'staging' | 'results' | 'names' | 'sister';

/** Names that results and logs have, and those of a signature. */
const NAMES =
  'realmfs-build.log debootstrap.log realmfs-rootfs.tar base.manifest base.mtree base.spdx.json base.provenance.json SHA256SUMS SHA256SUMS.gpg manifest.json request.json build';

/** Reads a swap a line, and answers each by a line; a line `back SWAP` undoes it, `loop SWAP` does both until the next line. It does not matter what fails. */
const SCRIPT = `
use strict; use warnings; use POSIX qw(mkfifo); use IO::Select; use Time::HiRes qw(usleep);
my ($top, $lure) = @ARGV; my $out = "$top/home/project/realmfs"; my @names = qw(${NAMES}); $| = 1;
sub trade { my ($place, $aside, $target) = @_; rename $place, $aside and symlink $target, $place }
sub undo { my ($place, $aside) = @_; -l $place && -e $aside and unlink $place and rename $aside, $place }
my $staging = '';
my $input = IO::Select->new(\\*STDIN);
while (my $line = <STDIN>) {
    chomp $line;
    if ($line =~ s/^loop //) {
        until ($input->can_read(0)) { act($line); usleep(rand 60_000); act("back $line"); usleep(rand 60_000) }
    } else { act($line) }
    print "done\\n";
}
sub act {
    my ($back, $swap) = $_[0] =~ /^(back )?(.*)$/;
    if ($swap eq 'output') { $back ? undo($out, "$out.mine") : trade($out, "$out.mine", "$lure/project/realmfs") }
    if ($swap eq 'above') { my $at = "$top/home/project"; $back ? undo($at, "$at.mine") : trade($at, "$at.mine", "$lure/project") }
    if ($swap eq 'staging') {
        if ($back) { undo("$out/$staging", "$out/away") }
        else { for (glob "$out/.realmfs-*.partial") { next if -l; ($staging) = m{([^/]+)$}; trade($_, "$out/away", "$lure/project/realmfs") } }
    }
    # The staging folder, and one of root's that lies beside it, change their names.
    if ($swap eq 'sister') {
        if ($back) { rename "$out/$staging", "$out/sister"; rename "$out/away", "$out/$staging" }
        else { for (glob "$out/.realmfs-*.partial") { ($staging) = m{([^/]+)$}; rename $_, "$out/away"; rename "$out/sister", $_ } }
    }
    for my $name (@names) {
        my $file = "$out/$name";
        if ($swap eq 'results') { $back ? (-l $file && unlink $file) : do { unlink $file; symlink "$lure/project/realmfs/$name", $file } }
        if ($swap eq 'names') { $back ? (-p $file && unlink $file) : do { unlink $file; mkfifo $file, 0666 } }
    }
}
`;

/** A user who owns the project folder, and a folder of root's alone that a link of that user leads to. */
export class Swapper {
  readonly project: string;
  readonly #lure: string;
  readonly #sister: string;
  readonly #child: ChildProcess;
  readonly #before: string;
  #asked = 0;
  #answered = 0;

  constructor(top: string, config: string) {
    chmodSync(path.dirname(top), 0o755);
    this.project = path.join(top, 'home/project');
    this.#lure = path.join(top, 'lure');
    this.#sister = path.join(this.project, 'realmfs/sister');
    for (const folder of [this.project, path.join(this.#lure, 'project')]) {
      mkdirSync(path.join(folder, 'realmfs'), { recursive: true });
      writeFileSync(path.join(folder, 'build.conf'), config);
    }
    execFileSync('chown', ['-R', `${OWNER}:${OWNER}`, path.join(top, 'home')]);
    mkdirSync(this.#sister);
    for (const folder of [path.join(this.#lure, 'project/realmfs'), this.#sister]) {
      for (const name of NAMES.split(' ')) writeFileSync(path.join(folder, name), `root's ${name}\n`, { mode: 0o600 });
      chmodSync(folder, 0o700);
    }
    this.#before = this.#ofRoot();
    this.#child = spawn(asUser(OWNER)[0] ?? '', [...asUser(OWNER).slice(1), 'perl', '-e', SCRIPT, top, this.#lure], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#answered += chunk.toString('utf8').split('\n').length - 1;
    });
  }

  say(line: string): void {
    this.#asked += 1;
    this.#child.stdin?.write(`${line}\n`);
  }

  /** All that was said is done, and undone. */
  async settled(swap: Swap): Promise<void> {
    this.say(`back ${swap}`);
    while (this.#answered < this.#asked) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** What has changed of root's folders: content, owners, modes and times. */
  changes(): string[] {
    const [was, is] = [this.#before.split('\n'), this.#ofRoot().split('\n')];
    return [
      ...was.filter((line) => !is.includes(line)).map((line) => `- ${line}`),
      ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`),
    ];
  }

  /** What lies in the user's folders and is not the user's, but for root's own folder there. */
  strange(): string {
    const folder = path.dirname(this.project);
    return execFileSync('find', [folder, '-path', '*/sister', '-prune', '-o', '!', '-uid', String(OWNER), '-print'], { encoding: 'utf8' });
  }

  close(): void {
    this.#child.stdin?.end();
  }

  #ofRoot(): string {
    // A folder that is renamed has another time of change.
    const script =
      'for folder; do cd "$folder"; find . -printf "%p %y %m %u %g %s %T@\\n"; find . -mindepth 1 -printf "%p %C@\\n"; find . -type f -exec sha256sum {} +; done | sort';
    return execFileSync('bash', ['--norc', '-euc', script, 'bash', this.#lure, this.#sister], { encoding: 'utf8' });
  }
}
