# shellcheck shell=bash disable=SC2154
# The start of an interactive shell, or of one command, in the place of a step: the same environment,
# capabilities and shell state. Sourced by bash as its --rcfile, or before a command.

source /dev/realmfs/lib/chroot/lib.sh
source /dev/realmfs/lib/chroot/base.sh
source /dev/realmfs/lib/chroot/state.sh
source "$__realmfs_run/lib/chroot/begin.sh"
__realmfs_restore_traps
# The size of the terminal outside.
[[ -z ${REALMFS_TERMINAL_SIZE-} ]] || command -p stty rows "${REALMFS_TERMINAL_SIZE% *}" cols "${REALMFS_TERMINAL_SIZE#* }" 2>/dev/null
unset REALMFS_TERMINAL_SIZE
if [[ -n ${REALMFS_RETRY-} ]]; then
    # Ends the shell, and has the step run again from the layer below.
    retry() {
        builtin exit 77
    }
fi
PS1="[realmfs ${REALMFS_STEP-}] \\w # "
unset REALMFS_RETRY
