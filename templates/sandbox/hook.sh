#!/bin/bash
# PID 1 of a binary hook: shows it the finished root and the project, read-only, and the folder of the
# results, which is its working folder.
#
# Arguments: the hook.
set -Eeuo pipefail
umask 022
readonly base=/run/realmfs
mkdir -p "$base"/{root,output,project}
{
    printf '%s\n' "$base/build/root $base/root none bind,ro,nosuid,nodev" \
        "$base/staging/output $base/output none bind,nosuid,nodev" \
        "$base/build/project $base/project none bind,ro,nosuid,nodev"
    for part in build cache source staging stale; do
        printf '%s\n' "realmfs-mask $base/$part tmpfs ro,size=0,mode=0755"
    done
    # What a hook leaves here is for nobody else.
    printf '%s\n' 'realmfs-hook-tmp /tmp tmpfs mode=1777,nosuid,nodev,size=512m'
} >"$base/hook.fstab"
mount --all --fstab "$base/hook.fstab"
mount -o remount,bind,ro,nosuid,nodev /run
cd "$base/output"
# The kernel runs what names its interpreter, and programs; the rest is for bash.
command=("$1")
IFS= LC_ALL=C read -r -n 2 start <"$1" 2>/dev/null || true
[[ $start == '#!' || $start == $'\x7f'E ]] || command=(/bin/bash "$1")
exec perl "${BASH_SOURCE[0]%/*}/walls.pl" hook '' "${command[@]}"
