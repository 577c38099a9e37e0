# shellcheck shell=bash disable=SC2154
# The view of `plan` and `read`: the host, read-only and without exception. It is made in the same way for
# root and, in a user namespace, for anybody else. There, mounts come in locked: none can be
# bound without those below it, and none can lose a flag.

# read_only_below TARGET [HIDDEN...]: makes the mounts at and below TARGET read-only, but those
# at and below TARGET/HIDDEN. $more: further flags, each after a comma.
read_only_below() {
    local top=$1 target part
    shift
    local -a fields
    local -A flags=()
    while read -r -a fields; do
        printf -v target '%b' "${fields[4]}"
        [[ $target == "$top" || $target == "$top"/* ]] || continue
        for part in "$@"; do
            [[ $target != "$top/$part" && $target != "$top/$part"/* ]] || continue 2
        done
        # Of two mounts on one place, the flags of both: which is the upper one is not said.
        flags[$target]+=,
        for part in nosuid nodev noexec nosymfollow; do
            [[ ,${fields[5]}, != *",$part,"* ]] || flags[$target]+=$part,
        done
    done </proc/self/mountinfo
    for target in "${!flags[@]}"; do
        # What cannot be reached here, nobody in the view can reach.
        [[ ! -e $target ]] || mount -o "remount,bind,ro${flags[$target]%,}${more-}" -- "$target"
    done
}

make_plan_view() {
    local new=/sys/view part more=
    # A place that hides nothing of the project, the program and node.
    mount -t tmpfs -o mode=0755,size=64k realmfs-view /sys
    mkdir "$new"
    mount --rbind / "$new"
    read_only_below "$new" proc sys dev run tmp
    mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
    bind_dev "$new/dev"
    read_only_below "$new/dev" shm
    mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m shm "$new/dev/shm"
    mount -t tmpfs -o mode=0755,nosuid,nodev,size=64m realmfs-run "$new/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m realmfs-tmp "$new/tmp"
    open_keyring

    mkdir -p "$new$base"/{program,staging,cache,build,source,reader,stale}
    mount --rbind -- "$RB_PROGRAM" "$new$base/program"
    if [[ -f $RB_PROJECT ]]; then
        # An image.
        : >"$new$base/source/image"
        mount --bind -- "$RB_PROJECT" "$new$base/source/image"
    elif [[ -n $RB_PROJECT ]]; then
        mount --rbind -- "$RB_PROJECT" "$new$base/source"
    fi
    [[ -z $RB_CACHE ]] || mount --rbind -- "$RB_CACHE" "$new$base/cache"
    for part in program cache; do
        read_only_below "$new$base/$part"
    done
    # As in a build: no link of the project is followed.
    [[ $RB_MODE == read ]] || more=,nosymfollow
    read_only_below "$new$base/source"
    more=
    enter_view "$new"
}

# The bound is that of two copies of the largest project; it takes what they take.
make_plan_work() {
    mount -t tmpfs -o mode=0755,nosuid,nodev,size=4608m realmfs-work "$base/build"
    mkdir -p "$base"/build/{project,evaluate,lib,evaluate-base/{project,lib}}
    (umask 077 && printf '%s' "$request" >"$base/staging/request.json")
}
