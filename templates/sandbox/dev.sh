# shellcheck shell=bash
# Group 5 is Debian's tty; without gid and mode, sudo and tlog fail in a build step.
readonly pts_options=newinstance,gid=5,mode=620,ptmxmode=666,nosuid,noexec

# make_dev DIR: a /dev with what programs need and nothing of the machine's. The caller
# mounts DIR/shm and then makes DIR read-only.
make_dev() {
    local dev=$1 name
    mount -t tmpfs -o mode=0755,size=64k,nr_inodes=64,nosuid,noexec realmfs-dev "$dev"
    mknod -m 0666 "$dev/null" c 1 3
    mknod -m 0666 "$dev/zero" c 1 5
    mknod -m 0666 "$dev/full" c 1 7
    mknod -m 0666 "$dev/random" c 1 8
    mknod -m 0666 "$dev/urandom" c 1 9
    mknod -m 0666 "$dev/tty" c 5 0
    ln -s /proc/self/fd "$dev/fd"
    for name in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${name%%:*}" "$dev/${name#*:}"
    done
    mkdir "$dev/pts" "$dev/shm"
    mount -t devpts -o "$pts_options" devpts "$dev/pts"
    ln -s pts/ptmx "$dev/ptmx"
}

# bind_dev DIR: the same for a user namespace, where no node can be made: those of the host,
# and no terminals.
bind_dev() {
    local dev=$1 name
    mount -t tmpfs -o mode=0755,size=64k,nr_inodes=64,nosuid,noexec realmfs-dev "$dev"
    for name in null zero full random urandom tty; do
        touch "$dev/$name"
        mount --bind "/dev/$name" "$dev/$name"
    done
    ln -s /proc/self/fd "$dev/fd"
    for name in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${name%%:*}" "$dev/${name#*:}"
    done
    mkdir "$dev/shm"
}
