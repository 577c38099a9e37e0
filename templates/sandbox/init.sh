#!/bin/bash
# PID 1 of a build's namespaces. It arms the lifeline, makes the private view of the
# host, and starts the builder in it. When it ends, the kernel ends all that is left.
#
# fd 3: the lifeline from the launcher. End of file means that the launcher is gone.
#       A line "stop" asks the builder to stop in good order.
# fd 4: events to the launcher, one JSON object a line.
# fd 5, 6: the user's terminal, for the shells of a build, if it may open one.
#
# Mode `plan` has no output folder and staging folder, sees the cache only as root, and may run in a user namespace
# (plan.sh). Its request comes on standard input.
#
# Environment (set by the launcher, nothing else is there):
#   RB_MODE      build | clean | plan       RB_OUT       output folder (host path)
#   RB_STAGING   staging folder      RB_STAGING_ID its device and inode
#   RB_CACHE     cache folder
#   RB_PROJECT   project folder, or empty
#   RB_KEYRING   the keyring of the archive, or empty
#   RB_PROGRAM   the program's own folder    RB_NODE   the node binary
#   RB_TMPFS     size of the tmpfs in bytes, or empty: build on disk, in the staging folder
#   RB_HOME      the home folder of a caller who is not root, or empty: build.conf does not see it
set -Eeuo pipefail
shopt -s inherit_errexit

umask 022
readonly base=/run/realmfs
# shellcheck source=templates/sandbox/dev.sh
source "${BASH_SOURCE[0]%/*}/dev.sh"
# shellcheck source=templates/sandbox/plan.sh
source "${BASH_SOURCE[0]%/*}/plan.sh"

# The mounts of the host that a build must see: everything but what is made anew below.
host_mounts() {
    local -a fields
    local target
    while read -r -a fields; do
        printf -v target '%b' "${fields[4]}"
        case $target in
            / | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/* | /tmp | /tmp/*) ;;
            "$RB_CACHE"/mnt | "$RB_CACHE"/mnt/*) ;;
            *) printf '%s\0' "$target" ;;
        esac
    done </proc/self/mountinfo
}

bind_read_only() {
    mount --bind -- "$1" "$2"
    mount -o remount,bind,ro -- "$2"
}

# bind_same FOLDER TARGET ID: the output folder may belong to somebody else, who could put a link
# in the place of a folder that will be emptied.
bind_same() {
    mount --bind -- "$1" "$2"
    [[ $(stat --format=%d:%i -- "$2") == "$3" ]] || {
        umount -- "$2"
        printf '%s is not the folder that it was\n' "$1" >&2
        exit 96
    }
}

# The host's resolv.conf is often a link into /run, which the view hides: put the text
# where the link leads, so that fetches find their name servers.
keep_resolv_conf() {
    local new=$1 text=$2 link
    link=$(readlink -m -- /etc/resolv.conf)
    case $link in
        /run/* | /tmp/*)
            mkdir -p -- "$new${link%/*}"
            printf '%s\n' "$text" >"$new$link"
            ;;
    esac
}

# A keyring below a folder that the view hides is put where it lies on the host: opened before the
# view is entered, and written in it. Its path is the user's word, and must lead nowhere else.
keyring=
open_keyring() {
    case $RB_KEYRING in
        /run/* | /tmp/*) [[ ! -f $RB_KEYRING ]] || exec {keyring}<"$RB_KEYRING" ;;
    esac
}
keep_keyring() {
    [[ -n $keyring ]] || return 0
    mkdir -p -- "${RB_KEYRING%/*}"
    (umask 077 && cat <&"$keyring" >"$RB_KEYRING")
    exec {keyring}<&-
}

make_view() {
    local new=$RB_CACHE/mnt target stale index resolv=
    local -a targets=() stales=() ids=()
    [[ ! -r /etc/resolv.conf ]] || resolv=$(</etc/resolv.conf)
    mapfile -d '' -t targets < <(host_mounts)
    for stale in "$RB_OUT"/.realmfs-*.partial; do
        [[ ! -d $stale || -L $stale || ! -O $stale || $stale == "$RB_STAGING" ]] || {
            stales+=("$stale")
            ids+=("$(stat --format=%d:%i -- "$stale")")
        }
    done

    bind_read_only / "$new"
    for target in "${targets[@]}"; do
        # A mount that is hidden by another, or on a file that is gone, is not in the view.
        [[ ! -e $target || ! -e $new$target ]] || bind_read_only "$target" "$new$target"
    done
    mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
    make_dev "$new/dev"
    mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m shm "$new/dev/shm"
    mount -o remount,ro "$new/dev"
    mount -t tmpfs -o mode=0755,nosuid,nodev,size=256m realmfs-run "$new/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev,size=512m realmfs-tmp "$new/tmp"
    keep_resolv_conf "$new" "$resolv"
    open_keyring

    mkdir -p "$new$base"/{program,staging,cache,build,source,project,lib,stale}
    touch "$new$base/node"
    bind_read_only "$RB_PROGRAM" "$new$base/program"
    bind_read_only "$RB_NODE" "$new$base/node"
    bind_same "$RB_STAGING" "$new$base/staging" "$RB_STAGING_ID"
    mount --bind -- "$RB_CACHE" "$new$base/cache"
    [[ -z $RB_PROJECT ]] || bind_read_only "$RB_PROJECT" "$new$base/source"
    for index in "${!stales[@]}"; do
        mkdir "$new$base/stale/$index"
        bind_same "${stales[index]}" "$new$base/stale/$index" "${ids[index]}"
    done

    # What the host mounts later must not appear here.
    mount --make-rprivate "$new"
    # From here on nothing of the host can be written but the staging folder and the cache.
    enter_view "$new"
}

enter_view() {
    cd "$1"
    pivot_root . .
    umount --lazy .
    cd /
    keep_keyring
}

make_work() {
    if [[ -n $RB_TMPFS ]]; then
        mount -t tmpfs -o "mode=0755,size=$RB_TMPFS,nr_inodes=$((RB_TMPFS / 8192))" realmfs-work "$base/build"
    else
        mkdir -m 0755 "$base/staging/build"
        mount --bind "$base/staging/build" "$base/build"
    fi
    mkdir "$base"/build/{root,project,evaluate,lib,steps,parts,step-base,step-base/project,step-base/lib,step-base/in,step-base/out,apt,apt/archives-upper,apt/archives-work,apt/archives,apt/lists-upper,apt/lists-work,apt/lists,apt/cache,apt/cache/archives}
    # What packages were fetched by earlier builds lies below, what this build writes lies above.
    local part
    for part in archives lists; do
        mkdir -p "$base/cache/apt/$part/partial"
        # Left by builds that were killed while they took a file in.
        find "$base/cache/apt/$part/partial" -xdev -type f -mmin +1440 -delete
        mount -t overlay -o "lowerdir=$base/cache/apt/$part,upperdir=$base/build/apt/$part-upper,workdir=$base/build/apt/$part-work" \
            "realmfs-$part" "$base/build/apt/$part"
    done
}

remove_stale() {
    local stale
    for stale in "$base"/stale/* "$@"; do
        [[ -d $stale ]] || continue
        find "$stale" -xdev -mindepth 1 -delete
    done
}

work() {
    local fd
    # The lock and the lifeline belong to PID 1 alone.
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        case $fd in 0 | 1 | 2 | 4 | 5 | 6 | 255) ;; *) exec {fd}>&- ;; esac
    done
    if [[ $RB_MODE == plan ]]; then
        make_plan_view
        make_plan_work
    else
        make_view
        remove_stale
        if [[ $RB_MODE == clean ]]; then
            remove_stale "$base/staging"
            return 0
        fi
        make_work
    fi
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb TMPDIR=/tmp \
        "$base/node" --no-warnings "$base/program/dist/builder.js" "$RB_MODE" </dev/null
}

lifeline() {
    local word
    exec 4>&-
    while read -r word <&3; do
        [[ $word != stop ]] || kill -TERM "$1" 2>/dev/null || true
    done
}

request=
[[ $RB_MODE != plan ]] || request=$(cat)
work &
worker=$!
lifeline "$worker" &
watcher=$!
status=0
ended=
wait -n -p ended || status=$?
if [[ $ended == "$worker" ]]; then
    # On a line of its own, whatever the builder has left unfinished. The lock lasts until the
    # launcher has given the results their names and lets the lifeline go.
    printf '\n{"kind":"ended"}\n' >&4
    wait "$watcher" || true
fi
exit "$status"
