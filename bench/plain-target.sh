#!/bin/bash
# What a target is in a plain shell script: the same programs with the same options on the same tree, and sha256sum.
# It is run by targets.sh, which compares the results byte by byte with those of the builder.
#
# Usage, as root in a mount namespace: plain-target.sh TARGET TREE OUT EPOCH
#   TREE   the finished tree
#   OUT    a folder on a tmpfs; ordered/ in it is a mount point
# Environment: NAME, CHANNEL, FREE_SPACE (bytes), as the builder has them.
set -Eeuo pipefail
target=$1 tree=$2 out=$3 epoch=$4
umask 022
export LC_ALL=C.UTF-8

# pack FILE [OPTION...]: the tree as a tarball.
pack() {
    (cd "$tree" && tar --create "--file=$1" "${@:2}" --sort=name --numeric-owner --xattrs '--xattrs-include=*' --acls --format=pax \
        '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' --clamp-mtime "--mtime=@$epoch" \
        --warning=no-file-ignored .)
}
sha256() { sha256sum "$@" | cut --characters=1-64; }
# uuid TEXT: one that is the same for the same text.
uuid() {
    local hex
    hex=$(printf %s "$1" | sha256)
    printf '%s-%s-8%s-a%s-%s' "${hex:0:8}" "${hex:8:4}" "${hex:13:3}" "${hex:17:3}" "${hex:20:12}"
}

# Copies the tree into memory in the order of its tarball; the digest of the tarball stands for the tree.
order() {
    mount -t tmpfs -o mode=0755 ordered "$out/ordered"
    pack - | tee >(sha256 >"$out/identity") \
        | tar --extract --file=- --directory="$out/ordered" --xattrs '--xattrs-include=*' --acls --numeric-owner --same-owner --same-permissions
    until [[ -s $out/identity ]]; do sleep 0.01; done
    identity=$(<"$out/identity")
}

# Prints blocks, inodes and MiB of the journal of a file system that holds the tree and the free space.
geometry() {
    (cd "$tree" && find . -xdev -printf '%y %s %n %D:%i\n') | awk -v free="$FREE_SPACE" '
        function up(x) { return x == int(x) ? x : int(x) + 1 }
        $1 != "d" && $3 != 1 && seen[$4]++ { next }
        { entries++ }
        $1 == "f" { size += up($2 / 4096) * 4096 }
        END {
            inodes = up(entries * 1.1) + up(free / 16384) + 1024
            journal = size + free < 256 * 1024 ^ 2 ? 8 : 32
            bytes = (size + entries * 1024 + inodes * 256 + journal * 1024 ^ 2 + free) * 1.01 + 4 * 1024 ^ 2
            printf "%.0f %.0f %d\n", up(bytes / 4096), inodes, journal
        }'
}

# ext4 FILE: the file system, with the times of all inodes set, and checked.
ext4() {
    local file=$1 blocks inodes journal
    read -r blocks inodes journal < <(geometry)
    order
    export E2FSPROGS_FAKE_TIME=$epoch
    (cd "$out/ordered" && mkfs.ext4 -q -F -b 4096 -I 256 -N "$inodes" -m 0 -J "size=$journal" -U "$(uuid "$identity")" \
        -E "hash_seed=$(uuid "$identity hash seed"),lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" -d . "$file" "$blocks")
    dumpe2fs "$file" 2>/dev/null | awk -v time="$epoch" '
        /^Inode count:/ { count = $3 }
        sub(/^  Free inodes: /, "") {
            parts = split($0, ranges, /, */)
            for (part = 1; part <= parts; part++) {
                split(ranges[part], ends, "-")
                for (inode = ends[1] + 0; inode && inode <= (ends[2] ? ends[2] : ends[1]) + 0; inode++) free[inode] = 1
            }
        }
        END {
            for (inode = 2; inode <= count; inode = inode == 2 ? 11 : inode + 1)
                if (!(inode in free)) printf "sif <%d> atime @%d\nsif <%d> ctime @%d\n", inode, time, inode, time
        }' | debugfs -w -f /dev/stdin "$file" >/dev/null 2>&1
    e2fsck -f -n "$file" >/dev/null 2>&1
    umount "$out/ordered"
    data_blocks=$blocks
}

# realmfs FILE: a header, the file system, and its hash tree.
realmfs() {
    local body=$out/body salt text
    ext4 "$body"
    salt=$(printf %s "$identity hash tree" | sha256)
    text=$(
        cat <<END
image-type = "realmfs"
realmfs-name = "$NAME"
channel = "$CHANNEL"
version = 1
timestamp = "$epoch"
nblocks = $data_blocks
shasum = "$(sha256 "$body")"
verity-salt = "$salt"
verity-root = "$(veritysetup format "$body" "$body" --data-blocks="$data_blocks" --hash-offset="$((data_blocks * 4096))" \
            --salt="$salt" --uuid="$(uuid "$identity hash tree")" | sed --quiet 's/^Root hash:[[:space:]]*//p')"
END
    )
    text+=$'\n'
    {
        printf '%b' "SGOS\\0\\02\\x$(printf %02x $((${#text} / 256)))\\x$(printf %02x $((${#text} % 256)))"
        printf %s "$text"
        head --bytes=$((4096 - 8 - ${#text})) /dev/zero
        cat "$body"
    } >"$1"
    rm "$body"
}

case $target in
    realmfs)
        file=$out/$NAME-realmfs.img
        realmfs "$file"
        ;;
    ext4)
        file=$out/citadel-realmfs.ext4
        ext4 "$file"
        ;;
    squashfs)
        file=$out/$NAME.squashfs
        (cd "$tree" && SOURCE_DATE_EPOCH=$epoch mksquashfs . "$file" -quiet -no-progress -noappend -xattrs -mem 512M -comp zstd \
            -Xcompression-level 15)
        ;;
    erofs)
        file=$out/$NAME.erofs
        order
        (cd "$out/ordered" && SOURCE_DATE_EPOCH=$epoch mkfs.erofs --quiet -E force-inode-extended -U "$(uuid "$identity")" -x 1 "$file" .)
        umount "$out/ordered"
        ;;
    tarball)
        file=$out/realmfs-rootfs.tar
        pack "$file"
        ;;
    tarball-zst)
        file=$out/realmfs-rootfs.tar.zst
        pack "$file" '--use-compress-program=zstd --quiet -9 --threads=0'
        ;;
esac
sync "$file"
cd "$out"
sha256sum "${file##*/}" >SHA256SUMS
