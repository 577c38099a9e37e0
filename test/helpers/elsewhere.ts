import path from 'node:path';
import { type Machine, testCache } from './machine.ts';

/** Builds once more, with all that must not matter: another host name, user mask, time zone, language, home, folder. */
export function buildElsewhere(machine: Machine, out: string, ...args: readonly string[]): void {
  machine.shell(
    `out=$1 node=$2 cli=$3; shift 3
     mkdir -p "$out/else where"; cd "$out/else where"; umask 077
     export TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LC_ALL=C HOME=/nonexistent TMPDIR=/nowhere USER=somebody SOMETHING=else
     exec unshare --uts bash -c 'echo other-host >/proc/sys/kernel/hostname; exec "$@"' build \\
       taskset --cpu-list 0 "$node" "$cli" --no-confirm --progress quiet -d "$out" "$@" 2>&1`,
    out,
    process.execPath,
    path.resolve(import.meta.dirname, '../../dist/cli.js'),
    '--set',
    `REALMFS_CACHE_DIR=${testCache}`,
    // All of it.
    '--set',
    'LAYERS_MAX_SIZE=0',
    ...args,
  );
}
