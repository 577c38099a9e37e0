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

# The mounts of the host that a build must see: everything but what is made anew below. Of each the
# place, and the flags that its copy must keep: a remount that does not name them takes them away.
host_mounts() {
    local -a fields
    local target flag flags
    while read -r -a fields; do
        printf -v target '%b' "${fields[4]}"
        case $target in
            /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/* | /tmp | /tmp/*) continue ;;
            "$RB_CACHE"/mnt | "$RB_CACHE"/mnt/*) continue ;;
        esac
        flags=''
        for flag in nosuid nodev noexec; do
            [[ ,${fields[5]}, != *",$flag,"* ]] || flags+=,$flag
        done
        printf '%s\0' "$target" "$flags"
    done </proc/self/mountinfo
}

# row SOURCE TARGET TYPE OPTIONS: a line of fstab(5). One call of mount makes all of a table.
row() {
    local -a words=("$1" "$2")
    words=("${words[@]//\\/\\134}")
    words=("${words[@]// /\\040}")
    words=("${words[@]//$'\t'/\\011}")
    words=("${words[@]//$'\n'/\\012}")
    words=("${words[@]//#/\\043}")
    printf '%s\n' "${words[*]} $3 $4"
}

# is_same FOLDER ID SHOWN: the output folder may belong to somebody else, who could put a link in the
# place of a folder that will be emptied.
is_same() {
    local found
    found=$(stat --format=%d:%i -- "$1")
    [[ $found == "$2" ]] || {
        printf '%s is not the folder that it was\n' "$3" >&2
        exit 96
    }
}

# mount_host NEW TABLE: shows the host, read-only, and what is new in the view.
mount_host() {
    local new=$1 index target
    local -a targets
    mapfile -d '' -t targets < <(host_mounts)
    {
        for ((index = 0; index < ${#targets[@]}; index += 2)); do
            target=${targets[index]}
            # A mount that is hidden by another, or on a file that is gone, is not in the view.
            [[ ! -e $target ]] || row "$target" "$new${target%/}" none "bind,ro,nofail${targets[index + 1]}"
        done
        row proc "$new/proc" proc nosuid,nodev,noexec
        row sysfs "$new/sys" sysfs ro,nosuid,nodev,noexec
        row realmfs-dev "$new/dev" tmpfs "$dev_options"
        row realmfs-run "$new/run" tmpfs mode=0755,nosuid,nodev,size=256m
        row realmfs-tmp "$new/tmp" tmpfs mode=1777,nosuid,nodev,size=512m
    } >"$2"
    mount --all --fstab "$2"
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
    local new=$RB_CACHE/mnt/view table=$RB_CACHE/mnt/fstab stale index resolv=
    local -a stales=() ids=()
    [[ ! -r /etc/resolv.conf ]] || resolv=$(</etc/resolv.conf)
    for stale in "$RB_OUT"/.realmfs-*.partial; do
        [[ ! -d $stale || -L $stale || ! -O $stale || $stale == "$RB_STAGING" ]] || {
            stales+=("$stale")
            ids+=("$(stat --format=%d:%i -- "$stale")")
        }
    done

    # A place that nobody else can write, and that is gone with the host.
    mount -t tmpfs -o mode=0755,size=1m realmfs-view "$RB_CACHE/mnt"
    mkdir "$new"
    # A mount of the host may vanish in between: once more.
    mount_host "$new" "$table" || {
        umount --recursive "$new"
        mount_host "$new" "$table"
    }
    keep_resolv_conf "$new" "$resolv"
    open_keyring
    fill_dev "$new/dev"
    mkdir -p "$new$base"/{program,staging,cache,build,source,project,lib,stale}
    {
        row devpts "$new/dev/pts" devpts "$pts_options"
        row shm "$new/dev/shm" tmpfs mode=1777,nosuid,nodev,size=64m
        row "$RB_PROGRAM" "$new$base/program" none bind,ro,nosuid,nodev
        row "$RB_STAGING" "$new$base/staging" none bind
        row "$RB_CACHE" "$new$base/cache" none bind
        [[ -z $RB_PROJECT ]] || row "$RB_PROJECT" "$new$base/source" none bind,ro,nosuid,nodev
        for index in "${!stales[@]}"; do
            mkdir "$new$base/stale/$index"
            row "${stales[index]}" "$new$base/stale/$index" none bind
        done
        [[ $RB_MODE != build || -z $RB_TMPFS ]] \
            || row realmfs-work "$new$base/build" tmpfs "mode=0755,size=$RB_TMPFS,nr_inodes=$((RB_TMPFS / 8192))"
    } >"$table"
    mount --all --fstab "$table"
    is_same "$new$base/staging" "$RB_STAGING_ID" "$RB_STAGING"
    for index in "${!stales[@]}"; do is_same "$new$base/stale/$index" "${ids[index]}" "${stales[index]}"; done
    mount -o remount,ro "$new/dev"

    # What the host mounts later must not appear here.
    mount --make-rprivate "$new"
    # From here on nothing of the host can be written but the staging folder and the cache.
    enter_view "$new"
}

enter_view() {
    local word
    [[ $RB_MODE == clean ]] || read -r word || exit 1
    cd "$1"
    pivot_root . .
    umount --lazy .
    cd /
    keep_keyring
}

make_work() {
    if [[ -z $RB_TMPFS ]]; then
        mkdir -m 0755 "$base/staging/build"
        mount --bind "$base/staging/build" "$base/build"
    fi
    mkdir -p "$base"/cache/apt/{archives,lists}/partial \
        "$base"/build/{root,project,evaluate,lib,steps,parts,step-base/{project,lib,in,out},apt/{archives,lists}{,-upper,-work},apt/cache/archives}
    # Left by builds that were killed while they took a file in.
    find "$base"/cache/apt/{archives,lists}/partial -xdev -type f -mmin +1440 -delete
    # What packages were fetched by earlier builds lies below, what this build writes lies above.
    local part
    for part in archives lists; do
        row "realmfs-$part" "$base/build/apt/$part" overlay \
            "lowerdir=$base/cache/apt/$part,upperdir=$base/build/apt/$part-upper,workdir=$base/build/apt/$part-work"
    done >"$base/build/fstab"
    mount --all --fstab "$base/build/fstab"
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
    if [[ $RB_MODE == clean ]]; then
        make_view
        remove_stale
        remove_stale "$base/staging"
        return 0
    fi
    # Node takes as long to start as the view: both begin now, and its root becomes that of the view
    # as soon as it has read its code. Its standard input says that the view is there, descriptor 3
    # that the code is read.
    cd /
    local out
    coproc VIEW { make_all; }
    # By way of 1, since bash closes a copy of a coprocess's descriptor when a program begins.
    exec {out}>&1 1>&"${VIEW[1]}" 3>&1 1>&"$out" {out}>&-
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb TMPDIR=/tmp \
        "$RB_NODE" --no-warnings "$RB_PROGRAM/dist/builder.js" "$RB_MODE" <&"${VIEW[0]}"
}

# make_all: makes the view and the places of a build in it, and says so on standard output, with
# the host's architecture as dpkg names it.
make_all() {
    {
        if [[ $RB_MODE == plan ]]; then
            make_plan_view
            make_plan_work
        else
            make_view
            remove_stale
            make_work
        fi
        copy_library
    } >&2
    printf 'ready %s\n' "$(dpkg --print-architecture)"
}

# copy_library: the builder's own scripts, modules and files as steps see them, readable for all.
copy_library() {
    local from=$base/program to=$base/build/lib
    cp --recursive --target-directory="$to" -- "$from/templates/chroot"
    cp --recursive --no-target-directory -- "$from/realmfs-modules" "$to/modules"
    cp --recursive --no-target-directory -- "$from/templates/realmfs-files" "$to/files"
    chmod --recursive a+rX "$to"
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
