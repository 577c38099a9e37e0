# shellcheck shell=bash disable=SC2154
# The resolver of the build, for steps with the network; what was there comes back, unless
# the step has put something else in its place.
__realmfs_resolver_in() {
    [[ -f $__realmfs_run/in/resolv.conf ]] || return 0
    rm -rf -- "$__realmfs_run/out/resolv.conf"
    if [[ -e /etc/resolv.conf || -L /etc/resolv.conf ]]; then
        cp --archive --no-target-directory -- /etc/resolv.conf "$__realmfs_run/out/resolv.conf" || return
        rm -f -- /etc/resolv.conf
    fi
    (umask 022 && cat "$__realmfs_run/in/resolv.conf" >/etc/resolv.conf)
}

__realmfs_resolver_out() {
    [[ -f $__realmfs_run/in/resolv.conf ]] || return 0
    if [[ ! -L /etc/resolv.conf ]] && command -p cmp -s /etc/resolv.conf "$__realmfs_run/in/resolv.conf"; then
        command -p rm -f -- /etc/resolv.conf
        [[ ! -e $__realmfs_run/out/resolv.conf && ! -L $__realmfs_run/out/resolv.conf ]] \
            || command -p cp --archive --no-target-directory -- "$__realmfs_run/out/resolv.conf" /etc/resolv.conf
    fi
}
