# shellcheck shell=bash
# Sourced by debian12.sh and debian13.sh, never run: a Debian as a folder, made by debootstrap, there whole or not at all.
#
#   tree=FOLDER suite=NAME packages=LIST made_or_removed make|remove
# shellcheck source=tests/rig/rig.sh
. "$(dirname "${BASH_SOURCE[0]}")/rig.sh"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    # shellcheck disable=SC2154 # of whoever sources this
    command -v sudo > /dev/null || fail "only root can make or remove $tree: run \`make deps\` as root"
    sudo "$@"
}

# Debian's mirror as this machine has it; debootstrap has one of its own where this is no Debian.
mirror() {
    local here
    grep -qx 'ID=debian' /etc/os-release || return 0
    here=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt-cache policy 2> /dev/null | awk -v want="$here/main" '$3 == want && !found++ { print $2 }'
}

make_it() {
    local log=$tree.log new=$tree.new from
    [ ! -e "$tree" ] || return 0 # made while we waited
    command -v debootstrap > /dev/null || fail "debootstrap is missing: run \`make deps\` (apt-get install debootstrap)"
    as_root rm -rf --one-file-system "$new" # of a run that was killed
    from=$(mirror)
    # What debootstrap mounts goes with it, also when it is killed. It keeps the lock: where only this script is killed, the next one waits.
    # shellcheck disable=SC2154 # of whoever sources this
    as_root unshare --mount --propagation private \
        debootstrap --variant=minbase --include="$packages" "$suite" "$new" ${from:+"$from"} > "$log" 2>&1 \
        || { tail -5 "$log" >&2; fail "cannot make Debian ($suite) with debootstrap; its log is $log"; }
    as_root rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/* "$new"/usr/share/{doc,man,locale}
    # The nodes are called rabbit…@localhost, and nothing else here says where that is.
    printf '127.0.0.1 localhost\n::1 localhost\n' | as_root tee "$new/etc/hosts" > /dev/null
    # Where inside.sh mounts the state, so that nothing in here changes any more.
    as_root mkdir -p "$new$rig_root/4"
    as_root mv "$new" "$tree"
}

# Make it or find it made, and print the folder; or remove it.
made_or_removed() {
    # It is there whole or not at all: nobody needs to wait for the lock to see it.
    if [ "${1:-make}" = make ] && [ -e "$tree" ]; then echo "$tree"; exit; fi
    mkdir -p "$(dirname "$tree")"
    exec 8> "$tree.lock"
    flock 8
    case ${1:-make} in
        make)
            make_it
            echo "$tree"
            ;;
        remove)
            if [ -e "$tree" ] || [ -e "$tree.new" ]; then as_root rm -rf --one-file-system "$tree" "$tree.new"; fi
            ;;
        *) fail "$(basename "$0"): '$1' is not one of make, remove" ;;
    esac
}
