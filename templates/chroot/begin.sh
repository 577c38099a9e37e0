# shellcheck shell=bash disable=SC1090,SC1091,SC2154
# What a step begins with: build.conf, the settings, and the state that earlier steps have handed on.
# Sourced at the top level, since build.conf's declarations must not become local.
source "$__realmfs_run/in/settings-before.sh"
__realmfs_conf=$(<"$__realmfs_run/in/config")
if [[ -n $__realmfs_conf ]]; then
    cd "$__realmfs_run/project" || exit 97
    [[ -f $__realmfs_conf && -r $__realmfs_conf ]] || __realmfs_fatal "$__realmfs_conf is not there any more, or is not a regular file"
    trap '__realmfs_unsourced "$BASH_COMMAND" "${BASH_SOURCE[0]-}" "$LINENO"' ERR
    source "$__realmfs_run/project/$__realmfs_conf" >/dev/null
    builtin trap - ERR
fi
# From here on functions of the user may have the names of builtins and of commands.
builtin set +eu
builtin cd / || builtin exit 97
# As in a new shell: no way back.
builtin unset -v OLDPWD
builtin declare -x OLDPWD
builtin source "$__realmfs_run/in/settings-after.sh"
__realmfs_join_lists
__realmfs_check_lists
__realmfs_snapshot
if [[ -f $__realmfs_run/in/state.sh ]]; then
    builtin source "$__realmfs_run/in/state.sh"
fi
