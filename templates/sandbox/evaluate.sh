#!/bin/bash
# PID 1 of the evaluation of build.conf: shows it the scripts of the project and runs bash
# as nobody, without any capability.
#
# Arguments: those of templates/chroot/evaluate.sh.
set -Eeuo pipefail
readonly base=/run/realmfs
mount --bind "$base/build/evaluate" "$base/project"
mount --bind "$base/build/lib" "$base/lib"
for part in project lib; do
    mount -o remount,bind,ro,nosuid,nodev "$base/$part"
done
for part in build cache staging source stale; do
    mount -t tmpfs -o ro,size=0,mode=0755 realmfs-mask "$base/$part"
done
ip link set lo up
cd /
setpriv --pdeathsig KILL --reuid 65534 --regid 65534 --clear-groups --inh-caps -all --bounding-set -all \
    --no-new-privs /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent TERM=dumb LANG=C.UTF-8 \
    REALMFS_PROJECT="$base/project" bash --noprofile --norc "$base/lib/chroot/evaluate.sh" "$@" </dev/null &
status=0
wait $! || status=$?
exit "$status"
