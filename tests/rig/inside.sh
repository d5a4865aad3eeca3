#!/bin/bash
# inside.sh TREE STATE PROGRAM ARGUMENT…   run a program in the folder TREE as if that were /, with /dev, /proc and the folder STATE.
#
# It becomes the program: the same process, with its environment. The mounts are its own and go with it: nobody else sees them, so
# TREE can be removed at any time. Needs root, or a kernel that lets users have namespaces of their own.
set -euo pipefail
as=()
if [ "$(id -u)" != 0 ]; then as=(--map-root-user); fi
# shellcheck disable=SC2016 # for the inner shell
exec unshare "${as[@]}" --mount --propagation private bash -c '
    set -e
    tree=$1 state=$2 at=$PWD
    shift 2
    mkdir -p "$tree$state"
    mount --rbind /dev "$tree/dev"
    mount --rbind /proc "$tree/proc"
    mount --bind "$state" "$tree$state"
    # The folders of the tests: certificates are made there.
    tests=${state%%/rig/*}/tmp
    if [ -d "$tests" ]; then mkdir -p "$tree$tests" && mount --bind "$tests" "$tree$tests"; fi
    exec chroot "$tree" /usr/bin/env -C "$at" "$@"' inside "$@"
