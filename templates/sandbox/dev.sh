# shellcheck shell=bash
# Group 5 is Debian's tty; without gid and mode, sudo and tlog fail in a build step.
readonly pts_options=newinstance,gid=5,mode=620,ptmxmode=666,nosuid,noexec

readonly dev_options=mode=0755,size=64k,nr_inodes=64,nosuid,noexec

# make_dev DIR: a /dev with what programs need and nothing of the machine's. The caller
# mounts DIR/shm and then makes DIR read-only.
make_dev() {
    mount -t tmpfs -o "$dev_options" realmfs-dev "$1"
    fill_dev "$1"
    mount -t devpts -o "$pts_options" devpts "$1/pts"
}

# fill_dev DIR: what lies in it.
fill_dev() {
    local dev=$1 name
    local -a nodes=(null zero full random urandom tty) links=(fd stdin stdout stderr)
    if is_usual; then
        # Nodes of our own with the numbers of the host's, in one call: each program costs two milliseconds.
        cp --recursive --no-preserve=all --target-directory="$dev" -- "${nodes[@]/#//dev/}" "${links[@]/#//dev/}"
        (cd "$dev" && chmod 0666 "${nodes[@]}")
    else
        for name in null:3 zero:5 full:7 random:8 urandom:9; do
            mknod -m 0666 "$dev/${name%:*}" c 1 "${name#*:}"
        done
        mknod -m 0666 "$dev/tty" c 5 0
        ln -s /proc/self/fd "$dev/fd"
        for name in 0:stdin 1:stdout 2:stderr; do
            ln -s "/proc/self/fd/${name%%:*}" "$dev/${name#*:}"
        done
    fi
    # The last is where a step and the evaluation have the things of the builder.
    mkdir "$dev/pts" "$dev/shm" "$dev/realmfs"
    ln -s pts/ptmx "$dev/ptmx"
}

# is_usual: whether the host's /dev has the nodes and links that a Linux has.
is_usual() {
    local name
    for name in null zero full random urandom tty; do
        [[ -c /dev/$name && ! -L /dev/$name ]] || return 1
    done
    [[ -L /dev/fd && -L /dev/stdin && -L /dev/stdout && -L /dev/stderr && /dev/fd -ef /proc/self/fd ]]
}

# bind_dev DIR: the same for a user namespace, where no node can be made: those of the host,
# and no terminals.
bind_dev() {
    local dev=$1 name
    mount -t tmpfs -o "$dev_options" realmfs-dev "$dev"
    for name in null zero full random urandom tty; do
        touch "$dev/$name"
        mount --bind "/dev/$name" "$dev/$name"
    done
    ln -s /proc/self/fd "$dev/fd"
    for name in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${name%%:*}" "$dev/${name#*:}"
    done
    mkdir "$dev/shm" "$dev/realmfs"
}
