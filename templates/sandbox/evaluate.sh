#!/bin/bash
# PID 1 of the evaluation of build.conf: shows it the scripts of the project and has walls.pl run bash as nobody, without
# any capability.
#
# Arguments: those of templates/chroot/evaluate.sh. The second one is the file that it writes.
set -Eeuo pipefail
readonly base=/run/realmfs
readonly inside=/dev/realmfs
# One call of mount makes it all.
{
    # The same paths as in a step: build.conf is read in both.
    printf '%s\n' "$base/build/evaluate-base $inside none bind,ro,nosuid,nodev" \
        "$base/build/evaluate $inside/project none bind,ro,nosuid,nodev" \
        "$base/build/lib $inside/lib none bind,ro,nosuid,nodev"
    for part in build cache staging source stale; do
        printf '%s\n' "realmfs-mask $base/$part tmpfs ro,size=0,mode=0755"
    done
    # What build.conf leaves in /tmp is not for the builder.
    # mount takes a row for done if the same source is mounted on the same place: its name is another
    # one than that of the builder's.
    printf '%s\n' 'realmfs-evaluate-tmp /tmp tmpfs mode=1777,nosuid,nodev,size=64m'
} >"$base/build/evaluate.fstab"
mount --all --fstab "$base/build/evaluate.fstab"
read -r _ _ ids </proc/self/uid_map
if [[ $ids == 1 ]]; then
    # A plan without root: the user namespace knows no id but that of the caller. So what belongs
    # to the caller, and would not to nobody, is taken out of reach.
    home=$(readlink "$base/home" || true)
    [[ $home == / || ! -d $home || ! -O $home ]] || mount -t tmpfs -o ro,size=0,mode=0755 realmfs-mask "$home"
    mount --bind "$2" "$2"
    mount -o remount,bind,ro,nosuid,nodev /run
fi
ip link set lo up
cd /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent TERM=dumb LANG=C.UTF-8 REALMFS_PROJECT="$inside/project" \
    perl "${BASH_SOURCE[0]%/*}/walls.pl" evaluation '' bash --noprofile --norc "$inside/lib/chroot/evaluate.sh" "$@"
