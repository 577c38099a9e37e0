#!/bin/bash
# PID 1 of a program that reads an image which others have made: it sees the programs of the host, the image and
# the folder to unpack to, and nothing else.
#
# Arguments: the command.
set -Eeuo pipefail
umask 022
readonly base=/run/realmfs
readonly new=$base/lib
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
mount --rbind "$base/source" "$new$base/source"
mount --rbind "$base/build" "$new$base/build"
cd "$new"
pivot_root . .
umount --lazy .
cd /
mount -o remount,bind,ro,nosuid,nodev /
status=0
setpriv --pdeathsig KILL --inh-caps -all --bounding-set -all,+chown,+dac_override,+fowner,+fsetid,+mknod --no-new-privs "$@" </dev/null &
{ wait $! || status=$?; } 2>/dev/null
exit "$status"
