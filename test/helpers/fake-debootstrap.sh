#!/bin/bash
# Stands in for debootstrap in root tests: the first build of a run uses the real one and
# keeps the tree in the tests' cache folder; later builds get that tree back at once.
set -euo pipefail
real=@TOOLS@/debootstrap.real
cache=/run/realmfs/cache
key=$(printf '%s\n' "$@" @ARCHIVE@ | grep -v -e tarball -e keep-debootstrap -e --components | sha256sum | cut -c1-16)
root=$RB_ROOT
case $1 in
    --make-tarball=*)
        if [[ -e $cache/test-base-$key.tar ]]; then
            echo 'I: Retrieving InRelease'
            # The Release file of this build is there already.
            cp --no-clobber --preserve=timestamps "$cache/test-base-$key.lists/"* "$root/var/lib/apt/lists/"
            : >"${1#*=}"
            exit 0
        fi
        exec bash "$real" "$@"
        ;;
esac
if [[ -e $cache/test-base-$key.tar ]]; then
    echo 'I: Unpacking the base system...'
    tar --extract --file="$cache/test-base-$key.tar" --directory="$root" --xattrs --xattrs-include='*' --acls --numeric-owner --same-owner
    exit 0
fi
bash "$real" "$@"
mkdir -p "$cache/test-base-$key.lists"
cp --preserve=timestamps "$root/var/lib/apt/lists/"*Release* "$cache/test-base-$key.lists/"
tar --create --file="$cache/test-base-$key.part" --directory="$root" --one-file-system --xattrs --xattrs-include='*' --acls --numeric-owner .
mv "$cache/test-base-$key.part" "$cache/test-base-$key.tar"
