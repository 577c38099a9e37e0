#!/bin/bash
# Holds locks for the builder, on files of the store. They end with it.
#
# Standard input, a line each: "shared FILE", "exclusive FILE", "release FILE". Each is answered
# by a line: "yes", or "no" if somebody else holds the file, or there is none. Nothing waits.
set -uo pipefail
declare -A held=()
while read -r word file; do
    answer=no
    case $word in
        shared | exclusive) ;;
        release)
            fd=${held[$file]-}
            [[ -z $fd ]] || exec {fd}>&-
            unset "held[$file]"
            printf 'yes\n'
            continue
            ;;
    esac
    if [[ -z ${held[$file]-} ]] && exec {fd}<"$file"; then
        if flock --nonblock "--$word" "$fd"; then
            held[$file]=$fd
            answer=yes
        else
            exec {fd}>&-
        fi
    fi 2>/dev/null
    printf '%s\n' "$answer"
done
