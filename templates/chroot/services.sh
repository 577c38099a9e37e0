#!/bin/bash
# block: keeps packages from starting daemons while the image is built.
# unblock: takes that out again, and fails if anything of it is left.
set -Eeuo pipefail
umask 022
policy=/usr/sbin/policy-rc.d
kept=/var/lib/realmfs-policy-rc.d
daemon=/usr/sbin/start-stop-daemon
[[ -e /sbin/start-stop-daemon && ! -L /sbin ]] && daemon=/sbin/start-stop-daemon

block() {
    [[ ! -e $policy && ! -L $policy ]] || mv -- "$policy" "$kept"
    # invoke-rc.d asks it only if it is executable; 101 means: not allowed.
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    dpkg-divert --quiet --local --rename --divert "$daemon.realmfs" --add "$daemon"
    printf '#!/bin/sh\n# Nothing is started while the image is built.\nexit 0\n' >"$daemon"
    chmod 0755 "$daemon"
}

unblock() {
    if cmp -s "$policy" <(printf '#!/bin/sh\nexit 101\n'); then
        rm -- "$policy"
    fi
    [[ ! -e $kept && ! -L $kept ]] || mv -- "$kept" "$policy"
    rm -f -- "$daemon"
    dpkg-divert --quiet --local --rename --divert "$daemon.realmfs" --remove "$daemon"
    [[ -x $daemon && ! -e $daemon.realmfs ]] || {
        echo "$daemon could not be put back" >&2
        exit 1
    }
}

"$1"
