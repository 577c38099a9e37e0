#!/bin/bash
# PID 1 of a program that reads an image which others have made: it sees the programs of the host, the image and
# the folder to unpack to, and nothing else.
#
# Arguments: the command.
# Environment: RB_RIGHTS, read (it runs as nobody, who may read every file) or unpack (as root, who makes files and devices).
set -Eeuo pipefail
umask 022
readonly base=/run/realmfs
readonly new=$base/reader
# shellcheck source=templates/sandbox/dev.sh
source "${BASH_SOURCE[0]%/*}/dev.sh"
mount -t tmpfs -o mode=0755,nosuid,nodev,size=64k realmfs-reader "$new"
for part in bin sbin lib lib32 lib64 libx32 usr; do
    if [[ -L /$part ]]; then
        ln -s -- "$(readlink "/$part")" "$new/$part"
    elif [[ -d /$part ]]; then
        mkdir "$new/$part"
        mount --rbind "/$part" "$new/$part"
    fi
done
mkdir -p "$new"/{dev,proc,tmp} "$new$base"/{source,build}
mount --rbind /dev "$new/dev"
mount --rbind /proc "$new/proc"
proc_masks "$new/proc" >"$new/fstab"
mount --all --fstab "$new/fstab"
rm "$new/fstab"
mount --rbind "$base/source" "$new$base/source"
mount --rbind "$base/build" "$new$base/build"
cd "$new"
pivot_root . .
umount --lazy .
cd /
mount -o remount,bind,ro,nosuid,nodev /
user=()
ambient=-all
if [[ $RB_RIGHTS == unpack ]]; then
    rights=-all,+chown,+dac_override,+fowner,+fsetid,+mknod
else
    rights=-all,+dac_read_search
    ambient=$rights
    # A user namespace knows no id but that of the caller.
    read -r _ _ ids </proc/self/uid_map
    [[ $ids == 1 ]] || user=(--reuid 65534 --regid 65534 --clear-groups)
fi
unset RB_RIGHTS
status=0
setpriv --pdeathsig KILL "${user[@]}" --inh-caps "$ambient" --ambient-caps "$ambient" --bounding-set "$rights" --no-new-privs "$@" </dev/null &
{ wait $! || status=$?; } 2>/dev/null
exit "$status"
