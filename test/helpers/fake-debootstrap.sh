#!/bin/bash
# Stands in for debootstrap in root tests: the first build of a run uses the real one and
# keeps the tree in the tests' cache folder; later builds get that tree back at once, without
# translations and manuals, which are a third of it and which no test looks at. A cache without
# one takes it from the folder of the tests.
set -euo pipefail
real=@TOOLS@/debootstrap.real
cache=/run/realmfs/cache
key=$(printf '%s\n' lists "$@" @ARCHIVE@ | grep -v -e tarball -e keep-debootstrap -e --components | sha256sum | cut -c1-16)
root=$RB_ROOT
for kept in "$cache" @CACHE@; do
    [[ ! -e $kept/test-base-$key.tar ]] || break
done
case $1 in
    --make-tarball=*)
        if [[ -e $kept/test-base-$key.tar ]]; then
            echo 'I: Retrieving InRelease'
            # The Release file of this build is there already; the others are those of the tree, as debootstrap checks.
            cp --no-clobber --preserve=timestamps "$kept/test-base-$key.lists/"*Release* "$root/var/lib/apt/lists/"
            cp --preserve=timestamps "$kept/test-base-$key.lists/"*_Packages "$root/var/lib/apt/lists/"
            : >"${1#*=}"
            exit 0
        fi
        exec bash "$real" "$@"
        ;;
esac
unpack() {
    tar --extract --file="$kept/test-base-$key.tar" --directory="$root" --xattrs --xattrs-include='*' --acls --numeric-owner --same-owner
}
if [[ -e $kept/test-base-$key.tar ]]; then
    echo 'I: Unpacking the base system...'
    unpack
    exit 0
fi
bash "$real" "$@"
mkdir -p "$cache/test-base-$key.lists"
cp --preserve=timestamps "$root/var/lib/apt/lists/"*_dists_trixie_* "$cache/test-base-$key.lists/"
left_out=('--exclude=./usr/share/locale/*' '--exclude=./usr/share/man/*' '--exclude=./usr/share/doc/*/*')
part=$(mktemp "$cache/test-base-XXXXXX.part")
tar --create --file="$part" --directory="$root" --one-file-system "${left_out[@]}" --xattrs --xattrs-include='*' --acls --numeric-owner .
mv "$part" "$cache/test-base-$key.tar"
kept=$cache
# This build is like the later ones, times of folders included.
find "$root"/usr/share/locale "$root"/usr/share/man -xdev -mindepth 1 -delete
find "$root"/usr/share/doc -xdev -mindepth 2 -delete
unpack
