#!/bin/bash
# Debian 13 as a folder: RabbitMQ 4.0 and etcd 3.5, for servers of generation 4 (see rig.sh) and for container images.
#
#   debian13.sh make      make it, or find it made; prints the folder
#   debian13.sh remove    remove it
#
# debootstrap makes it from packages: 40 s to two minutes, once. It is there whole or not at all.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
# Certificates are for the images of deploy/local-images.sh.
packages=rabbitmq-server,etcd-server,etcd-client,ca-certificates

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo > /dev/null || fail "only root can make or remove $rig_tree: run \`make deps\` as root"
    sudo "$@"
}

# Debian's mirror as this machine has it; debootstrap has one of its own where this is no Debian.
mirror() {
    local suite
    grep -qx 'ID=debian' /etc/os-release || return 0
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt-cache policy 2> /dev/null | awk -v want="$suite/main" '$3 == want && !found++ { print $2 }'
}

make_it() {
    local log=$rig_tree.log new=$rig_tree.new from
    [ ! -e "$rig_tree" ] || return 0 # made while we waited
    command -v debootstrap > /dev/null || fail "debootstrap is missing: run \`make deps\` (apt-get install debootstrap)"
    as_root rm -rf --one-file-system "$new" # of a run that was killed
    from=$(mirror)
    # What debootstrap mounts goes with it, also when it is killed. It keeps the lock: where only this script is killed, the next one waits.
    as_root unshare --mount --propagation private \
        debootstrap --variant=minbase --include="$packages" trixie "$new" ${from:+"$from"} > "$log" 2>&1 \
        || { tail -5 "$log" >&2; fail "cannot make Debian 13 with debootstrap; its log is $log"; }
    as_root rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/* "$new"/usr/share/{doc,man,locale}
    # The nodes are called rabbit…@localhost, and nothing else here says where that is.
    printf '127.0.0.1 localhost\n::1 localhost\n' | as_root tee "$new/etc/hosts" > /dev/null
    # Where inside.sh mounts the state, so that nothing in here changes any more.
    as_root mkdir -p "$new$rig_root/4"
    as_root mv "$new" "$rig_tree"
}

# It is there whole or not at all: nobody needs to wait for the lock to see it.
if [ "${1:-make}" = make ] && [ -e "$rig_tree" ]; then echo "$rig_tree"; exit; fi
mkdir -p "$(dirname "$rig_tree")"
exec 8> "$rig_tree.lock"
flock 8
case ${1:-make} in
    make)
        make_it
        echo "$rig_tree"
        ;;
    remove)
        if [ -e "$rig_tree" ] || [ -e "$rig_tree.new" ]; then as_root rm -rf --one-file-system "$rig_tree" "$rig_tree.new"; fi
        ;;
    *) fail "debian13.sh: '$1' is not one of make, remove" ;;
esac
