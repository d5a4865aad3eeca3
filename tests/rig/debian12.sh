#!/bin/bash
# Debian 12 as a folder, to install our package in (see booted.sh).
#
#   debian12.sh make      make it, or find it made; prints the folder
#   debian12.sh remove    remove it
#
# debootstrap makes it from packages: 30 s to a minute, once. It is there whole or not at all.
# shellcheck source=tests/rig/debootstrap.sh
. "$(dirname "$0")/debootstrap.sh"
# shellcheck disable=SC2034 # debootstrap.sh reads them
tree=${NEPHOSCOPE_DEBIAN12:-$rig_target/debian12} suite=bookworm packages=systemd,procps
made_or_removed "$@"
