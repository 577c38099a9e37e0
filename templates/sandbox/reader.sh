#!/bin/bash
# PID 1 of a program that reads an image which others have made: it sees the programs of the host, the image and
# the folder to unpack to, and nothing else.
#
# Arguments: the command.
# Environment: RB_RIGHTS, read (it runs as nobody, who may read every file) or unpack (as root, who makes files and devices).
set -Eeuo pipefail
umask 022
# shellcheck source=templates/sandbox/programs.sh
source "${BASH_SOURCE[0]%/*}/programs.sh"
readonly base=/run/realmfs
readonly new=$base/reader
mount -t tmpfs -o mode=0755,nosuid,nodev,size=64k realmfs-reader "$new"
show_programs "$new"
mkdir -p "$new"/{dev,proc,tmp} "$new$base"/{source,build}
mount --rbind /dev "$new/dev"
mount --rbind "$base/source" "$new$base/source"
mount --rbind "$base/build" "$new$base/build"
mount -o remount,bind,ro,nosuid,nodev "$new"
kind=reader
[[ $RB_RIGHTS == read ]] || kind=unpacker
unset RB_RIGHTS
exec perl "${BASH_SOURCE[0]%/*}/walls.pl" "$kind" "$new" "$@"
