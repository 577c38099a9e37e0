#!/bin/bash
# Gives debconf the answers of the project. in/count: how many files, in/answers-N: each.
set -Eeuo pipefail
count=$(</dev/realmfs/in/count)
for ((at = 0; at < count; at++)); do
    debconf-set-selections --verbose "/dev/realmfs/in/answers-$at"
done
