#!/bin/bash
# Biome for TypeScript, shellcheck and shfmt for bash, perl for itself.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
node_modules/.bin/biome check .
mapfile -t scripts < <(find scripts bench templates .ci realmfs-modules test/helpers -type f \( -name "*.sh" -o -name launch -o -name run -o -path "realmfs-modules/*" \))
shellcheck --shell=bash --external-sources "${scripts[@]}"
shfmt -i 4 -ci -bn -d "${scripts[@]}"
for script in templates/sandbox/*.pl; do
    perl -wc "$script"
done
