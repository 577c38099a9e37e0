# shellcheck shell=bash disable=SC2154,SC2178
# The base lists of the two profiles, and how they join the user's lists. Sourced before
# build.conf, by the evaluation and by stage two alike.

declare -A __realmfs_citadel=(
    [BASE_PACKAGES]='iproute2 less xz-utils sudo dbus libpam-systemd openssh-client packagekit-gtk3-module libcanberra-gtk3-module libpulse0 fonts-roboto-hinted bash-completion'
    [BASE_PRE_INSTALL_MODULES]='utility-library configure-locale create-user set-hostname no-install-recommends write-apt-sources'
    [BASE_POST_INSTALL_MODULES]='loginctl-enable-linger configure-systemd install-configure-host0 install-launch-script setup-theme-symlinks apt-cacher-ng add-xsettings-schema'
)
declare -A __realmfs_minimal=(
    [BASE_PACKAGES]='iproute2 less xz-utils sudo dbus libpam-systemd openssh-client bash-completion'
    [BASE_PRE_INSTALL_MODULES]=${__realmfs_citadel[BASE_PRE_INSTALL_MODULES]}
    [BASE_POST_INSTALL_MODULES]='loginctl-enable-linger configure-systemd'
)
# What the profile citadel has beside: the builder itself, and what it needs.
declare -A __realmfs_self_hosting=(
    [BASE_PACKAGES]=' nodejs debootstrap gpgv wget e2fsprogs ca-certificates'
    [BASE_PRE_INSTALL_MODULES]=''
    [BASE_POST_INSTALL_MODULES]=' install-realmfs-builder'
)
BASE_PACKAGES=${__realmfs_citadel[BASE_PACKAGES]}${__realmfs_self_hosting[BASE_PACKAGES]}
BASE_PRE_INSTALL_MODULES=${__realmfs_citadel[BASE_PRE_INSTALL_MODULES]}
BASE_POST_INSTALL_MODULES=${__realmfs_citadel[BASE_POST_INSTALL_MODULES]}${__realmfs_self_hosting[BASE_POST_INSTALL_MODULES]}

# Whether the image holds the builder. Older suites have a Node that is too old for it.
__realmfs_is_self_hosting() {
    case $DEBIAN_RELEASE in
        buster | bullseye | bookworm | oldstable | oldoldstable) builtin return 1 ;;
    esac
    [[ ${REALMFS_PROFILE:-citadel} != minimal && ${REALMFS_SELF_HOSTING:-on} == on ]]
}

# What a package of the base lists is called in the suites that have dropped its old name.
# trixie: fonts-roboto-hinted is gone, fonts-roboto-unhinted carries the same faces.
__realmfs_successor() {
    case $DEBIAN_RELEASE:$1 in
        bookworm:* | bullseye:*) builtin printf -v "$2" '%s' "$1" ;;
        *:fonts-roboto-hinted) builtin printf -v "$2" '%s' fonts-roboto-unhinted ;;
        *) builtin printf -v "$2" '%s' "$1" ;;
    esac
}

# __realmfs_words ARRAY NAME: the words of the variable NAME, a string or an array.
__realmfs_words() {
    builtin local -n __words="$1" __source="$2"
    builtin local IFS=$' \t\n'
    __words=()
    builtin read -r -d '' -a __words <<<"${__source[*]-}" || builtin true
}

# __realmfs_base ARRAY NAME: the words of a base list. The list that stood there before
# build.conf, also where build.conf has added to it, becomes that of the chosen profile.
__realmfs_base() {
    builtin local -n __list="$1"
    builtin local -a __default __profile
    builtin local __text="${__realmfs_citadel[$2]}${__realmfs_self_hosting[$2]}" __package __new
    __realmfs_words "$1" "$2"
    __realmfs_words __default __text
    if [[ "${__list[*]:0:${#__default[@]}}" == "${__default[*]}" ]]; then
        __text=${__realmfs_citadel[$2]}
        [[ ${REALMFS_PROFILE:-citadel} != minimal ]] || __text=${__realmfs_minimal[$2]}
        ! __realmfs_is_self_hosting || __text+=${__realmfs_self_hosting[$2]}
        __realmfs_words __profile __text
        __list=("${__profile[@]}" "${__list[@]:${#__default[@]}}")
    fi
    [[ $2 == BASE_PACKAGES ]] || builtin return 0
    __default=("${__list[@]}")
    __list=()
    for __package in "${__default[@]}"; do
        __realmfs_successor "$__package" __new
        __list+=("$__new")
    done
}

# __realmfs_agree LIST OTHER: takes out of LIST what OTHER says the opposite of, as apt reads it: NAME- takes a
# package away; NAME, NAME+, NAME=VERSION and NAME/SUITE install it.
__realmfs_agree() {
    builtin local -n __list="$1" __other="$2"
    builtin local __word __name
    builtin local -a __left
    builtin local -A __removed __installed
    __left=() __removed=() __installed=()
    # No key is empty, whatever the words are.
    for __word in "${__other[@]}"; do
        __name=/${__word%%[=/]*}
        case $__word in
            *-) __removed["/${__word%-}"]=yes ;;
            *) __installed["$__name"]=yes __installed["${__name%+}"]=yes ;;
        esac
    done
    for __word in "${__list[@]}"; do
        __name=/${__word%%[=/]*}
        case $__word in
            *-) [[ -n ${__installed["/${__word%-}"]-} ]] || __left+=("$__word") ;;
            *) [[ -n ${__removed["$__name"]-}${__removed["${__name%+}"]-} ]] || __left+=("$__word") ;;
        esac
    done
    __list=("${__left[@]}")
}

# Base lists first, then the user's, which wins where the two say different things of a package. A list keeps the user's form: an array stays one,
# anything else is a string of words, as modules of the original builder expect.
__realmfs_join_lists() {
    builtin local __name
    builtin local -a __base __user
    builtin local IFS=$' \t\n'
    for __name in PACKAGES PRE_INSTALL_MODULES POST_INSTALL_MODULES; do
        __realmfs_base __base "BASE_$__name"
        __realmfs_words __user "$__name"
        [[ $__name != PACKAGES ]] || __realmfs_agree __base __user
        builtin local -n __target="$__name"
        [[ ${__target@a} != *r* ]] || __realmfs_fatal "build.conf: $__name is readonly, so that the base list cannot join it"
        if [[ ${__target@a} == *a* ]]; then
            __target=("${__base[@]}" "${__user[@]}")
        else
            __user=("${__base[@]}" "${__user[@]}")
            __target="${__user[*]}"
        fi
        builtin unset -n __target
    done
}

# The functions that settings-before.sh and settings-after.sh, written by the builder, use.

__realmfs_override() {
    [[ ${!1@a} != *r* ]] || __realmfs_fatal "$1 is readonly in build.conf: --set cannot change it"
    builtin unset -v "$1" && builtin declare -g "$1=$2"
}

# True if the variable was given a value; an array without members is one.
__realmfs_has_value() {
    [[ ! -v $1 && ! -v ${1}[@] ]] || builtin return 0
    # Most are not declared at all; to learn that takes no process.
    builtin declare -p "$1" >/dev/null 2>&1 && [[ $(builtin declare -p "$1") == 'declare -'*([!=])'=()' ]]
}

__realmfs_default() {
    __realmfs_has_value "$1" || builtin declare -g "$1=$2" || __realmfs_fatal "$1 is readonly in build.conf, but has no value"
}

# __realmfs_settle NAME WAS VALUE: gives a setting the value that the build uses. WAS is what
# build.conf said when it was evaluated; another word inside the image is an error.
__realmfs_settle() {
    builtin local IFS=$' \t\n'
    builtin local -n __setting="$1"
    if [[ -v $1 && ${__setting[*]} != "$2" && ${__setting[*]} != "$3" ]]; then
        [[ $1 != *PASSWORD* ]] || __realmfs_fatal "build.conf: $1 is another one inside the image than before"
        __realmfs_fatal "build.conf: $1 is '${__setting[*]}' inside the image, but was '$2' before"
    fi
    builtin unset -n __setting
    if [[ ! -v $1 || ${!1} != "$3" ]]; then
        # An array becomes a string of words.
        builtin unset -v "$1" && builtin declare -g "$1=$3"
    fi
}
