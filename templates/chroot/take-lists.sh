#!/bin/bash
# Puts apt's lists as the package step has used them where modules and hooks find them: into the tree, as after an
# update. What is there already, from the bootstrap or a module, is not written again.
set -Eeuo pipefail
shopt -s nullglob
umask 022
from=/dev/realmfs/apt/lists
to=/var/lib/apt/lists
mkdir -p "$to"
for list in "$to"/*_*; do
    [[ -f $from/${list##*/} ]] || rm -rf -- "$list"
done
for list in "$from"/*_*; do
    cmp --silent -- "$list" "$to/${list##*/}" || cp --force --preserve=timestamps --target-directory="$to" -- "$list"
done
