#!/bin/bash
# Brings a fresh Debian machine to where the program runs (run), compiles (compile) or is
# tested (test): Debian packages, npm packages from the lockfile, the compiled program.
# Only `npm start`, `npm test` and .ci/run install Debian packages; the command is printed first.
set -Eeuo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1-} in
    run) packages=(debootstrap mount iproute2 gpgv xz-utils wget perl e2fsprogs debian-archive-keyring ca-certificates passt) ;;
    test) packages=(debootstrap mount iproute2 gpgv xz-utils wget perl e2fsprogs debian-archive-keyring ca-certificates passt
        shellcheck shfmt expect acl attr libcap2-bin apt-utils squashfs-tools erofs-utils cryptsetup-bin zstd openssl) ;;
    compile) packages=() ;;
    *)
        echo 'usage: set-up.sh run|compile|test' >&2
        exit 2
        ;;
esac

missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    echo "apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}"
    if ((EUID != 0)); then
        echo 'realmfs-builder: error: set-up: the packages above are missing, and installing them needs root' >&2
        exit 3
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet --quiet
    apt-get install --yes --quiet --no-install-recommends "${missing[@]}" </dev/null
fi

# `npm install -g .` runs this too: what it sets for itself is not meant for the packages here.
unset npm_config_global npm_config_prefix npm_config_location

# What was installed last is newer than the lockfile.
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
    npm ci --ignore-scripts --no-audit --no-fund
fi
npm run --silent build
