# shellcheck shell=bash
# The helpers that build.conf and modules may use: info, warn, fatal, module, install_file.
# Sourced before build.conf, so that a function of the same name there wins. The framework itself
# calls none of the five, and names builtins as such where functions of the user may have their
# names: a build.conf with a `fatal` that only prints must not turn a fault into a success. Programs
# are found by `command -p`, whatever PATH build.conf has set. Names of locals begin with __realmfs_:
# a variable that build.conf makes readonly cannot be a local. After `builtin`, an assignment is a word
# like any other, and quoted.

readonly __realmfs_run=/dev/realmfs
export REALMFS_PROJECT=${REALMFS_PROJECT:-$__realmfs_run/project}

# A record for the builder: fields parted by the unit separator, ended by the record separator.
__realmfs_record() {
    builtin local IFS=$'\x1f'
    builtin printf '%s\x1e' "$*" >>"$__realmfs_run/out/status"
}

# __realmfs_is_of_project FILE: for base modules: whether the project has brought the file, which then stays.
__realmfs_is_of_project() {
    [[ -f $__realmfs_run/in/of-project && $'\n'$(<"$__realmfs_run/in/of-project")$'\n' == *$'\n'"$1"$'\n'* ]] || builtin return 1
    builtin printf '[+] %s is that of the project, and stays\n' "$1"
}

# __realmfs_install MODE /FULL/PATH: install_file for base modules: what the image has there already stays.
__realmfs_install() {
    if [[ -e $2 || -L $2 ]]; then
        builtin printf '[+] %s is there already, and stays\n' "$2"
    else
        install_file "$@"
    fi
}

# __realmfs_ask KIND NAME: asks the builder for `file NAME` or `module NAME` of the project. It notes what the step depends on,
# and puts that file where the step finds it; the rest of the project is not there. `begun`: the step has read all that it
# begins with. Only steps ask: the evaluation of build.conf and a user's shell see the project as it is.
__realmfs_ask() {
    [[ -n ${__realmfs_asks-} ]] || builtin return 0
    builtin local __realmfs_pipe=answer __realmfs_serial="$((__realmfs_asked += 1))" __realmfs_answer=''
    if [[ $BASHPID != "$$" ]]; then
        # Subshells may ask at the same time.
        __realmfs_pipe=answer.$BASHPID
        [[ -p $__realmfs_run/out/$__realmfs_pipe ]] || builtin command -p mkfifo -m 0600 -- "$__realmfs_run/out/$__realmfs_pipe" \
            || __realmfs_fatal "the builder cannot be asked for $1 $2"
    fi
    # Opened both ways, which waits for nobody. NUL at both ends: what others have written there is no part of it.
    {
        builtin printf '\0%s\0' "$__realmfs_pipe $__realmfs_serial $1 $2" 1<>"$__realmfs_run/out/ask"
        until [[ $__realmfs_answer == "$__realmfs_serial "* ]]; do
            IFS='' builtin read -r -d '' -t 120 __realmfs_answer || __realmfs_fatal "the builder has not answered what $1 $2 is"
        done
    } <>"$__realmfs_run/out/$__realmfs_pipe"
    [[ $__realmfs_answer == *' ok' ]] || {
        [[ $1 != file ]] || __realmfs_fatal "install_file: $2 ${__realmfs_answer#* }"
        __realmfs_fatal "$1: $2 ${__realmfs_answer#* }"
    }
}

info() {
    builtin local IFS=' '
    builtin printf '[+] %s\n' "$*"
}

warn() {
    builtin local IFS=' '
    builtin printf '[!] %s\n' "$*"
}

# Ends the build, from a subshell too, with the message as its cause.
fatal() {
    __realmfs_end "${BASH_SOURCE[1]-}" "${BASH_LINENO[0]-}" "$@"
}

# The same for faults that the framework finds.
__realmfs_fatal() {
    __realmfs_end '' 0 "$@"
}

# __realmfs_end FILE LINE MESSAGE...
__realmfs_end() {
    builtin local IFS=' ' __realmfs_file="$1" __realmfs_line="$2"
    builtin shift 2
    if [[ -e $__realmfs_run/out/status ]]; then
        __realmfs_record fatal "$*" "$__realmfs_file" "$__realmfs_line"
    else
        # While build.conf is evaluated there are no records: the message is the last line.
        builtin printf '%s: line %s: %s\n' "$__realmfs_file" "$__realmfs_line" "$*" >&2
    fi
    builtin trap - ERR
    ((BASH_SUBSHELL == 0)) || builtin kill -TERM $$
    builtin exit 1
}

# module NAME: runs a module: a function of build.conf, else a file of the project's
# realmfs-modules/, else the built-in one.
module() {
    (($# == 1)) || __realmfs_fatal "module: one name is needed, not $#"
    # Another word is nothing that could be looked up.
    [[ ! $1 =~ $__realmfs_module_name ]] || __realmfs_ask module "$1"
    __realmfs_module "$1"
}

readonly __realmfs_module_name='^[A-Za-z0-9_][A-Za-z0-9_.+-]*$'

# __realmfs_module NAME [ORIGIN]: ORIGIN is the place where the plan has found it: it runs from there, or not at all.
__realmfs_module() {
    [[ $1 =~ $__realmfs_module_name ]] || __realmfs_fatal "module: '$1' is not a module name"
    # What build.conf has said is what the plan and the manifest say.
    [[ ${2-function} == function ]] || ! builtin declare -F -- "$1" >/dev/null \
        || __realmfs_fatal "an earlier module has defined a function $1, which is not the module $1 that was planned"
    if [[ ${2-function} == function ]] && builtin declare -F -- "$1" >/dev/null; then
        "$1"
    elif [[ ${2-project} == project && -f $__realmfs_run/project/realmfs-modules/$1 ]]; then
        builtin source "$__realmfs_run/project/realmfs-modules/$1"
    elif [[ -z ${2-} && -L $__realmfs_run/project/realmfs-modules/$1 && ! -e $__realmfs_run/project/realmfs-modules/$1 ]]; then
        __realmfs_fatal "module: realmfs-modules/$1 is a link that leads nowhere inside the image"
    elif [[ ${2-built-in} == built-in && -f $__realmfs_run/lib/modules/$1 ]]; then
        builtin source "$__realmfs_run/lib/modules/$1"
    elif [[ -n ${2-} ]]; then
        __realmfs_fatal "the module $1 was planned as that of the origin '$2', and is not there any more"
    else
        __realmfs_fatal "module: there is no module '$1'"
    fi
}

# __realmfs_unsourced COMMAND FILE LINE: the ERR trap while build.conf is read. A command that fails does not count there,
# but what a script says that it sources, and that is not there, would be lost without a word: that ends the build. Who
# reckons with that says so by a condition, and nothing fails.
__realmfs_unsourced() {
    builtin local IFS=$' \t\n' __realmfs_script='' __realmfs_at
    builtin local -a __realmfs_path
    __realmfs_path=()
    [[ $1 =~ ^((builtin|command)\ +)*(source|\.)\ +(.+)$ ]] || builtin return 0
    ! builtin declare -F source . >/dev/null || builtin return 0
    builtin eval "__realmfs_take_script ${BASH_REMATCH[4]}" 2>/dev/null
    [[ -n $__realmfs_script ]] || builtin return 0
    # As bash looks for it.
    [[ $__realmfs_script == */* ]] || IFS=: builtin read -r -d '' -a __realmfs_path <<<"$PATH" || builtin true
    for __realmfs_at in "${__realmfs_path[@]/%/\/}" ''; do
        [[ ! -r $__realmfs_at$__realmfs_script || -d $__realmfs_at$__realmfs_script ]] || builtin return 0
    done
    [[ $__realmfs_script != /* || $__realmfs_script == "$__realmfs_run/project/"* ]] \
        || __realmfs_end "$2" "$3" "source: $__realmfs_script lies outside the project folder, and build.conf finds nothing there (docs/configuration.md, 'The project folder'): copy it into the project and name it by a relative path"
    __realmfs_end "$2" "$3" "source: $__realmfs_script is not there, or cannot be read, when build.conf is read (docs/configuration.md, 'The project folder'); if it may be missing: [[ ! -f FILE ]] || source FILE"
}

__realmfs_take_script() {
    [[ ${1-} != -- ]] || builtin shift
    __realmfs_script=${1-}
}

# Finds FILE below the project's realmfs-files/, then below the built-in files.
__realmfs_find_file() {
    builtin local __realmfs_folder __realmfs_path
    __realmfs_ask file "$1"
    for __realmfs_folder in "$__realmfs_run/project/realmfs-files" "$__realmfs_run/lib/files"; do
        __realmfs_path=$__realmfs_folder/$1
        [[ -e $__realmfs_path || -L $__realmfs_path ]] || builtin continue
        [[ $(builtin command -p realpath -m -- "$__realmfs_path") == "$(builtin command -p realpath -m -- "$__realmfs_folder")"/* ]] \
            || __realmfs_fatal "install_file: $1 is a link that leads out of realmfs-files"
        [[ ! -d $__realmfs_path ]] || __realmfs_fatal "install_file: $1 is a folder"
        [[ -f $__realmfs_path ]] || __realmfs_fatal "install_file: $1 is not a regular file"
        builtin printf -v "$2" '%s' "$__realmfs_path"
        builtin return 0
    done
    __realmfs_fatal "install_file: there is no file $1 in realmfs-files"
}

# install_file MODE FILE DIR: copies realmfs-files/FILE to DIR/FILE.
# install_file MODE /FULL/PATH: copies realmfs-files/FULL/PATH to /FULL/PATH.
# Missing parents are made 0755; everything belongs to root:root.
install_file() {
    builtin local __realmfs_mode="${1-}" __realmfs_file="${2-}" __realmfs_target __realmfs_found
    (($# == 2 || $# == 3)) || __realmfs_fatal "install_file: MODE FILE DIR or MODE /FULL/PATH is needed, not $# arguments"
    [[ $__realmfs_mode =~ ^0?[0-7]{1,4}$ ]] || __realmfs_fatal "install_file: '$__realmfs_mode' is not an octal mode"
    __realmfs_file=${__realmfs_file#/}
    [[ -n $__realmfs_file && $__realmfs_file != */ ]] || __realmfs_fatal 'install_file: the name of the file is empty'
    [[ /$__realmfs_file/ != */../* ]] || __realmfs_fatal "install_file: '$__realmfs_file' must not contain .."
    if (($# == 3)); then
        [[ -n $3 ]] || __realmfs_fatal 'install_file: the name of the folder is empty'
        [[ /$3/ != */../* ]] || __realmfs_fatal "install_file: '$3' must not contain .."
        __realmfs_target=${3%/}/$__realmfs_file
    else
        __realmfs_target=/$__realmfs_file
    fi
    __realmfs_find_file "$__realmfs_file" __realmfs_found
    [[ ! -d $__realmfs_target || -L $__realmfs_target ]] || __realmfs_fatal "install_file: $__realmfs_target is a folder"
    [[ $__realmfs_target != */* ]] || (builtin umask 022 && builtin command -p mkdir -p -- "${__realmfs_target%/*}/") \
        || __realmfs_fatal "install_file: the folder of $__realmfs_target cannot be made"
    builtin command -p install --no-target-directory --owner=0 --group=0 --mode="$__realmfs_mode" -- "$__realmfs_found" "$__realmfs_target" \
        || __realmfs_fatal "install_file: $__realmfs_target cannot be written"
}
