#!/bin/bash
# Makes the finished tree: takes out what belongs to one machine or one build.
# The list and its reasons: reproducible-builds practice and mmdebstrap's clean-up.
set -Eeuo pipefail
shopt -s nullglob
umask 022

bash /dev/realmfs/lib/chroot/services.sh unblock

# Archives that a live-build tree has for the build alone.
while read -r name; do
    rm -f -- "/etc/apt/$name"
done </dev/realmfs/in/build-archives

# The mirror of the build makes room for the one that the image shall use.
if [[ $DEBIAN_IMAGE_MIRROR != "$DEBIAN_MIRROR" ]]; then
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [[ ! -f $file ]] || DEBIAN_MIRROR=${DEBIAN_MIRROR%/} DEBIAN_IMAGE_MIRROR=${DEBIAN_IMAGE_MIRROR%/} perl -pi -e \
            's{(^|\s)\Q$ENV{DEBIAN_MIRROR}\E/?(?=\s|$)}{$1$ENV{DEBIAN_IMAGE_MIRROR}}g' "$file"
    done
fi

# Identities of one machine.
: >/etc/machine-id
chmod 0444 /etc/machine-id
rm -f -- /var/lib/dbus/machine-id /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f -- /var/lib/systemd/random-seed /var/lib/systemd/credential.secret

# Caches and logs of the build.
rm -f -- /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f -- /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
rm -f -- /var/log/{alternatives.log,bootstrap.log,dpkg.log,fontconfig.log} /var/log/apt/{history.log,term.log,eipp.log.xz}

# What lives only while a system runs.
find /tmp /var/tmp /dev/shm /run -xdev -mindepth 1 -delete
mkdir -p /run/lock
chmod 1777 /run/lock

# What the records of the build say of packages.
dpkg-query --show \
    --showformat='${db:Status-Status}\t${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Installed-Size}\n' \
    >/dev/realmfs/out/packages
# Of packages without it, the licence is not known: that is no failure.
grep --devices=skip --text --null --with-filename --extended-regexp '^(Format|Format-Specification|Files|License):' \
    -- /usr/share/doc/*/copyright /dev/null >/dev/realmfs/out/licences || true
