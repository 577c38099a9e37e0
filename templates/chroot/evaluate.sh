#!/bin/bash
# Reads build.conf as nobody, in a sandbox, and hands back what it says.
#
# Arguments: CONF (below REALMFS_PROJECT, or empty), OUT (a file to write), then the names
# of the settings. OUT gets NUL-separated records:
#   var NAME (string|array) COUNT VALUE...     for each setting that has a value
#   said NAME (kept|changed)                   for each that had one before options and defaults: what
#                                              was there before build.conf, or what build.conf has made of it
#   base NAME COUNT WORD...                    for each base list, as the profile and the suite make it
#   name NAME                                  for each variable that build.conf has made or changed
#   function NAME FILE LINE                    for each function that is defined
#   done
# settings-before.sh and settings-after.sh lie beside build.conf's copy, made by the builder.

__realmfs_conf=$1
__realmfs_out=$2
shift 2
__realmfs_keys=("$@")
set --

source /run/realmfs/lib/chroot/lib.sh
source /run/realmfs/lib/chroot/base.sh
# __realmfs_note ARRAY: what the variables of __realmfs_keys are now, those without a value left out.
__realmfs_note() {
    local -n __noted=$1
    local __key
    for __key in "${__realmfs_keys[@]}"; do
        __realmfs_has_value "$__key" || continue
        local -n __value=$__key
        # shellcheck disable=SC2004
        __noted[$__key]=${__value[*]@Q}
        unset -n __value
    done
}
declare -A __realmfs_before=() __realmfs_after=()
__realmfs_settings=("${__realmfs_keys[@]}") __realmfs_known=()
mapfile -t __realmfs_known < <(compgen -v)
source /run/realmfs/lib/settings-before.sh
# An option may set a variable that is no setting.
mapfile -t -O "${#__realmfs_keys[@]}" __realmfs_keys < <(comm -13 <(printf '%s\n' "${__realmfs_known[@]}" | sort) <(compgen -v | sort))
__realmfs_note __realmfs_before
mapfile -t __realmfs_known < <(compgen -v)
cd "$REALMFS_PROJECT" || exit 97
if [[ -n $__realmfs_conf ]]; then
    source "$REALMFS_PROJECT/$__realmfs_conf"
fi
set +eu
IFS=$' \t\n'
__realmfs_note __realmfs_after
__realmfs_defined=$(compgen -v)
source /run/realmfs/lib/settings-after.sh
__realmfs_join_lists

__realmfs_report() {
    local name file line
    local -a list
    for name in "${!__realmfs_after[@]}"; do
        if [[ -v __realmfs_before[$name] && ${__realmfs_before[$name]} == "${__realmfs_after[$name]}" ]]; then
            printf '%s\0' said "$name" kept
        else
            printf '%s\0' said "$name" changed name "$name"
        fi
    done
    for name in BASE_PACKAGES BASE_PRE_INSTALL_MODULES BASE_POST_INSTALL_MODULES; do
        __realmfs_base list "$name"
        printf '%s\0' base "$name" "${#list[@]}" ${list[@]+"${list[@]}"}
    done
    for name in "${__realmfs_settings[@]}"; do
        __realmfs_has_value "$name" || continue
        local -n value=$name
        if [[ ${value@a} == *a* ]]; then
            printf '%s\0' var "$name" array "${#value[@]}" "${value[@]}"
        else
            printf '%s\0' var "$name" string 1 "$value"
        fi
        unset -n value
    done
    comm -13 <(printf '%s\n' "${__realmfs_known[@]}" | sort) <(sort <<<"$__realmfs_defined") \
        | while read -r name; do printf '%s\0' name "$name"; done
    shopt -s extdebug
    while read -r _ _ name; do
        read -r _ line file <<<"$(declare -F "$name")"
        printf '%s\0' function "$name" "$file" "$line"
    done < <(declare -F)
    printf '%s\0' 'done'
}
__realmfs_report >"$__realmfs_out"
