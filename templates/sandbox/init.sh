#!/bin/bash
# PID 1 of a build's namespaces. It arms the lifeline, makes the private view of the
# host, and starts the builder in it. When it ends, the kernel ends all that is left.
#
# fd 3: the lifeline from the launcher. End of file means that the launcher is gone.
#       A line "stop" asks the builder to stop in good order.
# fd 4: events to the launcher, one JSON object a line.
# fd 5, 6: the user's terminal, for the shells of a build, if it may open one.
# fd 7: the output folder, with its lock, which is held until PID 1 has ended.
#
# Mode `plan` has no output folder and staging folder, sees the cache only as root, and may run in a user namespace
# (plan.sh). Its request comes on standard input. Mode `read` is the same with an image, or a tree, in the place of the
# project, and with a tmpfs to unpack to (read.sh).
#
# Environment (set by the launcher, nothing else is there):
#   RB_MODE      build | clean | plan | read       RB_OUT       output folder (host path)
#   RB_STAGING   staging folder      RB_STAGING_ID its device and inode
#   RB_LEFT      staging folders that ended builds have left in the output folder: device and inode, and name, a line each
#   RB_CACHE     cache folder
#   RB_PROJECT   project folder, or empty; the image or the tree that is read
#   RB_KEYRING   the keyring of the archive, or empty
#   RB_PROGRAM   the program's own folder    RB_NODE   the node binary
#   RB_TMPFS     size of the tmpfs in bytes, or empty: build on disk, in the staging folder
set -Eeuo pipefail
shopt -s inherit_errexit

umask 022
readonly base=/run/realmfs
# shellcheck source=templates/sandbox/dev.sh
source "${BASH_SOURCE[0]%/*}/dev.sh"
# shellcheck source=templates/sandbox/view.sh
source "${BASH_SOURCE[0]%/*}/view.sh"
# shellcheck source=templates/sandbox/plan.sh
source "${BASH_SOURCE[0]%/*}/plan.sh"
# shellcheck source=templates/sandbox/read.sh
source "${BASH_SOURCE[0]%/*}/read.sh"

make_work() {
    if [[ -z $RB_TMPFS ]]; then
        mount --bind "$base/staging/build" "$base/build"
    fi
    mkdir -p "$base"/cache/apt/{archives,lists}/partial \
        "$base"/build/{root,project,evaluate,lib,steps,parts,step-base/{project,lib,in,out,apt/{cache,archives,lists}},evaluate-base/{project,lib},apt/{archives,lists}{,-upper,-work},apt/cache}
    # By these a step asks the builder, which makes no pipes with a name itself.
    mkfifo -m 0600 "$base"/build/{ask,answer}
    # What packages were fetched by earlier builds lies below, what this build writes lies above.
    local part
    for part in archives lists; do
        row "realmfs-$part" "$base/build/apt/$part" overlay \
            "lowerdir=$base/cache/apt/$part,upperdir=$base/build/apt/$part-upper,workdir=$base/build/apt/$part-work"
    done >"$base/build/fstab"
    mount --all --fstab "$base/build/fstab"
}

# remove_stale FOLDER...: the mark by which a staging folder is known (staging.ts) goes last.
remove_stale() {
    local stale
    for stale in "$@"; do
        [[ -d $stale ]] || continue
        find "$stale" -xdev -mindepth 1 ! -path "$stale/build" -delete
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
    local architecture architecture_fd
    exec {architecture_fd}< <(dpkg --print-architecture)
    {
        case $RB_MODE in
            plan)
                make_plan_view
                make_plan_work
                ;;
            read)
                make_plan_view
                make_read_work
                ;;
            *)
                make_view
                remove_stale "$base"/stale/*
                make_work
                ;;
        esac
        [[ $RB_MODE == read ]] || copy_library
    } >&2
    printf 'ready %s\n' "$architecture"
}

# copy_library: the builder's own scripts, modules and files as steps see them, readable for all.
copy_library() {
    local from=$base/program to=$base/build/lib
    # With the modes of new files, whatever the program's own are.
    cp --recursive --no-preserve=mode --target-directory="$to" -- "$from/templates/chroot"
    cp --recursive --no-preserve=mode --no-target-directory -- "$from/realmfs-modules" "$to/modules"
    cp --recursive --no-preserve=mode --no-target-directory -- "$from/templates/realmfs-files" "$to/files"
}

lifeline() {
    local word
    exec 4>&-
    while read -r word <&3; do
        [[ $word != stop ]] || kill -TERM "$1" 2>/dev/null || true
    done
}

request=
case $RB_MODE in plan | read) request=$(cat) ;; esac
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
