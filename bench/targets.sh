#!/bin/bash
# Measures what targets cost: each of them, and three at once, beside plain shell scripts of the same
# recipes on the same tree; and the memory of the builder's own process for a root of 2 GiB. Paired runs,
# one after the other; trees, layers and output on a tmpfs. Writes docs/benchmarks-targets.md.
#
# Usage, as root: npm run bench:targets [-- ROUNDS]      (default 5)
set -Eeuo pipefail
rounds=${1:-5}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${here%/*}
for tool in debootstrap mksquashfs mkfs.erofs zstd veritysetup; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install debootstrap squashfs-tools erofs-utils zstd cryptsetup-bin)" >&2 && exit 3; }
done
if [[ ${BENCH_INSIDE-} != yes ]]; then
    # The images of the large root lie on a disk: memory would not hold all of them.
    disk=$(mktemp -d /var/tmp/realmfs-bench-XXXXXX)
    trap 'unshare --mount --propagation private find "$disk" -xdev -delete' EXIT
    # In the background, since bash waits for nothing else before it looks at a signal.
    BENCH_INSIDE=yes BENCH_DISK=$disk setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
        bash "${BASH_SOURCE[0]}" "$rounds" &
    inside=$!
    trap 'kill -KILL "$inside"; wait "$inside" || true; exit 130' INT TERM HUP
    status=0
    wait "$inside" || status=$?
    exit "$status"
fi

work=/mnt
mount -t tmpfs -o size=12g,mode=0755 bench "$work"
results=$work/results.tsv
cache=$work/cache
mkdir -m 0700 "$cache"
mkdir -p "$work/plain/ordered"
# Warm packages: those that earlier builds on this machine have fetched.
[[ ! -d /var/cache/realmfs-builder/apt ]] || { mkdir "$cache/mnt" && cp -a /var/cache/realmfs-builder/apt "$cache/apt"; }
export REALMFS_CACHE_DIR=$cache
targets=(tarball tarball-zst squashfs erofs ext4 realmfs)
all=$(
    IFS=,
    echo "${targets[*]}"
)
together=squashfs,ext4,tarball-zst

# builder PROJECT OUT TARGETS [OPTION...]: its events are in $work/events.
builder() {
    (cd "$1" && node "$program/dist/cli.js" --no-confirm --progress json -d "$2" --targets "$3" "${@:4}" >"$work/events" 2>"$work/log") \
        || { tail -n 20 "$work/log" && exit 1; }
}
# Seconds of the last build from the end of the tree to the beginning of the manifest. All that targets cost lies between
# them: the walk through the tree, its copy, the programs, the hashes.
seconds_of_targets() {
    node -e '
const events = require("fs").readFileSync(process.argv[1], "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const time = (kind, step) => Date.parse(events.find((event) => event.kind === kind && event.step === step).time) / 1000;
console.log((time("step-start", "manifest") - time("step-end", "finalize")).toFixed(3));' "$work/events"
}
# record ROW SECONDS [CPU SECONDS]
record() { printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" | tee -a "$results"; }
# plain TARGET: its seconds, and those of processors.
plain() {
    local TIMEFORMAT='%R %U %S' said
    said=$({ time bash "$here/plain-target.sh" "$1" "$work/tree" "$work/plain" "$epoch" >"$work/log" 2>&1; } 2>&1) \
        || { tail -n 20 "$work/log" && exit 1; }
    read -r real user sys <<<"$said"
    record "plain $1" "$real" "$(awk -v a="$user" -v b="$sys" 'BEGIN { printf "%.3f", a + b }')"
}
measured() {
    builder "$here/project" "$work/out" "$2"
    record "$1" "$(seconds_of_targets "$work/out")"
}

# watch_memory FILE: the peak of the builder's own process so far, in KiB, while there is one.
watch_memory() {
    local pid words peak
    while sleep 0.1; do
        for pid in /proc/[0-9]*; do
            mapfile -d '' -t words <"$pid/cmdline" || continue
            [[ ${words[0]-} == *node && ${words[*]} == *"/builder.js build"* ]] || continue
            peak=$(awk '/^VmHWM:/ { print $2 }' "$pid/status") || continue
            [[ -z $peak ]] || echo "$peak" >"$1"
        done
    done 2>/dev/null
}
# Processors that others use while nothing is measured, in two seconds.
foreign() {
    local before after
    before=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat)
    sleep 2
    after=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat)
    awk -v ticks="$((after - before))" -v hertz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hertz / 2 }'
}
# memory ROW PROJECT OUT TARGETS [OPTION...]
memory() {
    watch_memory "$work/peak" &
    local watcher=$!
    builder "${@:2}"
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
    record "memory $1" "$(<"$work/peak")" "$(stat --format=%s "$3/realmfs-rootfs.tar")"
}

# All layers are made here; the tree that the plain scripts have is the builder's own.
builder "$here/project" "$work/out" tarball
memory small "$here/project" "$work/out" "$all" --keep-rootfs
mv "$work/out/rootfs" "$work/tree"
epoch=$(node -e 'console.log(JSON.parse(require("fs").readFileSync(process.argv[1])).sourceDateEpoch)' "$work/out/manifest.json")
export NAME=base CHANNEL=realmfs-user FREE_SPACE=$((512 * 1024 ** 2))
# The same bytes, or the comparison says nothing.
for target in "${targets[@]}"; do
    results=/dev/null plain "$target" >/dev/null
    cat "$work/plain/SHA256SUMS"
done >"$work/sums"
(cd "$work/out" && sha256sum --check --strict "$work/sums") || exit 1
find "$work/plain" -xdev -type f -delete

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    record foreign "$(foreign)"
    for target in "${targets[@]}"; do
        plain "$target"
        measured "$target" "$target"
    done
    measured together "$together"
done

find "$work/plain" "$work/out" "$work/tree" -xdev -delete
export REALMFS_CACHE_DIR=$BENCH_DISK/cache
mkdir -m 0700 "$REALMFS_CACHE_DIR" "$REALMFS_CACHE_DIR/mnt"
cp -a "$cache/apt" "$REALMFS_CACHE_DIR/apt"
# A build from nothing first: what it takes to read the lists of packages is no cost of targets.
memory cold "$here/large" "$BENCH_DISK/out" tarball
memory large "$here/large" "$BENCH_DISK/out" "$all"
node "$here/targets-report.cjs" "$results" "$program/docs"
