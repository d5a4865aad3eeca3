#!/bin/bash
# Debian 13 as a folder: RabbitMQ 4.0 and etcd 3.5, for servers of generation 4 (see rig.sh), for container images, and to install our
# package in.
#
#   debian13.sh make      make it, or find it made; prints the folder
#   debian13.sh remove    remove it
#
# debootstrap makes it from packages: 40 s to two minutes, once. It is there whole or not at all.
# shellcheck source=tests/rig/debootstrap.sh
. "$(dirname "$0")/debootstrap.sh"
# Certificates are for the images of deploy/local-images.sh, systemd is for booted.sh.
# shellcheck disable=SC2034 # debootstrap.sh reads them
tree=$rig_tree suite=trixie packages=rabbitmq-server,etcd-server,etcd-client,ca-certificates,systemd,procps
made_or_removed "$@"
