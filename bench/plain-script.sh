#!/bin/bash
# What a builder without layers does, as a plain shell script: debootstrap on a tmpfs with a bound
# apt cache, chroot, the packages and modules of a build.conf, tar, sha256sum.
#
# Usage, as root in a mount namespace: plain-script.sh WORK PROJECT ARCHIVES MIRROR SOURCES
#   WORK      an empty folder on a tmpfs; the tarball is WORK/realmfs-rootfs.tar
#   PROJECT   build.conf and realmfs-files/
#   ARCHIVES  a folder of .deb files
#   SOURCES   the apt sources of the image
set -Eeuo pipefail
work=$1 project=$2 archives=$3 mirror=$4 sources=$5
root=$work/root
umask 022
# shellcheck disable=SC1091
source "$project/build.conf"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

mkdir -p "$root/var/cache/apt/archives"
mount --bind "$archives" "$root/var/cache/apt/archives"
debootstrap --merged-usr --variant=minbase --include=systemd-sysv,locales --components="$DEBIAN_COMPONENTS" \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --force-check-gpg "$DEBIAN_RELEASE" "$root" "$mirror"

mount -t proc proc "$root/proc"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
rm -f "$root/etc/apt/sources.list"
cp "$sources" "$root/etc/apt/sources.list.d/debian.sources"
echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/01norecommends"
cp -r "$project" "$root/project"
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }
inside apt-get update -q -o Acquire::Languages=none
inside apt-get upgrade -y -q
# shellcheck disable=SC2086
inside apt-get install -y -q $PACKAGES
# shellcheck disable=SC2016
inside bash -euc '
    source /project/build.conf
    install_file() { install --mode "$1" "/project/realmfs-files/$2" "$3"; }
    for module in $POST_INSTALL_MODULES; do "$module"; done'
rm -rf "$root/project" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
: >"$root/etc/resolv.conf"
umount "$root/proc" "$root/var/cache/apt/archives"
tar --create "--file=$work/realmfs-rootfs.tar" --directory="$root" --numeric-owner --xattrs '--xattrs-include=*' --acls .
sha256sum "$work/realmfs-rootfs.tar" >"$work/SHA256SUMS"
