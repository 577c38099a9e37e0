#!/bin/bash
# What comes between bootstrap and the first module: no daemons are started, and what
# debootstrap has copied from the build's machine is taken out.
set -Eeuo pipefail
umask 022
number=0 key_number=0

# Stand-ins that start nothing, until finalize.ts takes them out. invoke-rc.d asks the first only if it is
# executable; 101 means: not allowed. dpkg unpacks the other one's original beside it.
stand_ins=/dev/realmfs/lib/chroot/stand-ins
daemon=/usr/sbin/start-stop-daemon
[[ -e /sbin/start-stop-daemon && ! -L /sbin ]] && daemon=/sbin/start-stop-daemon
install -m 0755 "$stand_ins/policy-rc.d" /usr/sbin/policy-rc.d
dpkg-divert --quiet --local --rename --divert "$daemon.realmfs" --add "$daemon"
install -m 0755 "$stand_ins/start-stop-daemon" "$daemon"

# However dpkg is called, it asks nobody about a configuration file, and keeps the one that is there. --force-confnew
# still takes that of the package, which it would not beside force-confdef. It is the builder's file, and goes in finalize.
mkdir -p /etc/dpkg/dpkg.cfg.d
echo force-confold >/etc/dpkg/dpkg.cfg.d/realmfs-builder

rm -f -- /etc/hostname
printf '%s\n' "$REALMFS_HOSTNAME" >/etc/hostname
rm -f -- /etc/resolv.conf
: >/etc/resolv.conf
signed_by=
# Keys that lie in the image already, or that the builder hands in.
if [[ -e /dev/realmfs/in/archive-keyring ]]; then
    mkdir -p /etc/apt/keyrings
    install -m 0644 /dev/realmfs/in/archive-keyring "$DEBIAN_SIGNED_BY"
    signed_by="[signed-by=$DEBIAN_SIGNED_BY] "
fi
printf 'deb %s%s %s %s\n' "$signed_by" "$DEBIAN_MIRROR" "$DEBIAN_RELEASE" "$DEBIAN_COMPONENTS" >/etc/apt/sources.list
if [[ -n $EXTRA_SOURCES ]]; then
    mkdir -p /etc/apt/keyrings
    while IFS= read -r key; do
        [[ -z $key ]] || install -m 0644 -- "/dev/realmfs/in/extra-key-$((key_number++))" "/etc/apt/keyrings/$key"
    done <<<"$EXTRA_KEYS"
    printf '%s' "$EXTRA_SOURCES" >/etc/apt/sources.list.d/extra.sources
fi
# Those of a live-build tree: in/archives has a line for each, `FOLDER NAME`, in/archive-N the file.
while read -r folder name; do
    install -m 0644 "/dev/realmfs/in/archive-$((number++))" "/etc/apt/$folder/$name"
done </dev/realmfs/in/archives
[[ -z $EXTRA_PINS ]] || printf '%s' "$EXTRA_PINS" >/etc/apt/preferences.d/extra.pref
