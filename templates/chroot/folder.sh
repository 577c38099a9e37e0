#!/bin/bash
# Copies a folder of the project onto the root, from inside of it: links of the root are followed where
# they lead in the image, and never replaced by folders. Brings back what packages have replaced.
#
# REALMFS_FOLDER_PHASE:
#   place      copies everything. out/places: what is there then.
#   remember   before the packages: in/places is that of `place`. What was changed since is kept in
#              out/changed.tar, its names in out/changed; out/places: what is there now.
#   put-back   after the packages: in/places, in/changed and in/changed.tar are those of `remember`.
#              Files that a package ships are put back; out/report, NUL-separated: `back PACKAGE`
#              or `changed` and the path.
# REALMFS_FOLDER: its name in the project. The step sees it, and nothing else, as its project folder.
# in/runs: a line for each run of entries that belong to one owner, `UID GID MODE`; MODE may be `-`.
#   in/run-N: their paths, NUL-separated, each beginning with `./`.
# in/owned: `UID GID MODE` and a path, both ended by NUL, of the folders that get an owner even if they are there already.
set -Eeuo pipefail
umask 022
run=/dev/realmfs
from=$run/project
attributes=(--xattrs '--xattrs-include=*' --acls --numeric-owner)

# pack N LIST: an archive of the paths in LIST, which belong to run N.
pack() {
    local uid gid mode
    local -a options=()
    read -r uid gid mode < <(sed -n "$(($1 + 1))p" "$run/in/runs")
    [[ $mode == - ]] || options+=("--mode=$mode")
    tar --create --file=- --directory="$from" --no-recursion --null --verbatim-files-from --files-from="$2" \
        --owner="owner:$uid" --group="group:$gid" --mtime="@$SOURCE_DATE_EPOCH" --format=pax --pax-option=delete=atime,delete=ctime \
        "${attributes[@]}" "${options[@]}"
}

# unpack FOLDER: takes an archive from standard input.
unpack() {
    tar --extract --file=- --directory="$1" --keep-directory-symlink --no-overwrite-dir --same-owner --same-permissions \
        "${attributes[@]}"
}

# places: what stands at every path that is no folder: inode and time of its last change.
places() {
    cat "$run"/in/run-* | (cd / && xargs -0 --no-run-if-empty stat --printf='%F\t%i %z\t%n\0' 2>/dev/null) | grep -zv '^directory' || true
}

# read_places FILE ARRAY: the same as an array by path.
read_places() {
    # shellcheck disable=SC2178
    local -n into=$2
    local line path
    into=()
    # shellcheck disable=SC2004,SC2034
    while IFS= read -r -d '' line; do
        path=${line#*$'\t'*$'\t'}
        into[$path]=${line%"$path"}
    done <"$1"
}

place() {
    local path state
    while IFS= read -r -d '' path; do
        if [[ -d $from/$path && ! -L $from/$path ]]; then
            # A link to what is not there yet: /var/lock, say.
            [[ ! -L /$path || -e /$path ]] || mkdir -p -- "$(readlink -m -- "/$path")"
        elif [[ -d /$path && ! -L /$path ]]; then
            printf '%s: the root has a folder there\n' "$REALMFS_FOLDER${path#.}" >&2
            exit 1
        fi
    done < <(cat "$run"/in/run-*)
    local at=0
    while [[ -e $run/in/run-$at ]]; do
        pack "$at" "$run/in/run-$at" | unpack /
        at=$((at + 1))
    done
    while IFS= read -r -d '' state && IFS= read -r -d '' path; do
        local uid gid mode
        read -r uid gid mode <<<"$state"
        chown -- "$uid:$gid" "/$path"
        [[ $mode == - ]] || chmod -- "$mode" "/$path"
    done <"$run/in/owned"
    # Authorities of the user's own count once the package's program has seen them; a package that comes later looks by itself.
    if cat "$run"/in/run-* | grep -qz '^\./usr/local/share/ca-certificates/.*\.crt$' && command -v update-ca-certificates >/dev/null; then
        update-ca-certificates
    fi
    places >"$run/out/places"
}

remember() {
    local -A placed now
    local path
    places >"$run/out/places"
    read_places "$run/in/places" placed
    read_places "$run/out/places" now
    for path in "${!now[@]}"; do
        [[ ${placed[$path]-} == "${now[$path]}" ]] || printf '%s\0' "$path"
    done >"$run/out/changed"
    tar --create --file="$run/out/changed.tar" --directory=/ --no-recursion --null --verbatim-files-from \
        --files-from="$run/out/changed" --format=pax "${attributes[@]}"
}

# digest FOLDER PATH: of all that an archive can hold of an entry, but its times.
digest() {
    tar --create --file=- --directory="$1" --no-recursion --mtime=@0 --format=pax --pax-option=exthdr.name=x,delete=atime,delete=ctime \
        "${attributes[@]}" --no-unquote -- "$2" 2>/dev/null | sha256sum
}

# shipped_by PATH: the packages that have a file there.
shipped_by() {
    local at line
    at=$(realpath -e -- "/${1%/*}")/${1##*/}
    at=${at/#\/\//\/}
    local -a patterns=()
    # No `&` for what was found: that is new in bash 5.2.
    local pattern=${at//\\/\\\\} sign
    for sign in '*' '?' '['; do pattern=${pattern//"$sign"/"\\$sign"}; done
    patterns=("$pattern")
    # Before a merged /usr was theirs, packages had these names for it.
    case $at in /usr/bin/* | /usr/sbin/* | /usr/lib*/*) patterns+=("${patterns[0]#/usr}") ;; esac
    { LC_ALL=C dpkg-query --search -- "${patterns[@]}" 2>/dev/null || true; } | while IFS= read -r line; do
        case $line in
            'diversion by '* | 'local diversion '*) ;;
            *": $at" | *": ${at#/usr}") printf '%s\n' "${line%%: /*}" ;;
        esac
    done
}

# add_siblings SET: adds the other names of the files in it, so that they stay one file.
add_siblings() {
    # shellcheck disable=SC2178
    local -n set=$1
    local path other
    for path in "${!set[@]}"; do
        [[ -n ${inode[$path]-} ]] || continue
        for other in "${!inode[@]}"; do
            # shellcheck disable=SC2004
            [[ ${inode[$other]} != "${inode[$path]}" || -n ${changed[$other]-} ]] || set[$other]=yes
        done
    done
}

put_back() {
    local -A before now changed=() touched=() needed=() back=() inode=()
    local path at package line expected
    read_places "$run/in/places" before
    places >"$run/out/places"
    read_places "$run/out/places" now
    : >"$run/out/report"
    for path in "${!before[@]}"; do
        [[ ${now[$path]-} == "${before[$path]}" ]] || touched[$path]=yes needed[$path]=yes
    done
    ((${#touched[@]} > 0)) || return 0
    while IFS= read -r -d '' path; do changed[$path]=yes; done <"$run/in/changed"
    # The files of the folder that have several names.
    while IFS= read -r -d '' line; do
        inode[${line#*$'\t'}]=${line%%$'\t'*}
    done < <(cat "$run"/in/run-* | (cd "$from" && xargs -0 stat --printf='%h %d:%i\t%n\0') | grep -zv '^1 ' || true)
    add_siblings needed
    # What should stand there, beside the tree: the disk of the tree can hold what the tree holds.
    expected=$(mktemp --directory /.realmfs-XXXXXXXX)
    tar --extract --file="$run/in/changed.tar" --directory="$expected" --same-owner --same-permissions "${attributes[@]}"
    for ((at = 0; ; at += 1)); do
        [[ -e $run/in/run-$at ]] || break
        while IFS= read -r -d '' path; do
            [[ -z ${needed[$path]-} || -n ${changed[$path]-} ]] || printf '%s\0' "$path"
        done <"$run/in/run-$at" >"$run/out/wanted"
        pack "$at" "$run/out/wanted" | unpack "$expected"
    done
    while IFS= read -r -d '' path; do
        # Two digests of nothing would be equal.
        [[ -e $expected/$path || -L $expected/$path ]] || {
            printf '%s cannot be compared with what the packages have left\n' "$REALMFS_FOLDER/${path#./}" >&2
            exit 1
        }
        [[ $(digest "$expected" "$path") != "$(digest / "$path")" ]] || continue
        package=$(shipped_by "$path" | sort -u | paste -s -d ,)
        if [[ -z $package ]]; then
            printf 'changed\0%s\0' "${path#./}" >>"$run/out/report"
            continue
        fi
        [[ ! -d /$path || -L /$path ]] || {
            printf '%s: the package %s has a folder there\n' "$REALMFS_FOLDER/${path#./}" "$package" >&2
            exit 1
        }
        back[$path]=yes
        printf 'back %s\0%s\0' "$package" "${path#./}" >>"$run/out/report"
    done < <(printf '%s\0' "${!touched[@]}" | LC_ALL=C sort -z)
    add_siblings back
    if ((${#back[@]} > 0)); then
        printf '%s\0' "${!back[@]}" | LC_ALL=C sort -z >"$run/out/wanted"
        tar --create --file=- --directory="$expected" --no-recursion --null --verbatim-files-from --files-from="$run/out/wanted" \
            --format=pax "${attributes[@]}" | unpack /
    fi
    rm -rf --one-file-system -- "$expected"
}

case $REALMFS_FOLDER_PHASE in
    place) place ;;
    remember) remember ;;
    put-back) put_back ;;
esac
