#!/bin/bash
# PID 1 of stage one: has walls.pl run debootstrap on the root, with the package cache and apt's lists in place. Its mounts
# end with it.
#
# Arguments: those of debootstrap. Environment: RB_ROOT.
set -Eeuo pipefail
umask 022
readonly work=/run/realmfs/build/apt
mkdir -p "$RB_ROOT"/var/cache/apt/archives "$RB_ROOT"/var/lib/apt/lists
mount --bind "$work/archives" "$RB_ROOT/var/cache/apt/archives"
mount --bind "$work/lists" "$RB_ROOT/var/lib/apt/lists"
exec perl "${BASH_SOURCE[0]%/*}/walls.pl" bootstrap '' debootstrap "$@"
