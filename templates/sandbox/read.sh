# shellcheck shell=bash disable=SC2154
# What `inspect` and `diff` see beside the view of `plan`: the image, and a tmpfs to unpack to.

make_read_work() {
    mount -t tmpfs -o "mode=0755,nosuid,nodev,size=$RB_TMPFS" realmfs-work "$base/build"
    (umask 077 && printf '%s' "$request" >"$base/staging/request.json")
}
