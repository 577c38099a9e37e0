# shellcheck shell=bash
# The helpers that build.conf and modules may use: info, warn, fatal, module, install_file.
# Sourced before build.conf, so that a function of the same name there wins.

readonly __realmfs_run=/run/realmfs
export REALMFS_PROJECT=${REALMFS_PROJECT:-$__realmfs_run/project}

# A record for the builder: fields parted by the unit separator, ended by the record separator.
__realmfs_record() {
    builtin local IFS=$'\x1f'
    builtin printf '%s\x1e' "$*" >>"$__realmfs_run/out/status"
}

info() {
    local IFS=' '
    printf '[+] %s\n' "$*"
}

warn() {
    local IFS=' '
    printf '[!] %s\n' "$*"
}

# Ends the build, from a subshell too, with the message as its cause.
fatal() {
    local IFS=' '
    if [[ -e $__realmfs_run/out/status ]]; then
        __realmfs_record fatal "$*" "${BASH_SOURCE[1]-}" "${BASH_LINENO[0]-}"
    else
        # While build.conf is evaluated there are no records: the message is the last line.
        printf '%s: line %s: %s\n' "${BASH_SOURCE[1]-}" "${BASH_LINENO[0]-}" "$*" >&2
    fi
    trap - ERR
    ((BASH_SUBSHELL == 0)) || kill -TERM $$
    exit 1
}

# module NAME: runs a module: a function of build.conf, else a file of the project's
# realmfs-modules/, else the built-in one.
module() {
    (($# == 1)) || fatal "module: one name is needed, not $#"
    [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.+-]*$ ]] || fatal "module: '$1' is not a module name"
    if builtin declare -F -- "$1" >/dev/null; then
        "$1"
    elif [[ -f $REALMFS_PROJECT/realmfs-modules/$1 ]]; then
        source "$REALMFS_PROJECT/realmfs-modules/$1"
    elif [[ -f $__realmfs_run/lib/modules/$1 ]]; then
        source "$__realmfs_run/lib/modules/$1"
    else
        fatal "module: there is no module '$1'"
    fi
}

# Finds FILE below the project's realmfs-files/, then below the built-in files.
__realmfs_find_file() {
    local folder path
    for folder in "$REALMFS_PROJECT/realmfs-files" "$__realmfs_run/lib/files"; do
        path=$folder/$1
        [[ -e $path || -L $path ]] || continue
        [[ $(realpath -m -- "$path") == "$(realpath -m -- "$folder")"/* ]] \
            || fatal "install_file: $1 is a link that leads out of realmfs-files"
        [[ ! -d $path ]] || fatal "install_file: $1 is a folder"
        [[ -f $path ]] || fatal "install_file: $1 is not a regular file"
        printf -v "$2" '%s' "$path"
        return 0
    done
    fatal "install_file: there is no file $1 in realmfs-files"
}

# install_file MODE FILE DIR: copies realmfs-files/FILE to DIR/FILE.
# install_file MODE /FULL/PATH: copies realmfs-files/FULL/PATH to /FULL/PATH.
# Missing parents are made 0755; everything belongs to root:root.
install_file() {
    local mode=${1-} file=${2-} target found
    (($# == 2 || $# == 3)) || fatal "install_file: MODE FILE DIR or MODE /FULL/PATH is needed, not $# arguments"
    [[ $mode =~ ^0?[0-7]{1,4}$ ]] || fatal "install_file: '$mode' is not an octal mode"
    file=${file#/}
    [[ -n $file && $file != */ ]] || fatal 'install_file: the name of the file is empty'
    [[ /$file/ != */../* ]] || fatal "install_file: '$file' must not contain .."
    if (($# == 3)); then
        [[ -n $3 ]] || fatal 'install_file: the name of the folder is empty'
        [[ /$3/ != */../* ]] || fatal "install_file: '$3' must not contain .."
        target=${3%/}/$file
    else
        target=/$file
    fi
    __realmfs_find_file "$file" found
    [[ ! -d $target || -L $target ]] || fatal "install_file: $target is a folder"
    [[ $target != */* ]] || (umask 022 && mkdir -p -- "${target%/*}/") \
        || fatal "install_file: the folder of $target cannot be made"
    install --no-target-directory --owner=0 --group=0 --mode="$mode" -- "$found" "$target" \
        || fatal "install_file: $target cannot be written"
}
