#!/bin/bash
# The repository of the project's own package files, as apt sees it during the package step.
#
# on OPTIONS...: shows it to apt, preferred for the packages in it. OPTIONS are for apt-get.
# off: takes it out again; nothing of it stays.
# check URIS: fails unless every package of it is among what `apt-get --print-uris` has written to
#   URIS, or is installed in this version already.
# installed: the names of those that are, for they must be installed again: the file may be another one.
set -Eeuo pipefail
umask 022
repository=/dev/realmfs/lib/packages
sources=/etc/apt/sources.list
kept=$sources.realmfs-kept
pin=/etc/apt/preferences.d/zz-realmfs-packages.pref
own=/etc/apt/realmfs-packages.list
line="deb [trusted=yes] file:$repository ./"
action=$1
shift
[[ -f $repository/Packages ]] || exit 0

# `NAME VERSION FILE` of every package in the repository.
packages() {
    awk '$1 == "Package:" { name = $2 } $1 == "Version:" { version = $2 } $1 == "Filename:" { file = $2 }
        /^$/ && name { print name, version, file; name = "" } END { if (name) print name, version, file }' "$repository/Packages"
}

is_installed() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status} ${Version}' -- "$1" 2>/dev/null) == "installed $2" ]]
}

case $action in
    on)
        # The first of all: of two files of one version apt takes that of the first source.
        [[ ! -e $sources && ! -L $sources ]] || mv -- "$sources" "$kept"
        printf '%s\n' "$line" >"$own"
        {
            cat "$own"
            [[ ! -e $kept ]] || cat "$kept"
        } >"$sources"
        # apt takes what lies there under the right name, if it has the right size.
        packages | while read -r name version _; do
            rm -f -- "/var/cache/apt/archives/${name}_${version//:/%3a}_"*.deb
        done
        # Above 1000: older ones, too, than what is installed.
        printf 'Package: %s\nPin: release l=realmfs-local-packages\nPin-Priority: 1001\n' \
            "$(packages | cut -d ' ' -f 1 | paste -s -d ' ')" >"$pin"
        apt-get update "$@" -o "Dir::Etc::sourcelist=$own" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
        ;;
    off)
        # A package may have changed it meanwhile.
        if [[ -e $kept || -L $kept ]]; then
            tail -n +2 -- "$sources" | cmp --silent - "$kept" || tail -n +2 -- "$sources" >"$kept"
            mv -- "$kept" "$sources"
        elif [[ $(<"$sources") == "$line" ]]; then
            rm -- "$sources"
        else
            sed -i 1d "$sources"
        fi
        rm -f -- "$own" "$pin" /var/lib/apt/lists/_dev_realmfs_lib_packages_*
        ;;
    check)
        packages | while read -r name version file; do
            grep --quiet --fixed-strings -- "'file:$repository/$file'" "$1" || is_installed "$name" "$version" || {
                printf 'E: The package %s %s of the project is not the one that apt would install\n' "$name" "$version" >&2
                exit 100
            }
        done
        ;;
    installed)
        packages | while read -r name version _; do
            ! is_installed "$name" "$version" || printf '%s=%s\n' "$name" "$version"
        done
        ;;
esac
