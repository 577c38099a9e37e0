#!/bin/bash
# PID 1 of a target writer: shows it the finished root read-only, without anything that was
# mounted on it, and runs the command with the rights to read every file and no more.
#
# Arguments: the command. The root is its working folder.
# Environment: RB_TREE, the root; for RB_FIRST see walls.pl.
set -Eeuo pipefail
umask 022
readonly base=/run/realmfs
[[ -d $base/root ]] || mkdir "$base/root"
# One call of mount makes it all. Others are written meanwhile.
readonly table=$base/build/writer-$SRANDOM.fstab
{
    printf '%s\n' "$RB_TREE $base/root none bind,ro"
    for part in build cache source; do printf '%s\n' "realmfs-mask $base/$part tmpfs ro,size=0,mode=0755"; done
} >"$table"
mount --all --fstab "$table"
unset RB_TREE
cd "$base/root"
exec perl "${BASH_SOURCE[0]%/*}/walls.pl" writer '' "$@"
