#!/bin/bash
# Gives debconf the answers of the project. in/files: paths below the project folder, NUL-separated.
set -Eeuo pipefail
while IFS= read -r -d '' file; do
    debconf-set-selections --verbose "/dev/realmfs/project/$file"
done </dev/realmfs/in/files
