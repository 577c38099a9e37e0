#!/bin/bash
# The repository of the project's own package files, as apt sees it during the package step. Nothing of it
# is written into the tree: sources.list and preferences in out/ are for the options Dir::Etc::sourcelist and
# Dir::Etc::preferences of the calls that are to see it.
#
# on OPTIONS...: shows it to apt, preferred for the packages in it. OPTIONS are for apt-get.
# off: takes it out again.
# check URIS: fails unless every package of it is among what `apt-get --print-uris` has written to
#   URIS, or is installed in this version already.
# installed: the names of those that are, for they must be installed again: the file may be another one.
set -Eeuo pipefail
umask 022
repository=/dev/realmfs/lib/packages
out=/dev/realmfs/out
archives=/var/cache/apt/archives
lists=/var/lib/apt/lists
# In a step of the builder's own.
if [[ -n ${REALMFS_PACKAGES_PHASE-} ]]; then
    archives=/dev/realmfs/apt/archives
    lists=/dev/realmfs/apt/lists
fi
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

# join OWN FILE: our text, then what the image has in its FILE.
join() {
    printf '%s\n\n' "$1"
    [[ ! -f $2 ]] || cat -- "$2"
}

show() {
    local sources='' preferences=''
    eval "$(apt-config shell sources Dir::Etc::sourcelist/f preferences Dir::Etc::preferences/f)"
    printf 'deb [trusted=yes] file:%s ./\n' "$repository" >"$out/own.list"
    # The first of all: of two files of one version apt takes that of the first source, and of two pins the first.
    join "$(<"$out/own.list")" "$sources" >"$out/sources.list"
    # Above 1000: older ones, too, than what is installed.
    join "Package: $(packages | cut -d ' ' -f 1 | paste -s -d ' ')
Pin: release l=realmfs-local-packages
Pin-Priority: 1001" "$preferences" >"$out/preferences"
    # apt takes what lies there under the right name, if it has the right size.
    packages | while read -r name version _; do
        rm -f -- "$archives/${name}_${version//:/%3a}_"*.deb
    done
    apt-get update "$@" -o "Dir::Etc::sourcelist=$out/own.list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
}

case $action in
    on) show "$@" ;;
    off) rm -f -- "$lists"/_dev_realmfs_lib_packages_* ;;
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
