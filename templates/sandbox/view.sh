# shellcheck shell=bash disable=SC2154
# The private view of the host in which a build runs: all of it read-only, and what is new above it.
# Sourced by init.sh, which knows the variables.

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
        for flag in nosuid nodev noexec nosymfollow; do
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

# is_same FOLDER ID SHOWN: somebody else may own the output folder, or one above it, and could put a link in the
# place of a folder that will be written to or emptied.
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
    [[ -L /etc/resolv.conf || -L /etc ]] || return 0
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
    local new=$RB_CACHE/mnt/view table=$RB_CACHE/mnt/fstab stale id index resolv=
    local -a stales=() ids=()
    [[ ! -r /etc/resolv.conf ]] || resolv=$(</etc/resolv.conf)
    while read -r id stale; do
        [[ -z $stale ]] || {
            stales+=("$RB_OUT/$stale")
            ids+=("$id")
        }
    done <<<"$RB_LEFT"

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
    mkdir -p "$new$base"/{program,staging,cache,build,source,reader,stale}
    {
        row devpts "$new/dev/pts" devpts "$pts_options"
        row shm "$new/dev/shm" tmpfs mode=1777,nosuid,nodev,size=64m
        row "$RB_PROGRAM" "$new$base/program" none bind,ro,nosuid,nodev
        row "$RB_STAGING" "$new$base/staging" none bind
        row "$RB_CACHE" "$new$base/cache" none bind
        # Root follows no link of somebody else's project, whenever it is put there.
        [[ -z $RB_PROJECT ]] || row "$RB_PROJECT" "$new$base/source" none bind,ro,nosuid,nodev,nosymfollow
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
    # Nothing but this shell and the builder is there when the root changes.
    # shellcheck disable=SC2034
    [[ $RB_MODE == clean ]] || read -r architecture <&"$architecture_fd"
    [[ $RB_MODE == clean ]] || read -r _ || exit 1
    cd "$1" || exit 1
    pivot_root . .
    umount --lazy .
    cd /
    keep_keyring
}
