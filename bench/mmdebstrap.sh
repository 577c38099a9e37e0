#!/bin/bash
# The same image by mmdebstrap, with its documented way to keep .deb files.
#
# Usage: as plain-script.sh, without MIRROR: mmdebstrap.sh WORK PROJECT ARCHIVES SOURCES
set -Eeuo pipefail
work=$1 project=$2 archives=$3 sources=$4
# shellcheck disable=SC1091
source "$project/build.conf"
export TMPDIR=$work LC_ALL=C.UTF-8
cat >"$work/modules.sh" <<'MODULES'
source /project/build.conf
install_file() { install --mode "$1" "/project/realmfs-files/$2" "$3"; }
for module in $POST_INSTALL_MODULES; do "$module"; done
MODULES
# shellcheck disable=SC2016,SC2086
mmdebstrap --mode=root --variant=minbase --format=tar --include="$(echo systemd-sysv locales $PACKAGES | tr ' ' ,)" \
    --skip=download/empty --skip=essential/unlink \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives/"' --setup-hook="sync-in $archives /var/cache/apt/archives/" \
    --customize-hook='mkdir "$1/project"' --customize-hook="sync-in $project /project" \
    --customize-hook="upload $work/modules.sh /project/modules.sh" \
    --customize-hook='chroot "$1" bash -eu /project/modules.sh' --customize-hook='rm -rf "$1/project"' \
    "$DEBIAN_RELEASE" "$work/realmfs-rootfs.tar" "$sources"
sha256sum "$work/realmfs-rootfs.tar" >"$work/SHA256SUMS"
