#!/bin/sh
# Makes what belongs to this machine alone, and was therefore taken out of its image by realmfs-builder: keys,
# secrets and identifiers. What is there already stays.
set -eu
umask 077

uuid() {
    cat /proc/sys/kernel/random/uuid
}

# hex COUNT: so many hexadecimal digits.
hex() {
    od -An -v -N "$((($1 + 1) / 2))" -tx1 /dev/urandom | tr -d ' \n' | cut -c "1-$1"
}

# alphanumeric COUNT: so many letters and digits.
alphanumeric() {
    { tr -dc 'A-Za-z0-9' </dev/urandom 2>/dev/null || true; } | head -c "$1"
}

# random_base64 COUNT: so many bytes.
random_base64() {
    head -c "$1" /dev/urandom | base64 -w 0
}

# put FILE OWNER MODE: writes standard input.
put() {
    cat >"$1.new"
    chown "$2" "$1.new"
    chmod "$3" "$1.new"
    mv "$1.new" "$1"
}

# join BEFORE TEXT AFTER
join() {
    printf '%s%s%s' "$1" "$2" "$3"
}
