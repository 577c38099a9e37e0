#!/bin/bash
# Makes the network namespace of a build's steps: loopback, and a way out by a program of user space. The machine's own
# loopback, its abstract sockets and its interfaces are not in it. It belongs to the machine's user namespace: a step can
# change nothing of it. The program ends with the namespaces of the build.
#
# Run in the builder's view. Arguments: FOLDER, in which it puts `net`, the namespace, and `dns`, the address at which the
# machine's own name server answers inside; FORWARD: yes, if that is needed. Exit code 3: no program could make the way out;
# each says why on standard error.
set -Eeuo pipefail
readonly folder=$1 forward=$2 part=${3-all}
readonly dns=169.254.1.53 dns_of_slirp=10.0.2.3

# Without forwarding in either direction, and without an address that stands for the machine's loopback. It goes on in the
# background once the network is there.
pasta_way() {
    local -a dns_options=()
    # With it, answers of the first name server come from that address alone.
    [[ $forward != yes ]] || dns_options=(--dns-forward "$dns")
    pasta --quiet --runas 0 --netns "$folder/net" --config-net -t none -u none -T none -U none --no-map-gw \
        "${dns_options[@]}" </dev/null >/dev/null || return
    printf '%s\n' "$dns" >"$folder/dns"
}

slirp_way() {
    {
        slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp --netns-type=path \
            --ready-fd=3 "$folder/net" tap0 3>&1 </dev/null >/dev/null 2>"$folder/log" &
    } | read -r -n 1 -t 10 _ || {
        cat "$folder/log" >&2
        return 1
    }
    printf '%s\n' "$dns_of_slirp" >"$folder/dns"
}

case $part in
    all)
        mkdir -p "$folder"
        : >"$folder/net"
        unshare --net="$folder/net" -- bash "${BASH_SOURCE[0]}" "$folder" "$forward" inside
        # The programs make the interface by a device that nobody else sees.
        exec unshare --mount --propagation private -- bash "${BASH_SOURCE[0]}" "$folder" "$forward" way
        ;;
    inside)
        ip link set lo up
        # No wait for an address: nobody else has it.
        for file in /proc/sys/net/ipv6/conf/{all,default}/accept_dad; do
            [[ ! -w $file ]] || printf '0\n' >"$file"
        done
        exit 0
        ;;
esac
mount -t tmpfs -o mode=0755,size=64k,nosuid,noexec realmfs-dev /dev
mkdir /dev/net
mknod -m 0666 /dev/null c 1 3
mknod -m 0666 /dev/net/tun c 10 200
for program in pasta slirp4netns; do
    if ! command -v "$program" >/dev/null; then
        printf '%s is not installed\n' "$program" >&2
    elif [[ $program == pasta ]]; then
        ! pasta_way || exit 0
    else
        ! slirp_way || exit 0
    fi
done
exit 3
