#!/bin/bash
# PID 1 of a target writer: shows it the finished root read-only, without anything that was
# mounted on it, and runs the command with the rights to read every file and no more.
#
# Arguments: the command. The root is its working folder.
# Environment: RB_TREE, the root; for RB_FIRST see walls.pl.
set -Eeuo pipefail
umask 022
readonly base=/run/realmfs
mkdir -p "$base/root"
mount --bind "$RB_TREE" "$base/root"
unset RB_TREE
mount -o remount,bind,ro "$base/root"
for part in build cache source; do
    mount -t tmpfs -o ro,size=0,mode=0755 realmfs-mask "$base/$part"
done
cd "$base/root"
exec perl "${BASH_SOURCE[0]%/*}/walls.pl" writer '' "$@"
