#!/bin/bash
# PID 1 of a step's own namespaces: mounts what a step may see on the build's root, and has walls.pl run one command
# inside it.
#
# Arguments: the command, run inside the root.
# Environment: RB_ROOT (the root), RB_STEP (the step's folder: in/, out/, and environment,
#   a file of NAME=VALUE, NUL-separated; fstab is put there), RB_PROJECT (the folder that it finds as that of
#   the project), RB_NETWORK (on | off), RB_HOSTNAME,
#   RB_ARCH (Debian's name for the architecture of the tree),
#   RB_APT (yes: the builder's own folders of apt are there),
#   RB_TERMINAL (yes: the command talks to the user, on descriptors 5 and 6 of this script).
set -Eeuo pipefail
shopt -s inherit_errexit

umask 022
readonly base=/run/realmfs
readonly root=$base/root
# Where the step finds what is not of its tree. Nothing of it is below /run, /tmp or /var: those are the step's to clear.
readonly inside=/dev/realmfs
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

# What a step sees, in the format of fstab(5): one call of mount makes it all.
mount_table() {
    local part
    printf '%s\n' \
        "$RB_ROOT $root none bind,nodev" \
        "/dev $root/dev none bind,ro,nosuid,noexec" \
        "devpts $root/dev/pts devpts $pts_options" \
        "$RB_ROOT/dev/shm $root/dev/shm none bind,nosuid,nodev" \
        "$base/build/step-base $root$inside none bind,ro,nosuid,nodev" \
        "$RB_PROJECT $root$inside/project none bind,ro,nosuid,nodev" \
        "$base/build/lib $root$inside/lib none bind,ro,nosuid,nodev" \
        "$RB_STEP/in $root$inside/in none bind,ro,nosuid,nodev" \
        "$RB_STEP/out $root$inside/out none bind,nosuid,nodev"
    if [[ ${RB_APT-} == yes ]]; then
        for part in cache archives lists; do
            printf '%s\n' "$base/build/apt/$part $root$inside/apt/$part none bind,nosuid,nodev"
        done
    fi
}

# A step may have removed it; it is for everybody.
[[ -e $RB_ROOT/tmp || -L $RB_ROOT/tmp ]] || mkdir -m 1777 "$RB_ROOT/tmp"
for path in /dev/shm /proc /sys /tmp; do
    real_directory "$path"
done
# What a step leaves in /dev/shm is there for the next one: it lies in the tree.
chmod 1777 "$RB_ROOT/dev/shm"
# The name belongs to the namespace of this step.
[[ ! -w /proc/sys/kernel/hostname ]] || printf '%s\n' "$RB_HOSTNAME" >/proc/sys/kernel/hostname
mkdir -p "$root"
mount_table >"$RB_STEP/fstab"
mount --all --fstab "$RB_STEP/fstab"

[[ $RB_NETWORK == on ]] || ip link set lo up

[[ ${RB_TERMINAL-} != yes ]] || exec <&5 >&6 2>&6 5<&- 6>&-
# What is in the environment may be secret: no argument of a program holds it.
RB_ENVIRONMENT=$RB_STEP/environment exec perl "${BASH_SOURCE[0]%/*}/walls.pl" step "$root" "$@"
