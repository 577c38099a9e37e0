#!/bin/bash
# What comes between bootstrap and the first module: no daemons are started, and what
# debootstrap has copied from the build's machine is taken out.
set -Eeuo pipefail
umask 022
bash /run/realmfs/lib/chroot/services.sh block
rm -f -- /etc/hostname
printf '%s\n' "$REALMFS_HOSTNAME" >/etc/hostname
rm -f -- /etc/resolv.conf
: >/etc/resolv.conf
printf 'deb %s %s %s\n' "$DEBIAN_MIRROR" "$DEBIAN_RELEASE" "$DEBIAN_COMPONENTS" >/etc/apt/sources.list
