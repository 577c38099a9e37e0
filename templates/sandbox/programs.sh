# shellcheck shell=bash
# show_programs DIR: the programs of the host and their libraries, with the flags that they have in the view.
show_programs() {
    local part
    for part in bin sbin lib lib32 lib64 libx32 usr; do
        if [[ -L /$part ]]; then
            ln -s -- "$(readlink "/$part")" "$1/$part"
        elif [[ -d /$part ]]; then
            mkdir "$1/$part"
            mount --rbind "/$part" "$1/$part"
        fi
    done
}
