#!/bin/bash
# PID 1 of a step's own namespaces: mounts what a step may see on the build's root, moves
# the root to /, drops capabilities, and runs one command inside it.
#
# Arguments: the command, run inside the root.
# Environment: RB_ROOT (the root), RB_STEP (the step's folder: in/, out/, and environment,
#   a file of NAME=VALUE, NUL-separated), RB_NETWORK (on | off), RB_HOSTNAME.
set -Eeuo pipefail
shopt -s inherit_errexit

umask 022
readonly base=/run/realmfs
readonly root=$base/root
# shellcheck source=templates/sandbox/dev.sh
source "${BASH_SOURCE[0]%/*}/dev.sh"

# A step before this one may have put a link where a mount belongs: it would lead the
# mount out of the root.
real_directory() {
    local path=$RB_ROOT part
    local -a parts
    IFS=/ read -r -a parts <<<"${1#/}"
    for part in "${parts[@]}"; do
        path+=/$part
        [[ ! -L $path ]] || {
            printf 'the image has a link at %s, where a folder must be\n' "${path#"$RB_ROOT"}" >&2
            exit 96
        }
        [[ -d $path ]] || mkdir -m 0755 "$path" || exit 96
    done
}

make_proc() {
    local path
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    if [[ -w $root/proc/sys/kernel/hostname ]]; then
        printf '%s\n' "$RB_HOSTNAME" >"$root/proc/sys/kernel/hostname"
    fi
    for path in sys irq bus fs sysrq-trigger; do
        [[ ! -e $root/proc/$path ]] || {
            mount --bind "$root/proc/$path" "$root/proc/$path"
            mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/$path"
        }
    done
    for path in kcore kmsg keys timer_list latency_stats; do
        [[ ! -e $root/proc/$path ]] || mount --bind /dev/null "$root/proc/$path"
    done
}

for path in /dev/shm /proc /sys /run/realmfs /var/cache/apt/archives /var/lib/apt/lists /tmp; do
    real_directory "$path"
done

mkdir -p "$root"
mount --bind "$RB_ROOT" "$root"
mount -o remount,bind,nodev "$root"
make_dev "$root/dev"
# What a step leaves in /dev/shm is there for the next one: it lies in the tree.
chmod 1777 "$RB_ROOT/dev/shm"
mount --bind "$RB_ROOT/dev/shm" "$root/dev/shm"
mount -o remount,bind,nosuid,nodev "$root/dev/shm"
mount -o remount,ro "$root/dev"
make_proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
[[ ! -d $root/sys/firmware ]] || mount -t tmpfs -o ro,size=0 realmfs-mask "$root/sys/firmware"
mount --bind "$base/build/apt/cache" "$root/var/cache/apt"
mount --bind "$base/build/apt/archives" "$root/var/cache/apt/archives"
mount --bind "$base/build/apt/lists" "$root/var/lib/apt/lists"

mount -t tmpfs -o mode=0755,nosuid,nodev,size=64k realmfs-step "$root$base"
mkdir "$root$base"/{project,lib,in,out}
for part in project lib; do
    mount --bind "$base/build/$part" "$root$base/$part"
    mount -o remount,bind,ro,nosuid,nodev "$root$base/$part"
done
mount --bind "$RB_STEP/in" "$root$base/in"
mount -o remount,bind,ro,nosuid,nodev "$root$base/in"
mount --bind "$RB_STEP/out" "$root$base/out"
mount -o remount,bind,nosuid,nodev "$root$base/out"
mount -o remount,ro "$root$base"

[[ $RB_NETWORK == on ]] || ip link set lo up

mapfile -d '' -t environment <"$RB_STEP/environment"

cd "$root"
mount --move . /
status=0
setpriv --pdeathsig KILL --inh-caps -all \
    --bounding-set -all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setfcap,+setpcap,+sys_chroot,+audit_write,+net_bind_service \
    chroot . /usr/bin/env -i "${environment[@]}" "$@" </dev/null &
# bash would write its own line about a command that a signal has ended.
{ wait $! || status=$?; } 2>/dev/null
exit "$status"
