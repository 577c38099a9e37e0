#!/bin/bash
# What a plain shell script does for the same image: the same debootstrap, apt and module
# commands, one chroot, no namespaces, no checks. It is run by own-cost.sh, in its mount namespace.
#
# Arguments: WORK (an empty folder on a tmpfs), PROGRAM, CACHE (archives/ and lists/), MIRROR,
#   SECURITY, EPOCH. The result is WORK/realmfs-rootfs.tar and its checksum.
set -Eeuo pipefail
work=$1 program=$2 cache=$3 mirror=$4 security=$5 epoch=$6
root=$work/root
umask 022
mkdir -p "$root"/var/cache/apt/archives "$root"/var/lib/apt/lists
mount --bind "$cache/archives" "$root/var/cache/apt/archives"
mount --bind "$cache/lists" "$root/var/lib/apt/lists"
export SOURCE_DATE_EPOCH=$epoch DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
options=(--verbose --merged-usr --variant=minbase '--include=systemd-sysv,locales'
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --force-check-gpg)
rm -f -- "$cache"/lists/*_dists_trixie_*Release*
TAR_OPTIONS=--exclude=var debootstrap "--make-tarball=$work/seed.tgz" --keep-debootstrap-dir "${options[@]}" \
    --components=main,non-free-firmware trixie "$root" "$mirror"
debootstrap "--unpack-tarball=$work/seed.tgz" "${options[@]}" --components=main trixie "$root" "$mirror"

mount -t proc proc "$root/proc"
mount --bind /dev/null "$root/dev/null"
chmod 1777 "$root/dev/shm"
mkdir -p "$root"/dev/realmfs/{lib,in,out,project}
cp -r "$program/templates/chroot" "$root/dev/realmfs/lib/chroot"
cp -r "$program/realmfs-modules" "$root/dev/realmfs/lib/modules"
cp -r "$program/templates/realmfs-files" "$root/dev/realmfs/lib/files"
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true SYSTEMD_OFFLINE=1 \
        SOURCE_DATE_EPOCH="$epoch" DEBIAN_RELEASE=trixie DEBIAN_MIRROR="$mirror" DEBIAN_IMAGE_MIRROR="$mirror" \
        DEBIAN_SECURITY_MIRROR="$security" DEBIAN_COMPONENTS='main non-free-firmware' REALMFS_HOSTNAME=subgraph \
        REALMFS_USER_PASSWORD=user DEBIAN_SIGNED_BY=/usr/share/keyrings/debian-archive-keyring.gpg \
        EXTRA_SOURCES='' EXTRA_KEYS='' EXTRA_PINS='' "$@"
}
inside bash /dev/realmfs/lib/chroot/prepare.sh
cat /etc/resolv.conf >"$root/etc/resolv.conf"
# shellcheck disable=SC2016
inside bash --norc -eEo pipefail -c '
    source /dev/realmfs/lib/chroot/lib.sh
    source /dev/realmfs/lib/chroot/base.sh
    REALMFS_PROFILE=minimal PACKAGES= PRE_INSTALL_MODULES= POST_INSTALL_MODULES=
    __realmfs_join_lists
    for name in $PRE_INSTALL_MODULES install-packages $POST_INSTALL_MODULES; do module "$name"; done'
: >"$root/etc/resolv.conf"
rm -- "$root/usr/sbin/policy-rc.d" "$root/usr/sbin/start-stop-daemon"
inside dpkg-divert --quiet --local --rename --divert /usr/sbin/start-stop-daemon.realmfs --remove /usr/sbin/start-stop-daemon
(
    shopt -s nullglob
    cd "$root"
    : >etc/machine-id
    chmod 0444 etc/machine-id
    rm -f -- var/lib/dbus/machine-id var/lib/systemd/{random-seed,credential.secret} var/cache/ldconfig/aux-cache \
        var/cache/debconf/*-old var/lib/dpkg/*-old etc/{passwd,group,shadow,gshadow,subuid,subgid}- etc/.pwd.lock \
        var/log/{alternatives.log,bootstrap.log,dpkg.log,fontconfig.log} var/log/apt/{history.log,term.log,eipp.log.xz}
    find tmp var/tmp dev/shm run -xdev -mindepth 1 -delete
    mkdir -m 1777 run/lock
    dpkg-query --admindir=var/lib/dpkg --show >"$work/packages"
    grep --text --extended-regexp '^(Format|Format-Specification|Files|License):' -- usr/share/doc/*/copyright >"$work/licences" || true
)
umount "$root/dev/null" "$root/proc" "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
rm -rf "$root/dev/realmfs" "$root"/var/cache/apt/*.bin
find "$root" -xdev -newermt "@$epoch" -exec touch --no-dereference "--date=@$epoch" '{}' +
cd "$root"
tar --create "--file=$work/realmfs-rootfs.tar" --sort=name --numeric-owner --xattrs '--xattrs-include=*' --acls --format=pax \
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --clamp-mtime "--mtime=@$epoch" \
    --warning=no-file-ignored .
cd "$work"
sha256sum realmfs-rootfs.tar >SHA256SUMS
