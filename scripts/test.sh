#!/bin/bash
# Runs the test projects that are named: unit, root, long.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
projects=()
needs_root=no
for name in "$@"; do
    if [[ $name != unit && $EUID != 0 ]]; then
        needs_root=yes
        continue
    fi
    projects+=("--project=$name")
done
status=0
node_modules/.bin/vitest run "${projects[@]}" || status=$?
if [[ $needs_root == yes ]]; then
    echo 'The other tests need root; npm run test:unit runs these alone.' >&2
    status=3
fi
exit "$status"
