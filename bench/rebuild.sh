#!/bin/bash
# Measures builds and rebuilds: this builder, a plain shell script, mmdebstrap. One round after the
# other, each with every row; output and trees on a tmpfs for all; .deb files warm; medians. Writes
# docs/benchmarks.md and docs/benchmarks.svg.
#
# Usage, as root: npm run bench [-- ROUNDS]      (default 5)
set -Eeuo pipefail
rounds=${1:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${here%/*}
for tool in debootstrap mmdebstrap; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install $tool)" >&2 && exit 3; }
done
if [[ ${BENCH_INSIDE-} != yes ]]; then
    # The store lies on a disk, as it does in use.
    store=$(mktemp -d /var/tmp/realmfs-bench-XXXXXX)
    trap 'unshare --mount --propagation private find "$store" -xdev -delete' EXIT
    # In the background, since bash waits for nothing else before it looks at a signal.
    BENCH_INSIDE=yes BENCH_STORE=$store setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
        bash "${BASH_SOURCE[0]}" "$rounds" &
    inside=$!
    trap 'kill -KILL "$inside"; wait "$inside" || true; exit 130' INT TERM HUP
    status=0
    wait "$inside" || status=$?
    exit "$status"
fi

work=/mnt
store=$BENCH_STORE
mount -t tmpfs -o size=12g,mode=0755 bench "$work"
project=$work/project
results=$work/results.tsv
sources=$work/debian.sources

builder() {
    (cd "$project" && node "$program/dist/cli.js" --no-confirm --progress quiet -d "$work/out" >"$work/log" 2>&1) \
        || { tail -n 20 "$work/log" && exit 1; }
}
unlayered() { LAYERS_MAX_SIZE=0 builder; }
# other COMMAND...: a build by something else, in a folder of its own that is gone afterwards.
other() {
    mkdir "$work/other"
    mount -t tmpfs -o size=6g,mode=0755 other "$work/other"
    bash "$@" >"$work/log" 2>&1 || { tail -n 20 "$work/log" && exit 1; }
}
drop_other() {
    tarball=$(stat --format=%s "$work/other/realmfs-rootfs.tar")
    umount "$work/other"
    rmdir "$work/other"
}
plain() { other "$here/plain-script.sh" "$work/other" "$project" "$store/apt/archives" "$mirror" "$sources"; }
by_mmdebstrap() { other "$here/mmdebstrap.sh" "$work/other" "$project" "$work/archives" "$sources"; }
stored() { du --summarize --block-size=1 "$store" | cut -f 1; }
# measure ROW COMMAND...: one line: row, seconds, bytes of the tarball, bytes by which the store has grown.
measure() {
    local row=$1 before start end
    before=$(stored)
    start=$EPOCHREALTIME
    "${@:2}"
    end=$EPOCHREALTIME
    if [[ -d $work/other ]]; then drop_other; else tarball=$(stat --format=%s "$work/out/realmfs-rootfs.tar"); fi
    printf '%s\t%s\t%s\t%s\n' "$row" "$(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }')" "$tarball" "$(($(stored) - before))" \
        | tee -a "$results"
}
# edit FILE OLD NEW: as an editor does.
edit() {
    grep -q -- "$2" "$project/$1"
    sed -i -- "s/$2/$3/" "$project/$1"
}

cp -r "$here/project" "$project"
export REALMFS_CACHE_DIR=$store
chmod 0700 "$store"
clear_layers() { node "$program/dist/cli.js" cache clear >/dev/null; }
# Every package that a row needs is fetched before anything is measured.
edit build.conf 'tmux iputils' 'tmux jq iputils'
builder
edit build.conf 'tmux jq iputils' 'tmux iputils'
mirror=$(node -e 'console.log(JSON.parse(require("fs").readFileSync(process.argv[1])).mirror)' "$work/out/manifest.json")
tar --extract --to-stdout --file="$work/out/realmfs-rootfs.tar" ./etc/apt/sources.list.d/debian.sources >"$sources"
mkdir "$work/archives"
cp "$store"/apt/archives/*.deb "$work/archives/"

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    # What is compared comes one after the other.
    measure unlayered unlayered
    clear_layers
    measure cold builder
    measure nothing builder
    edit build.conf 'line [0-9.]*' "line $round"
    measure last builder
    edit build.conf 'bench-[0-9]*' "bench-$round"
    measure middle builder
    edit realmfs-files/motd 'Welcome [0-9]*' "Welcome $round"
    measure file builder
    edit build.conf 'tmux iputils' 'tmux jq iputils'
    measure package builder
    edit build.conf 'tmux jq iputils' 'tmux iputils'
    measure plain plain
    measure mmdebstrap by_mmdebstrap
done
node "$here/report.cjs" "$results" "$program/docs"
