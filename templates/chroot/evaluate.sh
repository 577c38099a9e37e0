#!/bin/bash
# shellcheck disable=SC2154
# Reads build.conf as nobody, in a sandbox, and hands back what it says.
#
# Arguments: CONF (below REALMFS_PROJECT, or empty), OUT (a file to write), then the names
# of the settings. OUT gets NUL-separated records:
#   var NAME (string|array) COUNT VALUE...     for each setting that has a value
#   said NAME (kept|changed)                   for each that had one before options and defaults: what
#                                              was there before build.conf, or what build.conf has made of it
#   base NAME COUNT WORD...                    for each base list, as the profile and the suite make it
#   name NAME                                  for each variable that build.conf has made or changed
#   function NAME PLACE TEXT                   for each function that is defined: `NAME LINE FILE`, and how bash prints it
#   whole TEXT                                 build.conf without comments, as the body of a function; empty if bash
#                                              cannot read it as one
#   declared NAME LINE                         for each variable, as declare -p prints it
#   shell TEXT                                 options, umask, IFS, traps and aliases
#   done
# settings-before.sh and settings-after.sh lie beside build.conf's copy, made by the builder.

__realmfs_conf=$1
__realmfs_out=$2
shift 2
__realmfs_keys=("$@")
set --

source /dev/realmfs/lib/chroot/lib.sh
source /dev/realmfs/lib/chroot/base.sh
source /dev/realmfs/lib/chroot/state.sh
__realmfs_whole_text() (
    [[ -n $__realmfs_conf ]] || exit 0
    shopt -s extglob
    eval "__realmfs_whole() {"$'\n'"$(<"$__realmfs_run/project/$__realmfs_conf")"$'\n'"}" && declare -f __realmfs_whole
) 2>/dev/null
# __realmfs_note ARRAY: what the variables of __realmfs_keys are now, those without a value left out.
__realmfs_note() {
    builtin local -n __noted="$1"
    builtin local __key
    for __key in "${__realmfs_keys[@]}"; do
        __realmfs_has_value "$__key" || builtin continue
        builtin local -n __value="$__key"
        # shellcheck disable=SC2004
        __noted[$__key]=${__value[*]@Q}
        builtin unset -n __value
    done
}
declare -A __realmfs_before=() __realmfs_after=()
__realmfs_settings=("${__realmfs_keys[@]}") __realmfs_known=() __realmfs_all=() __realmfs_defined=() __realmfs_key=''
# __realmfs_names ARRAY: the names of all variables.
__realmfs_names() {
    builtin local - IFS=$'\n'
    builtin local -n __realmfs_into="$1"
    builtin set -f
    # shellcheck disable=SC2207
    __realmfs_into=($(builtin compgen -v))
}
__realmfs_names __realmfs_known
source /dev/realmfs/lib/settings-before.sh
# An option may set a variable that is no setting.
__realmfs_names __realmfs_all
for __realmfs_key in "${__realmfs_all[@]}"; do
    [[ " ${__realmfs_known[*]} " == *" $__realmfs_key "* ]] || __realmfs_keys+=("$__realmfs_key")
done
__realmfs_note __realmfs_before
__realmfs_whole=$(__realmfs_whole_text)
__realmfs_shell=''
__realmfs_names __realmfs_known
cd "$__realmfs_run/project" || exit 97
if [[ -n $__realmfs_conf ]]; then
    trap '__realmfs_unsourced "$BASH_COMMAND" "${BASH_SOURCE[0]-}" "$LINENO"' ERR
    source "$__realmfs_run/project/$__realmfs_conf"
    builtin trap - ERR
fi
# From here on functions of the user may have the names of builtins and of commands, and his
# variables may be readonly.
__realmfs_shell=$(__realmfs_shell_text)
builtin set +eu
[[ ${IFS@a} != *r* ]] || __realmfs_fatal 'IFS is readonly: what comes after build.conf could not be read as it is meant'
IFS=$' \t\n'
__realmfs_note __realmfs_after
__realmfs_names __realmfs_defined
builtin source "$__realmfs_run/lib/settings-after.sh"
__realmfs_list_variables __realmfs_variables
__realmfs_join_lists

__realmfs_report() {
    builtin local - __realmfs_key __realmfs_flags
    builtin local -a __realmfs_list
    for __realmfs_key in "${!__realmfs_after[@]}"; do
        if [[ -v __realmfs_before[$__realmfs_key] && ${__realmfs_before[$__realmfs_key]} == "${__realmfs_after[$__realmfs_key]}" ]]; then
            builtin printf '%s\0' said "$__realmfs_key" kept
        else
            builtin printf '%s\0' said "$__realmfs_key" changed name "$__realmfs_key"
        fi
    done
    for __realmfs_key in BASE_PACKAGES BASE_PRE_INSTALL_MODULES BASE_POST_INSTALL_MODULES; do
        __realmfs_base __realmfs_list "$__realmfs_key"
        builtin printf '%s\0' base "$__realmfs_key" "${#__realmfs_list[@]}" ${__realmfs_list[@]+"${__realmfs_list[@]}"}
    done
    for __realmfs_key in "${__realmfs_settings[@]}"; do
        __realmfs_has_value "$__realmfs_key" || builtin continue
        builtin local -n __realmfs_value="$__realmfs_key"
        if [[ ${__realmfs_value@a} == *a* ]]; then
            builtin printf '%s\0' var "$__realmfs_key" array "${#__realmfs_value[@]}" "${__realmfs_value[@]}"
        else
            builtin printf '%s\0' var "$__realmfs_key" string 1 "$__realmfs_value"
        fi
        builtin unset -n __realmfs_value
    done
    for __realmfs_key in "${__realmfs_defined[@]}"; do
        [[ " ${__realmfs_known[*]} " == *" $__realmfs_key "* ]] || builtin printf '%s\0' name "$__realmfs_key"
    done
    builtin shopt -s extdebug
    builtin local IFS=$'\n'
    builtin set -f
    for __realmfs_key in $(builtin declare -F); do
        __realmfs_flags=${__realmfs_key#declare }
        __realmfs_flags=${__realmfs_flags%% *}
        __realmfs_key=${__realmfs_key#declare * }
        # Straight to the file: a command substitution for each would take longer than all the rest.
        builtin printf '%s\0' function "$__realmfs_key"
        builtin declare -F "$__realmfs_key"
        builtin printf '\0'
        builtin declare -f "$__realmfs_key"
        [[ $__realmfs_flags == -f ]] || builtin printf 'declare %s -- %s\n' "$__realmfs_flags" "$__realmfs_key"
        builtin printf '\0'
    done
    builtin printf '%s\0' whole "$__realmfs_whole" shell "$__realmfs_shell"
    for __realmfs_key in "${!__realmfs_variables[@]}"; do
        builtin printf '%s\0' declared "$__realmfs_key" "${__realmfs_variables[$__realmfs_key]}"
    done
    builtin printf '%s\0' 'done'
}
__realmfs_report >"$__realmfs_out"
