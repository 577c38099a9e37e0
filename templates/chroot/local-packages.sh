#!/bin/bash
# on: shows apt the repository of the project's own package files, preferred for the packages in it.
# off: takes it out again; nothing of it stays.
# Arguments: on | off, then options for apt-get.
set -Eeuo pipefail
umask 022
repository=/run/realmfs/lib/packages
source=/etc/apt/sources.list.d/zz-realmfs-packages.list
pin=/etc/apt/preferences.d/zz-realmfs-packages.pref
action=$1
shift
[[ -f $repository/Packages ]] || exit 0
case $action in
    on)
        printf 'deb [trusted=yes] file:%s ./\n' "$repository" >"$source"
        # Above 1000: older ones, too, than what is installed.
        printf 'Package: %s\nPin: release l=realmfs-local-packages\nPin-Priority: 1001\n' \
            "$(sed -n 's/^Package: //p' "$repository/Packages" | paste -s -d ' ')" >"$pin"
        apt-get update "$@" -o "Dir::Etc::sourcelist=$source" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
        ;;
    off) rm -f -- "$source" "$pin" /var/lib/apt/lists/_run_realmfs_lib_packages_* ;;
esac
