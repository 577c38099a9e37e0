#!/bin/bash
# Measures what the builder costs over the same debootstrap, apt and module commands that a plain
# shell script runs. Paired runs, one after the other, on a tmpfs of their own; medians.
#
# Usage, as root: npm run bench:own-cost [-- RUNS]      (default 5)
set -Eeuo pipefail
runs=${1:-5}
program=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ ${BENCH_INSIDE-} != yes ]]; then
    export BENCH_INSIDE=yes
    exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private bash "${BASH_SOURCE[0]}" "$runs"
fi

work=/mnt
mount -t tmpfs -o size=12g,mode=0755 bench "$work"
cache=$work/cache
mkdir -m 0700 "$cache"
# Warm packages: those that earlier builds on this machine have fetched.
[[ ! -d /var/cache/realmfs-builder/apt ]] || { mkdir "$cache/mnt" && cp -a /var/cache/realmfs-builder/apt "$cache/apt"; }
settings=(--no-confirm -t --progress quiet --set LAYERS_MAX_SIZE=0 --set REALMFS_PROFILE=minimal --set "REALMFS_CACHE_DIR=$cache")

builder() {
    (cd "$work" && node "$program/dist/cli.js" "${settings[@]}" -d "$work/out" >"$work/builder.log" 2>&1) \
        || { tail -n 20 "$work/builder.log" && exit 1; }
}
field() {
    node -e 'const m = JSON.parse(require("fs").readFileSync(process.argv[1])); console.log(m[process.argv[2]])' "$work/out/manifest.json" "$1"
}
plain() {
    mkdir "$work/plain"
    mount -t tmpfs -o size=6g,mode=0755 plain "$work/plain"
    bash "$program/bench/plain.sh" "$work/plain" "$program" "$work/plain-cache" "$mirror" "$security" "$epoch" >"$work/plain.log" 2>&1 \
        || { tail -n 20 "$work/plain.log" && exit 1; }
}
drop_plain() {
    umount "$work/plain"
    rmdir "$work/plain"
}
# seconds COMMAND: how long it takes, in SECONDS_TAKEN.
seconds() {
    local start=$EPOCHREALTIME
    "$@"
    SECONDS_TAKEN=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
}
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

builder
mirror=$(field mirror) security=$(field securityMirror) epoch=$(field sourceDateEpoch)
mkdir "$work/plain-cache"
cp -a "$cache/apt/." "$work/plain-cache/"
plain
# The same image, or the comparison says nothing.
if cmp --silent "$work/out/realmfs-rootfs.tar" "$work/plain/realmfs-rootfs.tar"; then
    echo 'The two tarballs are the same, byte for byte.'
else
    echo 'The two tarballs differ:'
    diff <(tar -tvf "$work/out/realmfs-rootfs.tar" --full-time) <(tar -tvf "$work/plain/realmfs-rootfs.tar" --full-time) | head -n 20
    exit 1
fi
drop_plain

ours=() theirs=()
for ((i = 1; i <= runs; i++)); do
    seconds plain
    theirs+=("$SECONDS_TAKEN")
    drop_plain
    seconds builder
    ours+=("$SECONDS_TAKEN")
    printf 'run %d: plain %s s, builder %s s\n' "$i" "${theirs[-1]}" "${ours[-1]}"
done
a=$(median "${theirs[@]}") b=$(median "${ours[@]}")
echo "medians of $runs: plain $a s, builder $b s"
awk -v a="$a" -v b="$b" 'BEGIN { printf "own cost %.2f s (ratio %.3f); the goal is at most 2 s: %s\n", b - a, b / a, b - a <= 2 ? "met" : "MISSED" }'
node -e '
const { steps } = JSON.parse(require("fs").readFileSync(process.argv[1]));
for (const { step, seconds } of steps) console.log(seconds.toFixed(2).padStart(7), step);' "$work/out/manifest.json"
