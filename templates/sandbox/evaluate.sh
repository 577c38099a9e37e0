#!/bin/bash
# PID 1 of the evaluation of build.conf: shows it the programs of the host, the scripts of the project and ours, and nothing
# else, and has walls.pl run bash as nobody, without any capability. A step reads build.conf again, and finds no other file of
# the host either: what is read here alone would be part of the plan and not of the image.
#
# Arguments: those of templates/chroot/evaluate.sh. The second one is the file that it writes.
set -Eeuo pipefail
umask 022
# shellcheck source=templates/sandbox/programs.sh
source "${BASH_SOURCE[0]%/*}/programs.sh"
readonly base=/run/realmfs
readonly inside=/dev/realmfs
readonly new=$base/reader
mount -t tmpfs -o mode=0755,nosuid,nodev,size=4m realmfs-evaluation "$new"
show_programs "$new"
mkdir -p "$new"/{dev,proc,sys,tmp,etc/alternatives,"${2%/*}"}
: >"$new$2"
# What names of programs, of users and of libraries lead through.
files=()
for file in /etc/{passwd,group,nsswitch.conf,ld.so.cache}; do
    [[ ! -f $file ]] || files+=("$file")
done
((${#files[@]} == 0)) || cp --target-directory="$new/etc" -- "${files[@]}"
# One call of mount makes the rest.
{
    printf '%s\n' "/dev $new/dev none rbind" "$2 $new$2 none bind"
    # The same paths as in a step: build.conf is read in both.
    printf '%s\n' "$base/build/evaluate-base $new$inside none bind,ro,nosuid,nodev" \
        "$base/build/evaluate $new$inside/project none bind,ro,nosuid,nodev" \
        "$base/build/lib $new$inside/lib none bind,ro,nosuid,nodev"
    [[ ! -d /etc/alternatives ]] || printf '%s\n' "/etc/alternatives $new/etc/alternatives none bind,ro,nosuid,nodev"
    # What build.conf leaves in /tmp is not for the builder.
    printf '%s\n' "realmfs-evaluate-tmp $new/tmp tmpfs mode=1777,nosuid,nodev,size=64m"
} >"$base/build/evaluate.fstab"
mount --all --fstab "$base/build/evaluate.fstab"
mount -o remount,bind,ro,nosuid,nodev "$new"
ip link set lo up
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent TERM=dumb LANG=C.UTF-8 REALMFS_PROJECT="$inside/project" \
    perl "${BASH_SOURCE[0]%/*}/walls.pl" evaluation "$new" bash --noprofile --norc "$inside/lib/chroot/evaluate.sh" "$@"
