# shellcheck shell=bash disable=SC2154,SC2178
# The state of the shell between steps: what a module has changed since build.conf was
# sourced is written as a script that the next step sources at its top level.

# Variables that bash keeps itself, or that are handed over in another way. Looked up for every
# variable of every step: a regular expression of them would take longer than the step.
declare -A __realmfs_own=()
for __realmfs_key in _ BASH BASHOPTS BASHPID DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD IFS LINENO OLDPWD \
    PIPESTATUS PPID PWD RANDOM SECONDS SHELLOPTS SHLVL SRANDOM UID \
    BASH_{ALIASES,ARGC,ARGV,ARGV0,CMDS,COMMAND,EXECUTION_STRING,LINENO,LOADABLES_PATH,MONOSECONDS,REMATCH,SOURCE,SUBSHELL,TRAPSIG,VERSINFO,VERSION} \
    COMP_{CWORD,KEY,LINE,POINT,TYPE,WORDBREAKS,WORDS}; do
    __realmfs_own[$__realmfs_key]=yes
done
readonly -A __realmfs_own
# Options that the framework sets before every module.
readonly __realmfs_armed='^set [-+]o (errexit|errtrace|nounset|pipefail)$'

# What the shell was after build.conf, and what the module has made of its functions.
declare -A __realmfs_variables=() __realmfs_functions=() __realmfs_now_functions=()

# Names of locals begin with __realmfs_ where declare -p runs: a local would hide the user's
# variable of that name. The builtins are named as such where functions of the user, which may
# have their names, are still there.

# Lists are split by the shell itself: from a pipe, bash reads byte by byte.

# One line a variable: bash writes line feeds in values as $'\n'.
__realmfs_list_variables() {
    builtin local - IFS=$'\n' __realmfs_line __realmfs_key
    builtin local -n __realmfs_into="$1"
    __realmfs_into=()
    builtin set -f
    for __realmfs_line in $(builtin declare -p); do
        __realmfs_key=${__realmfs_line#declare -* }
        __realmfs_key=${__realmfs_key%%=*}
        [[ $__realmfs_key == __realmfs_* || -n ${__realmfs_own[$__realmfs_key]-} ]] || __realmfs_into["$__realmfs_key"]=$__realmfs_line
    done
}

# All functions of the shell as one text: most modules define none, and one comparison shows it.
__realmfs_function_text() {
    builtin declare -f
    builtin declare -F
}

__realmfs_list_functions() {
    builtin local - IFS=$'\n' __realmfs_flags __realmfs_key __realmfs_text
    builtin local -n __realmfs_into="$1"
    __realmfs_into=()
    builtin set -f
    for __realmfs_key in $(builtin declare -F); do
        # `declare -FLAGS NAME`
        __realmfs_flags=${__realmfs_key#declare }
        __realmfs_flags=${__realmfs_flags%% *}
        __realmfs_key=${__realmfs_key#declare * }
        [[ $__realmfs_key != __realmfs_* ]] || builtin continue
        __realmfs_text=$(builtin declare -f "$__realmfs_key")
        # Exported and readonly functions.
        [[ $__realmfs_flags == -f ]] || __realmfs_text+=$'\n'"declare $__realmfs_flags -- $__realmfs_key"
        __realmfs_into["$__realmfs_key"]=$__realmfs_text
    done
}

# What build.conf has made of the shell itself.
__realmfs_shell_text() {
    builtin shopt -p
    builtin set +o
    builtin umask
    builtin trap -p
    builtin alias -p
    builtin printf '%s\n' "${IFS-unset}" "$PWD"
}

# __realmfs_snapshot: remembers the state that the difference is taken from.
__realmfs_snapshot() {
    __realmfs_list_variables __realmfs_variables
    __realmfs_all_functions=$(__realmfs_function_text)
    __realmfs_list_functions __realmfs_functions
    __realmfs_shopt=$(builtin shopt -p)
    __realmfs_set=$(builtin set +o)
    __realmfs_umask=$(builtin umask)
    __realmfs_first_ifs=${IFS-unset}
}

# Set by the state that an earlier step has handed on.
__realmfs_restore_traps() { :; }

# Reads what the module has made of the shell, and then makes it one in which the framework's
# own commands mean what they say. Run in a subshell: the module's shell stays as it is.
__realmfs_take_shell() {
    __realmfs_new_traps=$(builtin trap -p)
    __realmfs_ifs=${IFS-unset}
    IFS=$' \t\n'
    __realmfs_new_shopt=$(builtin shopt -p)
    __realmfs_new_set=$(builtin set +o)
    __realmfs_new_umask=$(builtin umask)
    __realmfs_new_cwd=$PWD
    builtin trap - DEBUG RETURN
    builtin shopt -u nocasematch nullglob failglob nocaseglob xpg_echo
    builtin set +xvfk +o posix
    __realmfs_new_functions=same
    if [[ $(__realmfs_function_text) != "$__realmfs_all_functions" ]]; then
        __realmfs_new_functions=changed
        __realmfs_list_functions __realmfs_now_functions
    fi
    __realmfs_user_helpers=$(builtin declare -f module info warn fatal install_file)
    __realmfs_drop_functions
    umask 022
    cd /
}

__realmfs_drop_functions() {
    builtin local - IFS=$'\n' __realmfs_key
    builtin set -f
    for __realmfs_key in $(builtin declare -F); do
        __realmfs_key=${__realmfs_key#declare * }
        [[ $__realmfs_key == __realmfs_* ]] || builtin unset -f -- "$__realmfs_key" 2>/dev/null
    done
}

# The lines of NEW that do not stand in OLD.
__realmfs_new_lines() {
    local __realmfs_line
    while IFS= read -r __realmfs_line; do
        [[ $'\n'$1$'\n' == *$'\n'"$__realmfs_line"$'\n'* ]] || printf '%s\n' "$__realmfs_line"
    done <<<"$2"
}

__realmfs_hand_over_variables() {
    local __realmfs_key
    local -A __realmfs_now=()
    __realmfs_list_variables __realmfs_now
    for __realmfs_key in "${!__realmfs_variables[@]}"; do
        [[ -v __realmfs_now[$__realmfs_key] ]] || printf 'unset -v %s\n' "$__realmfs_key"
    done
    for __realmfs_key in "${!__realmfs_now[@]}"; do
        [[ ${__realmfs_variables[$__realmfs_key]-} != "${__realmfs_now[$__realmfs_key]}" ]] || continue
        # An array does not become a string, nor lose an attribute, by a new value.
        [[ ! -v __realmfs_variables[$__realmfs_key] || ${__realmfs_variables[$__realmfs_key]} =~ ^declare\ -[^\ ]*r ]] \
            || printf 'unset -v %s\n' "$__realmfs_key"
        printf '%s\n' "${__realmfs_now[$__realmfs_key]}"
    done
}

__realmfs_hand_over_functions() {
    local __realmfs_key
    [[ $__realmfs_new_functions == changed ]] || return 0
    for __realmfs_key in "${!__realmfs_functions[@]}"; do
        [[ -v __realmfs_now_functions[$__realmfs_key] ]] || printf 'unset -f -- %q\n' "$__realmfs_key"
    done
    for __realmfs_key in "${!__realmfs_now_functions[@]}"; do
        [[ ${__realmfs_functions[$__realmfs_key]-} == "${__realmfs_now_functions[$__realmfs_key]}" ]] || printf '%s\n' "${__realmfs_now_functions[$__realmfs_key]}"
    done
}

# The script of the state calls builtins; build.conf may have made functions (modules, say) of
# their names. They are put aside while it runs.
__realmfs_hide_functions() {
    __realmfs_hidden=$(builtin declare -f 'declare' unset shopt set umask cd trap)
    builtin unset -f declare unset shopt set umask cd trap
}

__realmfs_show_functions() {
    builtin eval "$__realmfs_hidden"
}

__realmfs_hand_over() {
    printf '__realmfs_hide_functions\n'
    # First, since functions may need extglob to be read.
    __realmfs_new_lines "$__realmfs_shopt" "$__realmfs_new_shopt"
    __realmfs_hand_over_variables
    __realmfs_new_lines "$__realmfs_set" "$__realmfs_new_set" | command -p grep -Ev "$__realmfs_armed" || [[ $? == 1 ]] || return
    case $__realmfs_ifs in
        "$__realmfs_first_ifs") ;;
        unset) printf 'unset -v IFS\n' ;;
        *) printf 'IFS=%q\n' "$__realmfs_ifs" ;;
    esac
    [[ $__realmfs_new_umask == "$__realmfs_umask" ]] || printf 'umask %s\n' "$__realmfs_new_umask"
    [[ $__realmfs_new_cwd == / ]] || printf 'cd -- %q\n' "$__realmfs_new_cwd"
    printf '__realmfs_restore_traps() {\n__realmfs_hide_functions\n%s\n__realmfs_show_functions\n}\n' "$__realmfs_new_traps"
    printf '__realmfs_show_functions\n'
    __realmfs_hand_over_functions
}

# A helper that a module, not build.conf, has put in the place of the framework's.
__realmfs_changed_helpers() {
    [[ $__realmfs_user_helpers == "$__realmfs_helpers" ]] \
        || __realmfs_record warning "$__realmfs_name redefines a function of the framework (module, info, warn, fatal or install_file)"
}

# Reports the command that ends a module: the innermost place outside the framework.
__realmfs_failed() {
    builtin local IFS=$' \t\n' __realmfs_at __realmfs_file='' __realmfs_line=''
    for ((__realmfs_at = 1; __realmfs_at < ${#BASH_SOURCE[@]}; __realmfs_at++)); do
        case ${BASH_SOURCE[__realmfs_at]} in
            "$__realmfs_run"/lib/chroot/*) ;;
            *)
                __realmfs_file=${BASH_SOURCE[__realmfs_at]} __realmfs_line=${BASH_LINENO[__realmfs_at - 1]}
                builtin break
                ;;
        esac
    done
    __realmfs_record failed "$1" "$2" "$__realmfs_file" "$__realmfs_line"
}

# build.conf is read once before stage one and again in every step: a value that differs
# would make the image something that was not planned.
__realmfs_check_lists() {
    builtin local IFS=$' \t\n' __realmfs_key
    builtin local -a __realmfs_now __realmfs_planned
    for __realmfs_key in PACKAGES PRE_INSTALL_MODULES POST_INSTALL_MODULES; do
        __realmfs_words __realmfs_now "$__realmfs_key"
        __realmfs_words __realmfs_planned "__realmfs_planned_$__realmfs_key"
        [[ ${__realmfs_now[*]} == "${__realmfs_planned[*]}" ]] \
            || __realmfs_fatal "build.conf: $__realmfs_key is '${__realmfs_now[*]}' inside the image, but was '${__realmfs_planned[*]}' before"
    done
}
