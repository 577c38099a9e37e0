#!/bin/bash
# shellcheck disable=SC2154
# Runs one step of stage two inside the image's root. Each step is a bash of its own; to
# the modules it looks like one shell, since each step begins with what the last one left.
#
# Arguments: NAME (the module), LAST (yes: no module comes after this one), ORIGIN (where the plan
#   has found the module: function, project or built-in; hook: NAME is a program in in/hook).
# in/:  settings-before.sh, settings-after.sh, config (the name of build.conf below the
#       project, or empty), state.sh (the difference that earlier steps made, if any),
#       token (what stands in the status when the step was completed). What begin.sh reads is gone when the module runs.
# out/: status (records for the builder), state.sh (the difference to hand on), ask and answer (pipes to the builder and back).

__realmfs_name=$1
__realmfs_last=$2
__realmfs_origin=$3
set --

source /dev/realmfs/lib/chroot/lib.sh
source /dev/realmfs/lib/chroot/base.sh
source /dev/realmfs/lib/chroot/state.sh

# shellcheck disable=SC2034
readonly __realmfs_asks=yes
# shellcheck disable=SC2034
__realmfs_asked=0
source "$__realmfs_run/lib/chroot/begin.sh"
__realmfs_ask begun ''

# Background jobs and open files end with the step.
__realmfs_leaves_open() {
    local __realmfs_fd
    [[ -z $__realmfs_jobs ]] || return 0
    set +f
    for __realmfs_fd in /proc/"$$"/fd/*; do
        case ${__realmfs_fd##*/} in
            0 | 1 | 2 | 255 | "${REALMFS_APT_STATUS_FD-}") ;;
            *) return 0 ;;
        esac
    done
    return 1
}

# A hook is a program of its own: it gets what is exported, and leaves nothing in the shell.
__realmfs_hook() {
    builtin local __realmfs_file="$__realmfs_run/in/hook/${1##*/}" __realmfs_start='' __realmfs_code=0
    builtin local -a __realmfs_command
    __realmfs_command=("$__realmfs_file")
    LC_ALL=C IFS= builtin read -r -n 2 __realmfs_start <"$__realmfs_file" 2>/dev/null || builtin true
    # The kernel runs what names its interpreter, and programs.
    [[ $__realmfs_start == '#!' || $__realmfs_start == $'\x7f'E ]] || __realmfs_command=(/bin/bash "$__realmfs_file")
    (
        builtin cd / && builtin umask 022
        REALMFS_HOOK=$1 PIP_BREAK_SYSTEM_PACKAGES=1
        # shellcheck disable=SC2034
        builtin export REALMFS_HOOK PIP_BREAK_SYSTEM_PACKAGES REALMFS_NAME REALMFS_HOSTNAME REALMFS_PROFILE
        builtin exec "${__realmfs_command[@]}"
    ) || __realmfs_code=$?
    ((__realmfs_code == 0)) || {
        __realmfs_record hook "$__realmfs_code"
        builtin trap - ERR
        builtin exit "$__realmfs_code"
    }
}

# What follows the module. Whatever it has set, the rest is the framework's own shell.
__realmfs_complete() {
    __realmfs_take_shell
    __realmfs_changed_helpers
    ! __realmfs_leaves_open || __realmfs_record open
    # After the last module there is nobody to hand on to.
    [[ $__realmfs_last == yes ]] || __realmfs_hand_over >"$__realmfs_run/out/state.sh" || exit 97
    [[ -n $__realmfs_errors_on ]] || __realmfs_record warning "$__realmfs_name leaves set +e behind; it is set again for the next module"
    __realmfs_record "done" "$(<"$__realmfs_run/in/token")"
}

__realmfs_helpers=$(builtin declare -f module info warn fatal install_file)
builtin trap '__realmfs_failed $? "$BASH_COMMAND"' ERR
builtin trap - EXIT
__realmfs_restore_traps
builtin set -eEo pipefail
builtin set +u
# Not `module`, which the user may have replaced: then nothing would be run, and all be well.
if [[ $__realmfs_origin == hook ]]; then
    __realmfs_hook "$__realmfs_name"
else
    __realmfs_module "$__realmfs_name" "$__realmfs_origin"
fi
builtin trap - ERR
__realmfs_errors_on=${-//[^e]/}
builtin set +eE +o pipefail
__realmfs_jobs=$(builtin jobs -pr)
# In a subshell: the user's EXIT trap, which ends the last step, needs the user's functions.
(__realmfs_complete) || builtin exit 97
[[ $__realmfs_last == yes ]] || builtin trap - EXIT
